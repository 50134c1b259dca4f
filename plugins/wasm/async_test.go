package wasm

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/meshc/meshc/plugins"
	"github.com/meshc/meshc/runtime/filter"
)

// scripted is the use of the conformance guest, which does what a stream's
// header x-script says, or the VM's configuration.
func scripted(t testing.TB, script string, change ...func(map[string]any)) plugins.Use {
	code, err := os.ReadFile("internal/abitest/abi021.wasm")
	if err != nil {
		t.Fatal(err)
	}
	change = append([]func(map[string]any){with("memory", 8<<20), with("vmConfiguration", script), with("callTimeout", "60s"), with("rootId", "root")}, change...)
	u := use(code, change...)
	u.Clusters = []string{"backend"}
	return u
}

// called returns the next call that the guest made.
func (c *fakeCaller) called(t testing.TB) *fakeCall {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.calls) == 0 {
		t.Fatal("the guest called nobody")
	}
	call := c.calls[0]
	c.calls = c.calls[1:]
	return call
}

func TestCallPausesAndResumes(t *testing.T) {
	r := newRig(t, 1)
	f := r.factory(scripted(t, ""))
	x := r.stream(0, f)
	x.props["xds.node.id"] = "default.web"
	if h := x.request("x-script", "n|request_headers:http=backend;/auth;1000;POST;ask,ret=1 http_call_response:answer,effective,add=0;x-user;me,continue=0"); h != nil {
		t.Fatalf("the request was not held: %+v", h)
	}
	call := r.caller.called(t)
	if call.cluster != "backend" || call.request.Headers.Value(":path") != "/auth" || string(call.request.Body) != "ask" || call.request.Headers.Value("content-length") != "3" {
		t.Errorf("%+v", call)
	}
	if call.request.Proxy != "default.web" {
		t.Errorf("the call is made for %q", call.request.Proxy)
	}
	// The answer comes from elsewhere.
	go call.done(filter.CallResponse{Headers: headers(":status", "200", "x-answer", "yes"), Body: []byte("go on")})
	x.until(func() bool { return x.out[filter.Request].Headers != nil })
	if v := x.out[filter.Request].Headers.Value("x-user"); v != "me" {
		t.Errorf("x-user is %q", v)
	}
	if log := r.log(); !strings.Contains(log, `http_call_response#1 (1, 0, 2, 5, 0)`) || !strings.Contains(log, "go on") {
		t.Errorf("the answer was not seen:\n%s", log)
	}
	x.end()
}

func TestCallOfNobody(t *testing.T) {
	r := newRig(t, 1)
	u := scripted(t, "")
	u.Clusters = nil
	x := r.stream(0, r.factory(u))
	x.request("x-script", "n|request_headers:http=backend;/;1000,grpc=backend;Unary;1000;hello")
	x.end()
	if log := r.log(); !strings.Contains(log, `1000) -> 2`) || len(r.caller.calls) != 0 {
		t.Errorf("a cluster that was not granted was called:\n%s", log)
	}
}

