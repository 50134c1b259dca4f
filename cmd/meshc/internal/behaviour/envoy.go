//go:build linux

package behaviour

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meshc/meshc/runtime/xds/envoy"
)

// Envoy is a running Envoy.
type Envoy struct {
	*process
	Admin string
}

// envoyPath is where .ci/tools puts it.
const envoyPath = "../../.tools/envoy"

// StartEnvoy runs a real Envoy as node, configured as meshc bootstrap says, by
// the server at xds, and waits until its first configuration is in force. api is
// DELTA_GRPC or GRPC (state of the world). admin is the port of its admin
// interface, flags are further ones of its command line.
func (n *Network) StartEnvoy(t testing.TB, node, xds, api string, admin int, flags ...string) *Envoy {
	t.Helper()
	config, err := bootstrap(node, xds, api, admin)
	if err != nil {
		t.Fatal(err)
	}
	return n.startEnvoy(t, node, config, admin, flags...)
}

func (n *Network) startEnvoy(t testing.TB, node, config string, admin int, flags ...string) *Envoy {
	t.Helper()
	if _, err := os.Stat(envoyPath); err != nil {
		t.Fatalf("%v; .ci/tools fetches it", err)
	}
	// Without hot restart any number of Envoys run side by side; with one
	// worker no two connections of it see different configurations.
	cmd := exec.Command(envoyPath, append([]string{"--config-yaml", config, "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning", "--file-flush-interval-msec", "100"}, flags...)...)
	e := &Envoy{Admin: fmt.Sprintf("127.0.0.1:%d", admin)}
	e.process = n.start(t, cmd, "envoy "+node, nil)
	e.await(t, "its first configuration", func() bool {
		return strings.HasPrefix(n.Get("http://"+e.Admin+"/ready"), "LIVE") && n.Get("http://"+e.Admin+"/listeners") != ""
	})
	return e
}

// bootstrap returns what meshc bootstrap prints, but that Envoy shows histograms
// as soon as they have something.
func bootstrap(node, xds, api string, admin int) (string, error) {
	server, err := netip.ParseAddrPort(xds)
	if err != nil {
		return "", err
	}
	b, err := envoy.Connection{
		NodeID: node, Service: node[strings.LastIndexByte(node, '.')+1:], Host: server.Addr().String(), Port: server.Port(),
		Admin: netip.AddrPortFrom(server.Addr(), uint16(admin)), StateOfTheWorld: api == "GRPC",
	}.Bootstrap()
	if err != nil {
		return "", err
	}
	b.StatsFlushInterval = durationpb.New(200 * time.Millisecond)
	text, err := envoy.JSON(b)
	return string(text), err
}
