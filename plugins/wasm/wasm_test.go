package wasm

import (
	"context"
	"strings"
	"testing"
)

// adder is a guest that adds a header to requests and to responses.
func adder() *guest {
	g := &guest{data: "x-added" + "yes"}
	add := func(m int32) []byte { return g.host("proxy_add_header_map_value", m, 0, 7, 7, 3) }
	onRequest, onResponse := add(0), add(2)
	return g.export("proxy_on_request_headers", 3, true, onRequest, i32(0)).
		export("proxy_on_response_headers", 3, true, onResponse, i32(0)).
		export("proxy_on_context_create", 2, false).
		export("proxy_on_log", 1, false).
		export("proxy_on_done", 1, true, i32(1)).
		export("proxy_on_delete", 1, false)
}

func TestHeaderFilter(t *testing.T) {
	r := newRig(t, 2)
	f := r.factory(use(adder().wasm()))
	for w := range 2 {
		x := r.stream(w, f)
		if h := x.request(); h == nil || h.Value("x-added") != "yes" {
			t.Errorf("the upstream got %+v", h)
		}
		if got := x.respond("200", "body"); got != "200 body" {
			t.Errorf("the client got %s", got)
		}
		if x.out[1].Headers.Value("x-added") != "yes" {
			t.Error("nothing was added to the response")
		}
		if x.routes != 1 {
			t.Errorf("the route was cleared %d times", x.routes)
		}
		x.end()
	}
}

func TestEqualUsesShareAFactory(t *testing.T) {
	r := newRig(t, 1)
	u := use(adder().wasm())
	f := r.factory(u)
	g := r.factory(u)
	if f != g {
		t.Error("two factories for one use")
	}
	other := u
	other.Name = "default/q"
	h := r.factory(other)
	if h == f || h.(*factory).vm != f.(*factory).vm {
		t.Error("another use of the same module wants a factory of its own, and the same VM")
	}
}

func TestRefused(t *testing.T) {
	r := newRig(t, 1)
	ok := adder().wasm()
	for name, c := range map[string]struct {
		code []byte
		want string
	}{
		"not a module":     {[]byte("hello"), "not a WebAssembly module"},
		"trap in start":    {(&guest{}).export("_start", 0, false, unreachable).wasm(), "unreachable"},
		"trap in vm_start": {(&guest{}).export("proxy_on_vm_start", 2, true, unreachable).wasm(), "unreachable"},
		"configure says no": {func() []byte {
			g := &guest{data: "I am unhappy"}
			say := g.host("proxy_log", 4, 0, 12)
			return g.export("proxy_on_configure", 2, true, say, i32(0)).wasm()
		}(), "proxy_on_configure refused the configuration"},
		"endless start":   {(&guest{}).export("_start", 0, false, forever).wasm(), "longer than its limit"},
		"too much memory": {(&guest{pages: 17}).export("proxy_on_log", 1, false).wasm(), "memory"},
		"host call too early": {func() []byte {
			g := &guest{}
			tick := g.host("proxy_set_tick_period_milliseconds", 1)
			return g.export("_start", 0, false, tick).wasm()
		}(), "before the module was started"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.maker.New(context.Background(), use(c.code))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			} else if strings.Contains(err.Error(), "unhappy") {
				t.Errorf("the error repeats what the guest said, which may be its configuration: %v", err)
			}
		})
	}
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.maker.New(canceled, use(ok)); err == nil {
		t.Error("made although the context has ended")
	}
}