// TestAnswerAfterTheEnd: as in Envoy, the root hears of it; a guest that is
// gone hears of nothing.
func TestAnswerAfterTheEnd(t *testing.T) {
	r := newRig(t, 1)
	u := scripted(t, "")
	f, err := r.maker.New(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	var calls []*fakeCall
	for range 2 {
		x := r.stream(0, f)
		x.request("x-script", "n|request_headers:http=backend;/;1000")
		x.end()
		calls = append(calls, r.caller.called(t))
	}
	calls[0].done(filter.CallResponse{})
	if !strings.Contains(r.log(), "http_call_response#1 (1, 0, 0, 0, 0)") {
		t.Errorf("the root did not hear:\n%s", r.log())
	}
	f.Close()
	calls[1].done(filter.CallResponse{})
	if strings.Contains(r.log(), "http_call_response#2") {
		t.Error("a guest that has ended was called")
	}
}

func TestTicks(t *testing.T) {
	r := newRig(t, 1)
	f := r.factory(scripted(t, ""))
	x := r.stream(0, f)
	x.request("x-script", "n|request_headers:tick=1,ret=1 tick#3:tick=0,effective,continue=0")
	x.until(func() bool { return x.out[filter.Request].Headers != nil })
	x.end()
	if log := r.log(); !strings.Contains(log, "tick#3") {
		t.Error(log)
	}
}

// TestQueueAcrossWorkers: what one worker's guest enqueues, the guest of the
// worker that registered the queue last hears of.
func TestQueueAcrossWorkers(t *testing.T) {
	r := newRig(t, 2)
	f := r.factory(scripted(t, "", with("vmId", "v")))
	producer := r.stream(0, f)
	producer.chain.Headers(filter.Request, headers(":path", "/", "x-script", "p|request_headers:register=q request_body:enqueue=hello"), false)
	consumer := r.stream(1, f)
	consumer.request("x-script", "c|request_headers:register=q,ret=1 queue_ready:effective,dequeue,continue=0")
	producer.chain.Data(filter.Request, []byte("now"), true)
	consumer.until(func() bool { return consumer.out[filter.Request].Headers != nil })
	producer.end()
	consumer.end()
	if !strings.Contains(r.log(), `hello`) || !strings.Contains(r.log(), "queue_ready#1") {
		t.Error(r.log())
	}
}

func TestLocalReplyPassesTheFilter(t *testing.T) {
	r := newRig(t, 1)
	x := r.stream(0, r.factory(scripted(t, "")))
	if x.request("x-script", "n|request_headers:local=403;no-entry;why,ret=1 response_headers:add=2;x-seen;1") != nil {
		t.Error("the request went on")
	}
	if got := x.client(); got != "403 no-entry" {
		t.Errorf("the client got %q", got)
	}
	if x.out[filter.Response].Headers.Value("x-seen") != "1" {
		t.Error("the reply passed no response callback")
	}
	x.end()
}

// connection is a TCP connection through factories.
func (r *rig) connection(w int, factories ...filter.Factory) *exchange {
	x := &exchange{t: r.t, wake: make(chan struct{}, 1), props: map[string]filter.Value{}}
	x.chain = filter.NewConnChain(x, r.workers.At(w), 0, factories)
	x.chain.Headers(filter.Request, nil, false)
	x.settle()
	return x
}

func TestConnection(t *testing.T) {
	r := newRig(t, 1)
	u := scripted(t, "c|downstream_data#1:ret=1,bytes=2;0 downstream_data#2:bytes=2;0,set=2;0;0;> upstream_data#1:set=3;0;100;up")
	u.TCP = true
	x := r.connection(0, r.factory(u))
	x.chain.Data(filter.Request, []byte("one"), false)
	x.settle()
	if x.body[filter.Request] != "" {
		t.Errorf("the first data was not held: %q", x.body[filter.Request])
	}
	x.chain.Data(filter.Request, []byte("two"), true)
	x.settle()
	if got := x.body[filter.Request]; got != ">onetwo" || !x.done[filter.Request] {
		t.Errorf("upstream got %q %v", got, x.done)
	}
	x.chain.Data(filter.Response, []byte("down"), true)
	x.settle()
	if got := x.body[filter.Response]; got != "up" {
		t.Errorf("downstream got %q", got)
	}
	x.chain.Closed(filter.Response, true)
	x.chain.Closed(filter.Request, true)
	x.end()
	order := []string{"context_create#1", "new_connection#1", "downstream_data#1", "downstream_data#2", "upstream_data#1", "upstream_close#1 (0)", "downstream_close#1 (2)", "done#1", "log#1", "delete#1"}
	at := 0
	for _, event := range order {
		n := strings.Index(r.log()[at:], event)
		if n < 0 {
			t.Fatalf("no %s, or not in order:\n%s", event, r.log())
		}
		at += n
	}
}

func TestConnectionTrap(t *testing.T) {
	for _, policy := range []string{"closed", "open"} {
		r := newRig(t, 1)
		g := &guest{}
		g.export("proxy_on_downstream_data", 3, true, unreachable)
		u := use(g.wasm(), with("failurePolicy", policy))
		u.TCP = true
		f := r.factory(u)
		x := r.connection(0, f)
		beside := r.connection(0, f)
		x.chain.Data(filter.Request, []byte("x"), false)
		x.settle()
		if !x.chain.WasReset() {
			t.Errorf("%s: the connection was not closed", policy)
		}
		beside.chain.Data(filter.Response, []byte("y"), false)
		beside.settle()
		if open := policy == "open"; open != (beside.body[filter.Response] == "y") || open == beside.chain.WasReset() {
			t.Errorf("%s: the one beside: %q %v", policy, beside.body, beside.chain.WasReset())
		}
		x.end()
		beside.end()
		// The next one waits for the replacement with what it has sent.
		next := r.connection(0, f)
		next.end()
	}
}

// TestSwap: a module replaced again and again leaves nothing behind; see also
// what newRig checks at the end.
func TestSwap(t *testing.T) {
	r := newRig(t, 2)
	code := adder().wasm()
	var old filter.Factory
	for n := range 50 {
		f, err := r.maker.New(t.Context(), use(code, with("configuration", strings.Repeat("x", n%7)), with("vmConfiguration", strings.Repeat("y", n%5))))
		if err != nil {
			t.Fatal(err)
		}
		if got := r.get(n%2, f); got != "200" {
			t.Fatalf("%d: %s", n, got)
		}
		if old != nil {
			old.Close()
		}
		old = f
	}
	old.Close()
	for _, w := range []int{0, 1} { // what was posted has run
		r.workers.At(w).Do(func() {})
	}
	if n := r.maker.metrics.instances.Load(); n != 0 {
		t.Errorf("%d instances are left", n)
	}
	if len(r.caller.calls) != 0 || len(r.heard) != 0 {
		t.Error("faults")
	}
}

// TestDoneLater: a root that says "later" is deleted when it says so.
func TestDoneLater(t *testing.T) {
	r := newRig(t, 1)
	f := r.prepare(scripted(t, "root|root_done:done,ret=0,tick=1 tick#1:done,tick=0"))
	f.(filter.Committer).Commit()
	f.Close()
	v := f.(*factory).vm
	v.open.Wait()
	if log := r.log(); !strings.Contains(log, "root_delete#1") {
		t.Errorf("no on_delete:\n%s", log)
	}
}

// TestCallBeforeTheClusterIsThere: a guest that starts in Prepare may call
// what the snapshot being prepared brings.
func TestCallBeforeTheClusterIsThere(t *testing.T) {
	r := newRig(t, 1)
	r.caller.absent = 2
	x := r.stream(0, r.factory(scripted(t, "")))
	x.request("x-script", "n|request_headers:http=backend;/;1000,ret=1 http_call_response:effective,continue=0")
	for made := false; !made; {
		r.caller.mu.Lock()
		made = len(r.caller.calls) > 0
		r.caller.mu.Unlock()
		runtime.Gosched()
	}
	r.caller.called(t).done(filter.CallResponse{Headers: headers(":status", "200")})
	x.until(func() bool { return x.out[filter.Request].Headers != nil })
	x.end()
}

func TestGRPC(t *testing.T) {
	r := newRig(t, 1)
	f := r.factory(scripted(t, ""))
	x := r.stream(0, f)
	x.request("x-script", "u|request_headers:grpc=backend;Unary;1000;hello,ret=1 grpc_receive:message,effective,continue=0 grpc_close:status")
	s := r.caller.streams[0]
	if s.request.Method != "Unary" || len(s.sent) != 1 || s.sent[0] != "hello true" {
		t.Errorf("%+v %q", s.request, s.sent)
	}
	// Of a unary call that succeeds, the guest hears the answer and no more.
	s.events.InitialMetadata(headers("a", "b"))
	s.events.Message([]byte("reply"))
	if x.out[filter.Request].Headers != nil {
		t.Error("told before the call has succeeded")
	}
	s.events.TrailingMetadata(headers("c", "d"))
	s.events.Closed(0, "")
	x.until(func() bool { return x.out[filter.Request].Headers != nil })
	x.end()
	if log := r.log(); !strings.Contains(log, "grpc_receive#1") || strings.Contains(log, "metadata#") || strings.Contains(log, "grpc_close#") {
		t.Error(log)
	}

	x = r.stream(0, f)
	x.request("x-script", "s|request_headers:stream=backend;Echo,send=one,ret=1 grpc_receive_initial_metadata:message grpc_receive:message grpc_receive_trailing_metadata:message grpc_close:status,effective,continue=0")
	s = r.caller.streams[1]
	s.events.InitialMetadata(headers("a", "b"))
	s.events.Message([]byte("reply"))
	s.events.TrailingMetadata(headers("c", "d"))
	s.events.Closed(5, "gone")
	x.until(func() bool { return x.out[filter.Request].Headers != nil })
	x.end()
	log := r.log()
	for _, want := range []string{"grpc_receive_initial_metadata#1 (1, 0, 1)", "grpc_receive#1 (1, 0, 5)", "grpc_receive_trailing_metadata#1 (1, 0, 1)", "grpc_close#1 (1, 0, 5)", "gone"} {
		if !strings.Contains(log, want) {
			t.Errorf("no %s in\n%s", want, log)
		}
	}
}

// TestPropertiesByPhase: what is read from headers is there while they are.
func TestPropertiesByPhase(t *testing.T) {
	r := newRig(t, 1)
	x := r.stream(0, r.factory(scripted(t, "", with("rootId", "myroot"))))
	x.props["request.path"], x.props["request.size"] = "/p", int64(7)
	read := "property=request/path,property=request/size,property=request/headers/x-a,property=plugin_root_id,property=none/none"
	x.request("x-a", "1", "x-a", "2", "x-script", "n|request_headers:"+read+" response_headers:"+read)
	x.respond("200", "")
	x.end()
	log := strings.ReplaceAll(r.log(), `\"`, `"`)
	for _, want := range []string{
		`request_headers#1 get_property(request/path) -> 0 2 "/p"`, `request_headers#1 get_property(request/headers/x-a) -> 0 3 "1,2"`,
		`response_headers#1 get_property(request/path) -> 1`, `response_headers#1 get_property(request/headers/x-a) -> 1`,
		`response_headers#1 get_property(request/size) -> 0 8`, `response_headers#1 get_property(plugin_root_id) -> 0 6 "myroot"`,
		`response_headers#1 get_property(none/none) -> 1`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("no %s in\n%s", want, log)
		}
	}
}

