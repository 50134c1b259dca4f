package wasm

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/meshc/meshc/plugins"
	"github.com/meshc/meshc/plugins/wasm/internal/abi"
	"github.com/meshc/meshc/runtime/filter"
)

// saboteur is a guest that runs code in one callback, when a request asks for
// it with the header x-bad: y; without it, nothing happens. The code is given
// the callback's export.
func saboteur(callback string, params int, result bool, code ...[]byte) *guest {
	g := &guest{data: "x-bad"}
	// proxy_get_header_map_value(map, 0, 5, 100, 104) == Ok
	ask := func(m int32) []byte { return g.hostStatus("proxy_get_header_map_value", m, 0, 5, 100, 104) }
	onRequest, onResponse := ask(0), ask(2)
	bad := []byte(nil)
	for _, c := range code {
		bad = append(bad, c...)
	}
	// The answer is kept at 200, for callbacks that have no headers.
	remember := func(ask []byte) []byte { return append(append(i32(200), ask...), storeI32...) }
	when := func(code []byte) []byte { // if memory[200] == 0
		return append(append(append(append(i32(200), loadI32...), 0x45, 0x04, 0x40), code...), 0x0b)
	}
	export := func(name string, params int, result bool, before ...[]byte) {
		var all []byte
		for _, c := range before {
			all = append(all, c...)
		}
		if name == callback {
			all = append(all, when(bad)...)
		}
		if result {
			all = append(all, i32(0)...)
		}
		g.export(name, params, result, all)
	}
	export("proxy_on_request_headers", 3, true, remember(onRequest))
	export("proxy_on_response_headers", 3, true, remember(onResponse))
	for _, f := range []function{
		{"proxy_on_context_create", 2, false, nil}, {"proxy_on_request_body", 3, true, nil}, {"proxy_on_request_trailers", 2, true, nil},
		{"proxy_on_response_body", 3, true, nil}, {"proxy_on_response_trailers", 2, true, nil},
		{"proxy_on_log", 1, false, nil}, {"proxy_on_done", 1, true, nil}, {"proxy_on_delete", 1, false, nil},
	} {
		export(f.name, f.params, f.result)
	}
	// At the start there is nothing at 200 that would ask for harm.
	return g.export("proxy_on_vm_start", 2, true, i32(200), i32(1), storeI32, i32(1))
}

// full is a stream with everything in it: headers, body and trailers both ways.
func (x *exchange) full(fields ...string) string {
	x.chain.Headers(filter.Request, headers(append([]string{":authority", "a", ":path", "/", ":method", "POST", ":scheme", "http"}, fields...)...), false)
	x.settle()
	x.chain.Data(filter.Request, []byte("question"), false)
	x.settle()
	x.chain.Trailers(filter.Request, headers("t", "1"))
	x.settle()
	if x.chain.Replied() || x.chain.WasReset() {
		return x.client()
	}
	x.chain.Headers(filter.Response, headers(append([]string{":status", "200"}, fields...)...), false)
	x.settle()
	x.chain.Data(filter.Response, []byte("answer"), false)
	x.settle()
	x.chain.Trailers(filter.Response, headers("t", "2"))
	return x.client()
}

// TestTrapInEachCallback: the stream that traps is failed under either policy,
// one beside it goes on or fails by the policy, and the next one is served.
func TestTrapInEachCallback(t *testing.T) {
	for _, c := range []struct {
		callback string
		params   int
		result   bool
		want     string // what the client of the trapping stream gets
	}{
		{"proxy_on_request_headers", 3, true, "503"},
		{"proxy_on_request_body", 3, true, "503"},
		{"proxy_on_request_trailers", 2, true, "503"},
		{"proxy_on_response_headers", 3, true, "503"},
		{"proxy_on_response_body", 3, true, "200 reset"},
		{"proxy_on_response_trailers", 2, true, "200 reset answer"},
		{"proxy_on_log", 1, false, "200 answer"},
		{"proxy_on_done", 1, true, "200 answer"},
		{"proxy_on_delete", 1, false, "200 answer"},
	} {
		for _, policy := range []string{"closed", "open"} {
			t.Run(c.callback+" "+policy, func(t *testing.T) {
				r := newRig(t, 1)
				f := r.factory(use(saboteur(c.callback, c.params, c.result, unreachable).wasm(), with("failurePolicy", policy)))
				beside := r.stream(0, f)
				if beside.request() == nil {
					t.Fatal("the first stream did not pass")
				}
				x := r.stream(0, f)
				got := x.full("x-bad", "y")
				x.end()
				if got != c.want {
					t.Errorf("the client got %q, want %q", got, c.want)
				}
				fault := <-r.heard
				if fault.Reason != "trap" || fault.Use != "default/p" || !strings.Contains(fault.Detail, "unreachable") || fault.Restart.IsZero() {
					t.Errorf("%+v", fault)
				}
				// A response that the guest was to see must not pass unseen
				// where the policy is closed.
				want := "503"
				if policy == "open" {
					want = "200 secret"
				}
				if got := beside.respond("200", "secret"); got != want {
					t.Errorf("the stream beside got %q, want %q", got, want)
				}
				beside.end()
				// The next waits for the replacement, or goes on without.
				next := r.stream(0, f)
				next.request()
				next.until(func() bool { return next.out[filter.Request].Headers != nil })
				if got := next.respond("200", "ok"); got != "200 ok" {
					t.Errorf("the next stream got %q", got)
				}
				next.end()
			})
		}
	}
}

