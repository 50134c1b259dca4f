//go:build linux

package xds_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/xds/envoy"
)

// envoyPath is where .ci/tools puts it.
const envoyPath = "../../.tools/envoy"

// realEnvoy is a running Envoy.
type realEnvoy struct {
	t     testing.TB
	admin string
	log   string
	// addressFile is where Envoy writes the address of its admin interface.
	addressFile string
}

// envoy runs a real Envoy as node and waits until it is ready. api is
// DELTA_GRPC or GRPC (state of the world).
func (r *rig) envoy(node, api string) *realEnvoy {
	r.t.Helper()
	addr := netip.MustParseAddrPort(r.addr)
	return r.connect(envoy.Connection{NodeID: node, Host: addr.Addr().String(), Port: addr.Port(), StateOfTheWorld: api == "GRPC"})
}

// connect runs a real Envoy with the configuration that meshc bootstrap prints,
// but for the port of its admin interface, and waits until it is ready.
func (r *rig) connect(c envoy.Connection) *realEnvoy {
	r.t.Helper()
	e := r.begin(c)
	e.ready()
	return e
}

// begin is connect without the wait.
func (r *rig) begin(c envoy.Connection) *realEnvoy {
	r.t.Helper()
	c.Admin = netip.MustParseAddrPort("127.0.0.1:0")
	bootstrap, err := c.Bootstrap()
	if err != nil {
		r.t.Fatal(err)
	}
	bootstrap.StaticResources.Clusters = bootstrap.StaticResources.Clusters[:1] // the other one is on that port
	config, err := envoy.JSON(bootstrap)
	if err != nil {
		r.t.Fatal(err)
	}
	return launchEnvoy(r.t, "--config-yaml", string(config))
}

func startEnvoy(t testing.TB, config ...string) *realEnvoy {
	t.Helper()
	e := launchEnvoy(t, config...)
	e.ready()
	return e
}

func launchEnvoy(t testing.TB, config ...string) *realEnvoy {
	t.Helper()
	if _, err := os.Stat(envoyPath); err != nil {
		t.Fatalf("%v; .ci/tools fetches it", err)
	}
	dir := t.TempDir()
	e := &realEnvoy{t: t, log: filepath.Join(dir, "log"), addressFile: filepath.Join(dir, "admin")}
	cmd := exec.Command(envoyPath, append(config, "--concurrency", "2", "--disable-hot-restart",
		"--log-level", "warning", "--file-flush-interval-msec", "50", "--log-path", e.log, "--admin-address-path", e.addressFile)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if text, err := os.ReadFile(e.log); err == nil && t.Failed() {
			t.Logf("Envoy's log:\n%s", text)
		}
	})
	return e
}

// ready waits until Envoy has its first configuration.
func (e *realEnvoy) ready() {
	e.t.Helper()
	e.await("to be ready", func() bool {
		b, err := os.ReadFile(e.addressFile)
		if err != nil {
			return false
		}
		e.admin = strings.TrimSpace(string(b))
		_, body := fetch("GET", "http://"+e.admin+"/ready")
		return strings.HasPrefix(body, "LIVE")
	})
}

// await polls until ok.
func (e *realEnvoy) await(what string, ok func() bool) {
	e.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
	}
	e.t.Fatalf("Envoy was awaited %s", what)
}

// fetch returns what a plugin added to an answer, "-" for nothing, and the
// answer; of one that did not come, or not with 200, how it failed.
func fetch(method, url string) (plugins, body string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return err.Error(), ""
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error(), ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	switch values := resp.Header.Values("x-plugin"); {
	case err != nil:
		return err.Error(), ""
	case resp.StatusCode != http.StatusOK:
		return fmt.Sprint(resp.StatusCode), string(b)
	case len(values) == 0:
		return "-", string(b)
	default:
		return strings.Join(values, ","), string(b)
	}
}

// ports are those that freePort has looked at. Each package begins elsewhere, for their
// tests run side by side.
var ports atomic.Uint32

// freePort returns a port that nobody has. It is none of those that the system gives
// to whoever does not care, so that nobody comes by it before Envoy does.
func freePort(t testing.TB) uint16 {
	t.Helper()
	ports.CompareAndSwap(0, 15_000+rand.Uint32N(4_000))
	for range 1000 {
		port := ports.Add(1)
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			l.Close()
			return uint16(port)
		}
	}
	t.Fatal("no port is free")
	return 0
}

// backend serves an empty 200 over HTTP/1.1, or in h2c alone, and returns
// where.
func backend(t testing.TB, h2c bool) snapshot.Endpoint {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	if h2c {
		s.Config.Protocols = &http.Protocols{}
		s.Config.Protocols.SetUnencryptedHTTP2(true)
	}
	s.Start()
	t.Cleanup(s.Close)
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return at("127.0.0.1", uint16(n))
}

func url(port uint16, path string) string { return fmt.Sprintf("http://127.0.0.1:%d%s", port, path) }

// bothProtocols runs a test against an Envoy of each xDS variant.
func bothProtocols(t *testing.T, test func(t *testing.T, api string)) {
	for _, api := range []string{"DELTA_GRPC", "GRPC"} {
		t.Run(api, func(t *testing.T) { test(t, api) })
	}
}