// TestVersions: a guest of each version gets what its version says.
func TestVersions(t *testing.T) {
	for version, want := range map[string]string{
		"010": `get_header_map_value(0, "x-none") -> 0 ""`, // no way to say that there is none
		"020": `get_header_map_value(0, "x-none") -> 1`,
		"021": `get_header_map_value(0, "x-none") -> 1`,
	} {
		code, err := os.ReadFile("internal/abitest/abi" + version + ".wasm")
		if err != nil {
			t.Fatal(err)
		}
		r := newRig(t, 1)
		x := r.stream(0, r.factory(use(code, with("memory", 8<<20), with("callTimeout", "60s"), with("configuration", "c"))))
		if h := x.request("x-script", "n|request_headers:value=0;x-none,add=0;x-a;1 response_headers:add=2;x-b;2"); h == nil || h.Value("x-a") != "1" {
			t.Errorf("%s: the upstream got %v", version, h)
		}
		x.respond("200", "")
		if x.out[filter.Response].Headers.Value("x-b") != "2" {
			t.Errorf("%s: %s", version, x.client())
		}
		x.end()
		if log := strings.ReplaceAll(r.log(), `\"`, `"`); !strings.Contains(log, want) {
			t.Errorf("%s: no %s in\n%s", version, want, log)
		}
	}
}