// TestHarm: what a hostile guest may try ends in a trap or a status, and never
// in more than its own end.
func TestHarm(t *testing.T) {
	for name, c := range map[string]struct {
		code   func(g *guest) [][]byte
		reason string // "" where the stream goes on
	}{
		"endless loop": {func(*guest) [][]byte { return [][]byte{forever} }, "timeout"},
		"endless loop of calls": {func(g *guest) [][]byte {
			call := g.host("proxy_get_header_map_size", 0, 300)
			loop := append([]byte{0x03, 0x40}, call...)
			return [][]byte{append(loop, 0x0c, 0, 0x0b)}
		}, "timeout"},
		"bad load":   {func(*guest) [][]byte { return [][]byte{loadFar, drop} }, "trap"},
		"memory hog": {func(*guest) [][]byte { return [][]byte{i32(1 << 15), growMemory, drop} }, ""},
		"bad pointers": {func(g *guest) [][]byte {
			return [][]byte{
				g.host("proxy_get_header_map_value", 0, -8, 16, -1, -1),
				g.host("proxy_get_header_map_value", 0, 0, 5, -1, -1),
				g.host("proxy_set_header_map_pairs", 0, -4, 8),
				g.host("proxy_get_buffer_bytes", 0, -1, -1, -1, -1),
				g.host("proxy_set_buffer_bytes", 0, 0, -1, -16, 1<<30),
				g.host("proxy_log", 2, -1, -1),
				g.host("proxy_http_call", -1, -1, -1, -1, -1, -1, -1, -1, 0, -1),
				g.host("proxy_send_local_response", 200, -1, -1, -1, -1, -1, -1, -1),
				g.host("proxy_get_property", -1, -1, -1, -1),
				g.host("proxy_call_foreign_function", -1, -1, -1, -1, -1, -1),
			}
		}, ""},
		"giant pairs": {func(g *guest) [][]byte {
			// A count of 2^32-1 pairs, and one of sizes that wrap around.
			return [][]byte{i32(400), i32(-1), storeI32, g.host("proxy_set_header_map_pairs", 1, 400, 4096)}
		}, ""},
		"a header that ends the head": {func(g *guest) [][]byte {
			return [][]byte{i32(400), i32(0x0a0d0a0d), storeI32, g.host("proxy_add_header_map_value", 0, 0, 5, 400, 4)}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1)
			g := &guest{data: "x-bad"}
			ask := g.hostStatus("proxy_get_header_map_value", 0, 0, 5, 100, 104)
			var bad []byte
			for _, code := range c.code(g) {
				bad = append(bad, code...)
			}
			// if x-bad is there: bad
			code := append(append(append(ask, 0x45, 0x04, 0x40), bad...), 0x0b)
			g.export("proxy_on_request_headers", 3, true, code, i32(0))
			f := r.factory(use(g.wasm()))
			x := r.stream(0, f)
			got := x.request("x-bad", "y")
			if c.reason == "" {
				if got == nil || x.client() != "nothing" || len(r.heard) != 0 {
					t.Errorf("the stream should have gone on: %v %s", got, x.client())
				} else if got.Len() != 5 {
					t.Errorf("headers were changed: %+v", got)
				}
			} else {
				if s := x.client(); s != "503" {
					t.Errorf("the client got %q", s)
				}
				if fault := <-r.heard; fault.Reason != c.reason {
					t.Errorf("%+v", fault)
				}
			}
			x.end()
			next := r.stream(0, f)
			next.request()
			next.until(func() bool { return next.out[filter.Request].Headers != nil })
			next.end()
		})
	}
}

