//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshc/meshc/cmd/meshc/internal/behaviour"
)

// faultModule is the guest that does harm on demand; see its source.
const faultModule = "../../plugins/wasm/testdata/faults/fault.wasm"

// Where things are in the namespace of the tests.
const (
	faultPlainHTTP = "10.9.1.1:8080" // of package behaviour, named "plain"
	faultPlainTCP  = "10.9.1.2:9000" // likewise
	faultBackend   = "10.9.1.3:8080" // see abiBackend
	faultCalls     = "10.9.1.4:8080" // answers the guest's own calls
	faultDead      = "10.9.1.5:1"    // nobody
)

// faultWorkers is how many instances each VM has: meshc runs on that many processors.
const faultWorkers = 2

// faultWorld is a meshc with services that faulty plugins are on, and beside
// them three that have to do with none: "plain" over HTTP and over TCP without
// any filter, and "healthy" with a plugin of the same module that does no harm.
type faultWorld struct {
	t         *testing.T
	network   *behaviour.Network
	dir       string
	meshc     *behaviour.Meshc
	load      *behaviour.Load
	outbounds strings.Builder
	documents strings.Builder
	port      int
	vms       int
}

// newFaultWorld starts the backends, in a network of their own, and begins the
// documents. The test is one that runs beside others.
func newFaultWorld(t *testing.T) *faultWorld {
	t.Helper()
	t.Parallel()
	w := &faultWorld{t: t, network: behaviour.NewNetwork(t), dir: filepath.Join(t.TempDir(), "input"), port: 10000}
	if err := os.Mkdir(w.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for address, kind := range map[string]string{faultPlainHTTP: "http", faultPlainTCP: "tcp"} {
		b, err := w.network.StartBackend("plain", address, kind, nil)
		if err != nil {
			t.Fatal(err)
		}
		b.Quiet()
		t.Cleanup(b.Close)
	}
	abiBackend(t, w.network, faultBackend, func(string, string) {})
	startFaultCalls(t, w.network)
	module, err := os.ReadFile(faultModule)
	if err != nil {
		t.Fatal(err)
	}
	w.write("guest.wasm", string(module))
	w.service("backend", faultCalls, "http", nil)
	w.service("dead", faultDead, "grpc", nil)
	return w
}

// startFaultCalls serves calls on a connection each, so that none is kept and
// can be taken for one that was forgotten.
func startFaultCalls(t *testing.T, network *behaviour.Network) {
	t.Helper()
	listener, err := network.Listen(faultCalls)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) //nolint:errcheck // it may be cut off
	})}
	server.SetKeepAlivesEnabled(false)
	var done sync.WaitGroup
	done.Go(func() { server.Serve(listener) }) //nolint:errcheck // it ends with Close
	t.Cleanup(func() {
		server.Close()
		done.Wait()
	})
}

// service adds a service, and a plugin on the way to it unless conf is nil;
// conf is what differs from a plugin of the module without a configuration. It
// returns where clients reach it.
func (w *faultWorld) service(name, address, protocol string, conf map[string]any) string {
	w.t.Helper()
	fmt.Fprintf(&w.documents, "---\n{type: ExternalService, name: %s, tags: {kuma.io/service: %s, kuma.io/protocol: %s}, networking: {address: '%s'}}\n", name, name, protocol, address)
	w.port++
	fmt.Fprintf(&w.outbounds, "  - {port: %d, tags: {kuma.io/service: %s}}\n", w.port, name)
	if conf != nil {
		w.vms++
		w.documents.WriteString("---\n" + faultPlugin(w.t, name, protocol, conf) + "\n")
	}
	return fmt.Sprintf("127.0.0.1:%d", w.port)
}

