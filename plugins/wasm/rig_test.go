package wasm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/meshc/meshc/plugins"
	"github.com/meshc/meshc/runtime/filter"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a process with the kind in it.
type rig struct {
	t       testing.TB
	maker   *maker
	workers *filter.Workers
	caller  *fakeCaller

	mu     sync.Mutex
	logged bytes.Buffer
	faults []plugins.Fault
	heard  chan plugins.Fault
}

func (r *rig) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.logged.Write(p)
}

func (r *rig) log() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.logged.String()
}

func newRig(t testing.TB, workers int) *rig { return newRigIn(t, workers, "") }

// newRigIn keeps compiled code in a directory.
func newRigIn(t testing.TB, workers int, stateDir string) *rig {
	r := &rig{t: t, workers: filter.NewWorkers(workers), caller: &fakeCaller{}, heard: make(chan plugins.Fault, 1000)}
	handler := slog.NewTextHandler(r, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	m, err := open(plugins.Process{
		StateDir: stateDir,
		Log:      slog.New(handler), Workers: r.workers, Caller: r.caller,
		Report: func(f plugins.Fault) {
			r.mu.Lock()
			r.faults = append(r.faults, f)
			r.mu.Unlock()
			r.heard <- f
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	m.startTimeout = 200 * time.Millisecond
	r.maker = m

	t.Cleanup(func() {
		m.Close()
		if n := m.metrics.instances.Load(); n != 0 {
			t.Errorf("%d instances are left", n)
		}
		if len(m.modules) != 0 || len(m.ending) != 0 {
			t.Errorf("%d modules and %d VMs are left", len(m.modules), len(m.ending))
		}
	})
	return r
}

// use is a use of a module; change alters its configuration.
func use(code []byte, change ...func(map[string]any)) plugins.Use {
	c := map[string]any{
		"rootId": "", "vmId": "", "configuration": "", "vmConfiguration": "", "env": map[string]string{},
		"memory": 1 << 20, "callTimeout": "100ms", "failurePolicy": "closed",
	}
	for _, f := range change {
		f(c)
	}
	text, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	digest := sha256.Sum256(code)
	return plugins.Use{Name: "default/p", Config: string(text), Blob: string(code), Digest: hex.EncodeToString(digest[:])}
}

func with(key string, value any) func(map[string]any) {
	return func(c map[string]any) { c[key] = value }
}

// factory makes the factory of a use, committed, and closed when the test ends.
func (r *rig) factory(u plugins.Use) filter.Factory {
	r.t.Helper()
	f := r.prepare(u)
	f.(filter.Committer).Commit()
	r.t.Cleanup(f.Close)
	return f
}

// prepare makes the factory of a use, to be committed or closed.
func (r *rig) prepare(u plugins.Use) filter.Factory {
	r.t.Helper()
	f, err := r.maker.New(context.Background(), u)
	if err != nil {
		r.t.Fatal(err)
	}
	return f
}

// exchange is a stream through a chain: what the upstream and the client got.
type exchange struct {
	chain   *filter.Chain
	t       testing.TB
	mu      sync.Mutex
	out     [2]filter.Output
	body    [2]string
	done    [2]bool
	wake    chan struct{}
	details string
	props   map[string]filter.Value
	routes  int // how often the route was cleared
}

func (x *exchange) Property(path []string) (filter.Value, bool) {
	v, ok := x.props[strings.Join(path, ".")]
	return v, ok
}
func (x *exchange) ClearRoute() { x.routes++ }
func (x *exchange) Wake(filter.Direction) {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}
func (x *exchange) Abandon()                     {}
func (x *exchange) Panicked(v any, stack []byte) { x.t.Errorf("panic: %v\n%s", v, stack) }

func (r *rig) stream(w int, factories ...filter.Factory) *exchange {
	x := &exchange{t: r.t, wake: make(chan struct{}, 1), props: map[string]filter.Value{}}
	x.chain = filter.NewChain(x, r.workers.At(w), 0, factories)
	return x
}

// take collects what has passed.
func (x *exchange) take(d filter.Direction) {
	for {
		o, ok := x.chain.Take(d)
		if !ok {
			return
		}
		if o.Headers != nil {
			x.out[d].Headers = o.Headers
		}
		x.body[d] += string(o.Data)
		if o.Trailers != nil {
			x.out[d].Trailers = o.Trailers
		}
		x.done[d] = x.done[d] || o.End
	}
}

func headers(fields ...string) *filter.Headers {
	h := &filter.Headers{}
	for i := 0; i < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
	}
	return h
}

// request sends a GET and returns what reached the upstream, or nil.
func (x *exchange) request(fields ...string) *filter.Headers {
	return x.send("", fields...)
}

// send sends a request with a body.
func (x *exchange) send(body string, fields ...string) *filter.Headers {
	h := headers(append([]string{":authority", "a.test", ":path", "/p", ":method", "GET", ":scheme", "http"}, fields...)...)
	x.chain.Headers(filter.Request, h, body == "")
	x.take(filter.Request)
	if body != "" {
		x.chain.Data(filter.Request, []byte(body), false)
		x.take(filter.Request)
		x.chain.Data(filter.Request, nil, true)
	}
	x.settle()
	return x.out[filter.Request].Headers
}

func (x *exchange) settle() {
	x.take(filter.Request)
	x.take(filter.Response)
}

// respond sends a response and returns what reaches the client.
func (x *exchange) respond(status, body string, fields ...string) string {
	h := headers(append([]string{":status", status}, fields...)...)
	x.chain.Headers(filter.Response, h, body == "")
	x.settle()
	if body != "" {
		x.chain.Data(filter.Response, []byte(body), false)
		x.settle()
		x.chain.Data(filter.Response, nil, true)
	}
	x.settle()
	return x.client()
}

// client is what the client got: the status, or how it ended, and the body.
func (x *exchange) client() string {
	x.settle()
	s := "nothing"
	if h := x.out[filter.Response].Headers; h != nil {
		s = h.Value(":status")
	}
	if x.chain.WasReset() {
		s += " reset"
	}
	if b := x.body[filter.Response]; b != "" {
		s += " " + b
	}
	return s
}

// until waits for the stream to be woken until ok.
func (x *exchange) until(ok func() bool) {
	x.t.Helper()
	for x.settle(); !ok(); x.settle() {
		<-x.wake
	}
}

func (x *exchange) end() { x.chain.End(&filter.Record{}) }

// get is a whole stream through factories: what the client got.
func (r *rig) get(w int, factories ...filter.Factory) string {
	x := r.stream(w, factories...)
	if x.request() != nil {
		x.respond("200", "")
	}
	s := x.client()
	x.end()
	return s
}

// fakeCaller answers calls as a test says.
type fakeCaller struct {
	mu      sync.Mutex
	calls   []*fakeCall
	streams []*fakeStream
	absent  int              // how many calls find no cluster
	stuck   bool             // services take no messages
	opened  chan *fakeStream // gets the streams, if it is there
}

// fakeStream is a gRPC stream; what the guest sends is kept.
type fakeStream struct {
	events   filter.GRPCEvents
	request  filter.GRPCRequest
	mu       sync.Mutex
	sent     []string
	stuck    bool
	waiting  int // what the service has not taken, if it is stuck
	canceled bool
}

func (s *fakeStream) Send(m []byte, end bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stuck {
		s.waiting += len(m)
	}
	s.sent = append(s.sent, fmt.Sprintf("%s %v", m, end))
}
func (s *fakeStream) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = 0
}
func (s *fakeStream) Close()  { s.Send([]byte("close"), true) }
func (s *fakeStream) Cancel() { s.canceled = true }
func (s *fakeStream) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting
}

type fakeCall struct {
	cluster string
	request filter.CallRequest
	done    func(filter.CallResponse)
}

func (c *fakeCaller) Call(cluster string, r filter.CallRequest, done func(filter.CallResponse)) (func(), error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.absent > 0 {
		c.absent--
		return nil, filter.ErrNoCluster
	}
	c.calls = append(c.calls, &fakeCall{cluster, r, done})
	return func() {}, nil
}

func (c *fakeCaller) OpenGRPC(_ string, r filter.GRPCRequest, events filter.GRPCEvents) (filter.GRPCStream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.absent > 0 {
		c.absent--
		return nil, filter.ErrNoCluster
	}
	s := &fakeStream{events: events, request: r, stuck: c.stuck}
	c.streams = append(c.streams, s)
	if c.opened != nil {
		c.opened <- s
	}
	return s, nil
}
