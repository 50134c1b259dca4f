//go:build linux

package sdk_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	root     = "../../.."
	patience = 5 * time.Minute // V8 compiles a Go module for seconds, on a busy machine for minutes
)

// build builds a module with the stock toolchain. It reads the sources itself,
// too, for go test to know what the test depends on.
func build(t *testing.T, dir string) string {
	t.Helper()
	for _, d := range []string{dir, ".", "internal/host"} {
		names, err := filepath.Glob(filepath.Join(d, "*.go"))
		if err != nil || len(names) == 0 {
			t.Fatalf("no sources in %s (%v)", d, err)
		}
		for _, name := range names {
			if _, err := os.ReadFile(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	out := filepath.Join(t.TempDir(), filepath.Base(dir)+".wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", out, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", dir, err, output)
	}
	return out
}

// listener is one port of Envoy with one filter.
type listener struct {
	module         string
	config, vm, id string
	address        string // set by startEnvoy
}

type envoy struct {
	admin string
	log   *output
}

type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func envoyPath(t *testing.T) string {
	path, err := filepath.Abs(root + "/.tools/envoy")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%v; .ci/tools fetches it", err)
		}
		t.Skipf("%v; .ci/tools fetches it", err)
	}
	return path
}

// ports are those that freePort has looked at. Each package begins elsewhere, for their
// tests run side by side.
var ports atomic.Uint32

// freePort returns a port that nobody has. It is none of those that the system gives
// to whoever does not care, so that nobody comes by it before Envoy does.
func freePort(t *testing.T) int {
	t.Helper()
	ports.CompareAndSwap(0, 20_000+rand.Uint32N(4_000))
	for range 1000 {
		port := ports.Add(1)
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			l.Close()
			return int(port)
		}
	}
	t.Fatal("no port is free")
	return 0
}

type object = map[string]any
type list = []any

func address(host string, port int) object {
	return object{"socket_address": object{"address": host, "port_value": port}}
}

// startEnvoy runs Envoy until the test ends, and waits until it serves. The
// clusters are name: address; those named grpc speak HTTP/2.
func startEnvoy(t *testing.T, clusters map[string]string, listeners ...*listener) *envoy {
	t.Helper()
	e := &envoy{admin: fmt.Sprintf("127.0.0.1:%d", freePort(t)), log: &output{}}
	cmd := exec.Command(envoyPath(t), "-c", configFile(t, e.admin, clusters, listeners), "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning")
	cmd.Stdout, cmd.Stderr = e.log, e.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // nothing outlives the test
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(patience):
			cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("envoy:\n%s", e.log)
		}
	})
	e.await(t, "Envoy to serve", func() bool {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("envoy ended: %v", err)
		default:
		}
		return strings.HasPrefix(e.get("/ready"), "LIVE")
	})
	return e
}

// configFile writes a configuration and returns its path.
func configFile(t *testing.T, adminAddress string, clusters map[string]string, listeners []*listener) string {
	t.Helper()
	var cs, ls list
	for name, to := range clusters {
		host, port, err := net.SplitHostPort(to)
		if err != nil {
			t.Fatal(err)
		}
		var n int
		fmt.Sscan(port, &n)
		c := object{"name": name, "type": "STATIC", "connect_timeout": "5s", "load_assignment": object{"cluster_name": name, "endpoints": list{
			object{"lb_endpoints": list{object{"endpoint": object{"address": address(host, n)}}}}}}}
		protocol := object{"http_protocol_options": object{"enable_trailers": true}}
		if name == "grpc" {
			protocol = object{"http2_protocol_options": object{}}
		}
		c["typed_extension_protocol_options"] = object{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": object{
			"@type":                "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
			"explicit_http_config": protocol}}
		cs = append(cs, c)
	}
	for _, l := range listeners {
		port := freePort(t)
		l.address = fmt.Sprintf("127.0.0.1:%d", port)
		ls = append(ls, object{"address": address("127.0.0.1", port), "filter_chains": list{object{"filters": l.filters()}}})
	}
	config, err := json.Marshal(object{
		"admin":            object{"address": admin(t, adminAddress)},
		"static_resources": object{"clusters": cs, "listeners": ls},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "envoy.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func admin(t *testing.T, a string) object {
	host, port, err := net.SplitHostPort(a)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	fmt.Sscan(port, &n)
	return address(host, n)
}

func (l *listener) filters() list {
	text := func(s string) object {
		return object{"@type": "type.googleapis.com/google.protobuf.StringValue", "value": s}
	}
	name := filepath.Base(l.module) + l.vm
	plugin := object{"config": object{
		"name": name, "root_id": l.id, "configuration": text(l.config),
		"vm_config": object{"vm_id": name, "runtime": "envoy.wasm.runtime.v8", "configuration": text(l.vm),
			"code": object{"local": object{"filename": l.module}}},
	}}
	plugin["@type"] = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"
	return list{object{"name": "http", "typed_config": object{
		"@type":                 "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
		"stat_prefix":           "http",
		"http_protocol_options": object{"enable_trailers": true},
		"route_config": object{"name": "r", "virtual_hosts": list{object{"name": "v", "domains": list{"*"}, "routes": list{
			object{"match": object{"prefix": "/"}, "route": object{"cluster": "backend"}}}}}},
		"http_filters": list{
			object{"name": "envoy.filters.http.wasm", "typed_config": plugin},
			object{"name": "router", "typed_config": object{"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}},
		},
	}}}
}

func (e *envoy) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func (e *envoy) get(path string) string {
	resp, err := (&http.Client{Timeout: patience}).Get("http://" + e.admin + path)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return string(b)
}

// stat returns the value of one of the guest's metrics, or "".
func (e *envoy) stat(name string) string {
	for line := range strings.Lines(e.get("/stats?filter=wasmcustom." + name)) {
		if k, v, _ := strings.Cut(line, ": "); k == "wasmcustom."+name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// backend is an HTTP service that keeps what it got.
type backend struct {
	address string
	mu      sync.Mutex
	last    *http.Request
	body    string
}

func startBackend(t *testing.T) *backend {
	t.Helper()
	b := &backend{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.address = l.Addr().String()
	s := &http.Server{Handler: b}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return b
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	switch r.URL.Path {
	case "/called":
		w.Header().Set("x-called", r.Host+r.Header.Get("x-in"))
		fmt.Fprintf(w, "answer to %s %s", r.Method, body)
		return
	case "/from-tick":
		return
	case "/slow":
		<-r.Context().Done()
		return
	}
	b.mu.Lock()
	b.last, b.body = r, string(body)
	b.mu.Unlock()
	io.WriteString(w, "hello\n")
}

// got returns what came last, and forgets it.
func (b *backend) got() (*http.Request, string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, body := b.last, b.body
	b.last, b.body = nil, ""
	return r, body
}

// send writes a request as it is and returns the response, read whole.
func send(t *testing.T, address, request string) (*http.Response, string) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, strings.ReplaceAll(request, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// get sends a GET with the headers given as lines.
func get(t *testing.T, l *listener, headers ...string) (*http.Response, string) {
	t.Helper()
	return send(t, l.address, "GET /path HTTP/1.1\nhost: h\n"+strings.Join(append(headers, "", ""), "\n"))
}

func want(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}
