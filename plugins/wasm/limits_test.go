package wasm

import (
	"testing"
	"time"

	"github.com/meshc/meshc/plugins"
)

// TestFaultLog: faults are logged once a second for each plugin, and each line
// tells how many came between.
func TestFaultLog(t *testing.T) {
	r := newRig(t, 1)
	start := time.Unix(1000, 0)
	for ms := range 2500 {
		for _, name := range []string{"default/a", "default/b"} {
			r.maker.fault(plugins.Fault{Time: start.Add(time.Duration(ms) * time.Millisecond), Use: name, Reason: "trap", Detail: "d"})
		}
		if ms == 500 {
			<-r.heard // each is reported
		}
		for len(r.heard) > 0 {
			<-r.heard
		}
	}
	want := ""
	for n := range 3 {
		for _, name := range []string{"default/a", "default/b"} {
			want += `level=ERROR msg="a plugin failed" plugin=` + name + " reason=trap detail=d"
			if n > 0 {
				want += " unlogged=999"
			}
			want += "\n"
		}
	}
	if got := r.log(); got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}

// TestCostlyHostCalls: what a guest has the host do counts for the time of its
// call, though it takes hardly any fuel.
func TestCostlyHostCalls(t *testing.T) {
	r := newRig(t, 1)
	g := &guest{data: "key", pages: 17}
	// do proxy_set_shared_data("key", the first MiB) while ++memory[200] < 500
	code := append([]byte{0x03, 0x40}, g.host("proxy_set_shared_data", 0, 3, 0, 1<<20, 0)...)
	for _, part := range [][]byte{i32(200), i32(200), loadI32, i32(1), {0x6a}, storeI32, i32(200), loadI32, i32(500), {0x49, 0x0d, 0, 0x0b}} {
		code = append(code, part...)
	}
	g.export("proxy_on_request_headers", 3, true, code, i32(0))
	f := r.factory(use(g.wasm(), with("memory", 2<<20), with("callTimeout", "1ms")))
	x := r.stream(0, f)
	x.request()
	if got := x.client(); got != "503" {
		t.Errorf("the client got %q", got)
	}
	select {
	case fault := <-r.heard:
		if fault.Reason != "timeout" {
			t.Errorf("%+v", fault)
		}
	default:
		t.Error("it was not stopped")
	}
	x.end()
}
