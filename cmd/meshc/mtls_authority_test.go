//go:build linux

package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/meshc/meshc/cmd/meshc/internal/behaviour"
)

// TestRemovedAuthority has each kind of data plane call each, where each is
// served by a meshc of its own and identified by an authority of its own. Who
// does not list the other's authority any more refuses it, as a server and as a
// client.
func TestRemovedAuthority(t *testing.T) {
	t.Parallel()
	for _, planes := range [][2]string{{"proxy", "proxy"}, {"envoy", "envoy"}, {"proxy", "envoy"}, {"envoy", "proxy"}} {
		t.Run(planes[0]+" calls "+planes[1], func(t *testing.T) { removedAuthority(t, planes[0], planes[1]) })
	}
}

// providedBy is the Mesh with authorities in a folder, of which the first issues.
func providedBy(folder string, authorities ...string) string {
	text := fmt.Sprintf("type: Mesh\nname: default\nmtls:\n  enabledBackend: %s\n  backends:\n", authorities[0])
	for _, a := range authorities {
		text += fmt.Sprintf("  - {name: %[1]s, type: provided, conf: {cert: {file: %[2]s/%[1]s.crt}, key: {file: %[2]s/%[1]s.key}}}\n", a, folder)
	}
	return text
}

func removedAuthority(t *testing.T, client, server string) {
	network := behaviour.NewNetwork(t)
	t.Parallel()
	authorities := behaviour.Certificates(t, "of-client", "of-server")
	backend, err := network.StartBackend("server", "10.9.1.2:8081", "tcp", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(backend.Close)
	serve := func(node, plane string, admin int, trusted ...string) *reloading {
		r := &reloading{t: t, network: network, dir: filepath.Join(t.TempDir(), "input")}
		if err := os.Mkdir(r.dir, 0o755); err != nil {
			t.Fatal(err)
		}
		r.write("mesh.yaml", providedBy(authorities, trusted...))
		r.write("world.yaml", mtlsWorld)
		r.write("permission.yaml", permission("client"))
		if plane == "proxy" {
			r.meshc = network.Serve(t, r.dir, nil, "--dataplane", node)
		} else {
			r.meshc = network.Serve(t, r.dir, nil, "--no-proxy")
			network.StartEnvoy(t, node, r.meshc.XDS, "DELTA_GRPC", admin)
		}
		return r
	}
	callee := serve("default.server", server, 9901, "of-server", "of-client")
	caller := serve("default.client", client, 9902, "of-client", "of-server")
	await := func(what string, greeted bool) {
		t.Helper()
		for deadline := time.Now().Add(3 * time.Minute); greets(network, "127.0.0.1:10002") != greeted; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("waited in vain until %s", what)
			}
		}
	}
	await("the client is served", true)
	callee.write("mesh.yaml", providedBy(authorities, "of-server"))
	await("the server refuses the client", false)
	callee.write("mesh.yaml", providedBy(authorities, "of-server", "of-client"))
	await("the server takes the client again", true)
	caller.write("mesh.yaml", providedBy(authorities, "of-client"))
	await("the client refuses the server", false)
	caller.write("mesh.yaml", providedBy(authorities, "of-client", "of-server"))
	await("the client takes the server again", true)
}

// greets reports whether the backend behind address says its name on a new
// connection.
func greets(n *behaviour.Network, address string) bool {
	nc, err := n.Dial(address)
	if err != nil {
		return false
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(time.Minute))
	line, err := bufio.NewReader(nc).ReadString('\n')
	return err == nil && line == "server\n"
}