// faultPlugin is the document of a plugin for one service, a line of JSON.
func faultPlugin(t *testing.T, service, protocol string, conf map[string]any) string {
	t.Helper()
	all := map[string]any{
		"module": map[string]any{"path": "guest.wasm"}, "listeners": []string{"outbound"}, "protocol": protocol,
		"vmId": "vm-" + service, "services": []string{"backend", "dead"},
		// What is no endless loop is not to be taken for one on a busy machine.
		"limits": map[string]string{"memory": "32MiB", "callTimeout": "60s"},
	}
	maps.Copy(all, conf)
	text, err := json.Marshal(map[string]any{
		"type": "WasmPlugin", "name": service, "conf": all,
		"destinations": []any{map[string]any{"match": map[string]string{"kuma.io/service": service}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// write replaces a file of the input by renaming over it.
func (w *faultWorld) write(name, text string) {
	w.t.Helper()
	tmp := filepath.Join(w.dir, "."+name)
	if err := os.WriteFile(tmp, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(tmp, filepath.Join(w.dir, name)); err != nil {
		w.t.Fatal(err)
	}
}

// serve starts meshc with what was added, and with traffic to services that no
// fault may touch.
func (w *faultWorld) serve(env ...string) {
	w.t.Helper()
	plain, tcp := w.service("plain", faultPlainHTTP, "http", nil), w.service("db", faultPlainTCP, "tcp", nil)
	healthy := w.service("healthy", faultPlainHTTP, "http", map[string]any{"configuration": "healthy"})
	w.start(env...)
	w.load = w.network.StartLoad(tcp, plain, healthy)
	w.t.Cleanup(func() {
		w.load.Stop()
		w.noneLost()
	})
	w.moreLoad(20)
}

// start starts meshc with what was added.
func (w *faultWorld) start(env ...string) {
	w.t.Helper()
	dataplane := "{type: Mesh, name: default}\n---\ntype: Dataplane\nname: faults\nnetworking:\n  address: 10.9.2.1\n" +
		"  inbound: [{port: 8001, servicePort: 9001, tags: {kuma.io/service: faults, kuma.io/protocol: http}}]\n  outbound:\n"
	w.write("faults.yaml", dataplane+w.outbounds.String()+w.documents.String())
	env = append(env, fmt.Sprintf("GOMAXPROCS=%d", faultWorkers))
	w.meshc = w.network.Serve(w.t, w.dir, env, "--dataplane", "default.faults", "--proxy-addr", behaviour.GatewayAddress)
}

// moreLoad waits for n more requests to the healthy services.
func (w *faultWorld) moreLoad(n int64) {
	w.t.Helper()
	if err := w.load.AwaitTotal(w.load.Total() + n); err != nil {
		w.t.Fatal(err)
	}
}

func (w *faultWorld) noneLost() {
	w.t.Helper()
	if lost := w.load.Lost(); len(lost) > 0 {
		w.t.Fatalf("%d of %d requests to healthy services were lost:\n%s", len(lost), w.load.Total(), strings.Join(lost[:min(len(lost), 20)], "\n"))
	}
}

// await polls until ok; state says how far it has come.
func (w *faultWorld) await(what string, ok func() bool, state func() any) {
	w.t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		select {
		case <-w.meshc.Ended():
			w.t.Fatalf("meshc ended before %s", what)
		default:
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("waited in vain for %s: %v", what, state())
		}
	}
}

// answer is what a client got.
type answer struct {
	status  string // or "cut" where the answer was cut off or there was none
	backend string // who signed it
	header  http.Header
}

func (a answer) String() string { return strings.TrimSpace(a.status + " " + a.backend) }

// request sends a whole request, with body and trailers, that has fault as its
// script, and gets a response with body and trailers unless that fails.
func (w *faultWorld) request(address, fault string) answer {
	w.t.Helper()
	c, err := w.network.Dial(address)
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(3 * time.Minute))
	head := "POST /trailers HTTP/1.1\r\nHost: fault.test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: x-t\r\n"
	if fault != "" {
		head += "X-Fault: " + fault + "\r\n"
	}
	if _, err := io.WriteString(c, head+"\r\n8\r\nquestion\r\n0\r\nx-t: v\r\n\r\n"); err != nil {
		w.t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err == nil {
		_, err = io.Copy(io.Discard, r.Body)
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return answer{status: "nothing"}
	case err != nil:
		return answer{status: "cut"}
	}
	return answer{strconv.Itoa(r.StatusCode), r.Header.Get("X-Backend"), r.Header}
}

// connection is a client of a TCP service: its server says a line, and then
// what it gets.
type connection struct {
	net.Conn
	r *bufio.Reader
}

func (w *faultWorld) connect(address string) connection {
	w.t.Helper()
	c, err := w.network.Dial(address)
	if err != nil {
		w.t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(3 * time.Minute))
	return connection{c, bufio.NewReader(c)}
}

// line reads the server's line, without its end; "cut" stands for none.
func (c connection) line() string {
	s, err := c.r.ReadString('\n')
	if err != nil {
		return "cut"
	}
	return strings.TrimSuffix(s, "\n")
}

// echo sends text and reports whether it came back.
func (c connection) echo(text string) bool {
	if _, err := io.WriteString(c, text); err != nil {
		return false
	}
	b := make([]byte, len(text))
	_, err := io.ReadFull(c.r, b)
	return err == nil && string(b) == text
}

// cut closes the connection once the other side has closed it.
func (c connection) cut() bool {
	defer c.Close()
	_, err := io.Copy(io.Discard, c.r)
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// faultView is what /meshc/plugins says of a plugin.
type faultView struct {
	Name    string
	Origins []struct {
		File string
		Line int
	}
	Faults map[string]uint64
	Last   *struct {
		Time, Restart  time.Time
		Reason, Detail string
	}
}

// view returns that of the plugin of a service.
func (w *faultWorld) view(service string) faultView {
	w.t.Helper()
	var all []faultView
	w.meshc.Get(w.t, "/meshc/plugins", &all)
	for _, v := range all {
		if v.Name == "default/"+service {
			return v
		}
	}
	w.t.Fatalf("/meshc/plugins does not have %s", service)
	return faultView{}
}

// metric sums what /metrics has under a name, with labels or without; what was
// never counted is not there.
func (w *faultWorld) metric(name string) (sum float64) {
	w.t.Helper()
	shown := w.network.Get("http://" + w.meshc.REST + "/metrics")
	if shown == "" {
		w.t.Fatal("/metrics shows nothing")
	}
	for line := range strings.Lines(shown) {
		if rest, ok := strings.CutPrefix(line, name); ok && (rest[0] == ' ' || rest[0] == '{') {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' ')+1:]), 64)
			if err != nil {
				w.t.Fatalf("%s: %v", line, err)
			}
			sum += v
		}
	}
	return sum
}

// awaitMetric polls until a metric is as wanted.
func (w *faultWorld) awaitMetric(name string, ok func(float64) bool) {
	w.t.Helper()
	last := 0.0
	w.await(name, func() bool {
		last = w.metric(name)
		return ok(last)
	}, func() any { return last })
}

// awaitInstances waits until every VM has all its instances, and no more.
func (w *faultWorld) awaitInstances() {
	w.t.Helper()
	w.awaitMetric("meshc_wasm_instances", func(n float64) bool { return n == float64(w.vms*faultWorkers) })
}