func TestDeepRecursion(t *testing.T) {
	r := newRig(t, 1)
	g := &guest{}
	g.export("recurse", 0, true, callFunction(0), i32(1), []byte{0x6a})
	g.export("proxy_on_request_headers", 3, true, callFunction(0))
	f := r.factory(use(g.wasm(), with("callTimeout", "60s")))
	x := r.stream(0, f)
	x.request()
	if got := x.client(); got != "503" {
		t.Errorf("the client got %q", got)
	}
	if fault := <-r.heard; fault.Reason != "stack" {
		t.Errorf("%+v", fault)
	}
	x.end()
}

// TestBudget: a guest that fails at every stream is replaced less and less
// often, and is not even tried in between.
func TestBudget(t *testing.T) {
	r := newRig(t, 1)
	g := &guest{}
	g.export("proxy_on_request_headers", 3, true, unreachable)
	f := r.factory(use(g.wasm()))
	var last plugins.Fault
	for range 2 {
		x := r.stream(0, f)
		x.request()
		x.until(func() bool { return x.client() == "503" })
		x.end()
		last = <-r.heard
	}
	for range 20 {
		if got := r.get(0, f); got != "503" {
			t.Fatalf("got %q", got)
		}
	}
	if n := len(r.heard); n != 0 && time.Now().Before(last.Restart) {
		t.Errorf("%d more faults: it was started again too soon", n)
	}
}

func TestBackoff(t *testing.T) {
	var b backoff
	now := b.last.AddDate(2000, 0, 0)
	var waits []string
	for n := range 8 {
		wait := b.next(now)
		if n == 0 && wait != 0 {
			t.Errorf("the first replacement waits %v", wait)
		}
		waits = append(waits, fmt.Sprint(wait.Round(1e9)))
		now = now.Add(wait)
	}
	// Five within a minute; the sixth not before the first is a minute old.
	if total := now.Sub(b.starts[b.at]); total < budgetTime {
		t.Errorf("five in %v: %v", total, waits)
	}
	if wait := b.next(now.Add(2 * budgetTime)); wait != 0 {
		t.Errorf("not forgotten after two good minutes: %v", wait)
	}
}

// TestTrapWhileOthersWait: streams that wait for a guest which fails elsewhere
// are answered, where Envoy leaves them hanging.
func TestTrapWhileOthersWait(t *testing.T) {
	for name, script := range map[string]string{
		"an answer": "n|request_headers:http=backend;/;1000,ret=1 http_call_response:trap",
		"a tick":    "n|request_headers:tick=1,ret=1 tick:trap",
		"a queue":   "n|request_headers:register=q,enqueue=x,ret=1 queue_ready:trap",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1)
			f := r.factory(scripted(t, ""))
			// One is paused in its headers, one has gone on, one is paused in its body.
			passed := r.stream(0, f)
			passed.request()
			body := r.stream(0, f)
			body.send("piece", "x-script", "m|request_body:ret=1")
			x := r.stream(0, f)
			x.request("x-script", script)
			if name == "an answer" {
				go r.caller.called(t).done(filter.CallResponse{})
			}
			x.until(func() bool { return x.client() == "503" })
			body.until(func() bool { return body.client() == "503" })
			if got := passed.respond("200", "secret"); got != "503" {
				t.Errorf("the one that had gone on got %q", got)
			}
			for _, x := range []*exchange{passed, body, x} {
				x.end()
			}
			if fault := <-r.heard; fault.Reason != "trap" {
				t.Errorf("%+v", fault)
			}
		})
	}
}

// TestStormOfCalls: a guest may have so many calls in flight, and no more.
func TestStormOfCalls(t *testing.T) {
	r := newRig(t, 1)
	pairs := string(abi.AppendPairs(nil, headers(":method", "GET", ":path", "/", ":authority", "a")))
	g := &guest{data: "backend" + pairs}
	// while proxy_http_call(…) == Ok
	call := g.hostStatus("proxy_http_call", 0, 7, 7, int32(len(pairs)), 0, 0, 0, 0, 1000, 2048)
	keep := append(append(append([]byte{0x03, 0x40}, call...), 0x45, 0x0d, 0), 0x0b) // loop: i32.eqz, br_if 0
	g.export("proxy_on_request_headers", 3, true, keep, i32(0))
	g.export("proxy_on_http_call_response", 5, false)
	u := use(g.wasm(), with("callTimeout", "60s"))
	u.Clusters = []string{"backend"}
	x := r.stream(0, r.factory(u))
	if x.request() == nil {
		t.Errorf("the client got %q", x.client())
	}
	x.end()
	if n := len(r.caller.calls); n != 1000 {
		t.Errorf("%d calls", n)
	}
}
