//go:build linux

package xds_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// envoyPath is where .ci/tools puts it.
const envoyPath = "../../.tools/envoy"

// realEnvoy is a running Envoy.
type realEnvoy struct {
	t     testing.TB
	admin string
	log   string
}

// envoy runs a real Envoy as node and waits until it is ready. api is
// DELTA_GRPC or GRPC (state of the world).
func (r *rig) envoy(node, api string) *realEnvoy {
	r.t.Helper()
	host, port, _ := strings.Cut(r.addr, ":")
	config := fmt.Sprintf(`
node: {id: %q, cluster: meshc-test}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
dynamic_resources:
  ads_config:
    api_type: %s
    transport_api_version: V3
    set_node_on_first_message_only: true
    grpc_services: [{envoy_grpc: {cluster_name: xds}}]
  lds_config: {resource_api_version: V3, ads: {}}
  cds_config: {resource_api_version: V3, ads: {}}
static_resources:
  clusters:
  - name: xds
    type: STATIC
    connect_timeout: 5s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment:
      cluster_name: xds
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: %s, port_value: %s}}}}]}]
`, node, api, host, port)
	return startEnvoy(r.t, "--config-yaml", config)
}

func startEnvoy(t testing.TB, config ...string) *realEnvoy {
	t.Helper()
	if _, err := os.Stat(envoyPath); err != nil {
		t.Fatalf("%v; .ci/tools fetches it", err)
	}
	dir := t.TempDir()
	e := &realEnvoy{t: t, log: filepath.Join(dir, "log")}
	addressFile := filepath.Join(dir, "admin")
	cmd := exec.Command(envoyPath, append(config, "--concurrency", "2", "--disable-hot-restart",
		"--log-level", "warning", "--file-flush-interval-msec", "50", "--log-path", e.log, "--admin-address-path", addressFile)...)
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
	e.await("to be ready", func() bool {
		b, err := os.ReadFile(addressFile)
		if err != nil {
			return false
		}
		e.admin = strings.TrimSpace(string(b))
		_, body := fetch("GET", "http://"+e.admin+"/ready")
		return strings.HasPrefix(body, "LIVE")
	})
	return e
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
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
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

// freePort returns a port that was free a moment ago.
func freePort(t testing.TB) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
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
