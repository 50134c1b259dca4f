package wasm

import (
	"context"
	"encoding/binary"
	"slices"
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

// TestWrites: what is written to stdout and stderr is a line in the log once the
// line has ended, and what has not ended when the call does is one, too.
func TestWrites(t *testing.T) {
	r := newRig(t, 1)
	// The addresses and lengths of the pieces, as WASI has them, and then these.
	vectors, text := "", "fatal error: out of memory\nlast words\ntwo\nlines\n"
	at := map[string]int32{}
	for _, piece := range []string{"fatal ", "error: ", "out of memory\n", "last", " words", "two\nlines\n"} {
		at[piece] = int32(len(vectors))
		vectors += string(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, uint32(48+strings.Index(text, piece))), uint32(len(piece))))
	}
	g := &guest{data: vectors + text}
	write := func(fd int32, piece string) []byte { return g.host("fd_write", fd, at[piece], 1, 1024) }
	log := g.host("proxy_log", 2, int32(48+strings.Index(text, "two")), 3)
	var all []byte
	for _, code := range [][]byte{
		write(2, "fatal "), write(2, "error: "), write(2, "out of memory\n"),
		write(2, "two\nlines\n"),
		write(1, "last"), write(2, " words"), write(2, "last"), log,
		write(2, "last"), write(2, " words"),
	} {
		all = append(all, code...)
	}
	g.export("proxy_on_request_headers", 3, true, all, unreachable)
	f := r.factory(use(g.wasm()))
	x := r.stream(0, f)
	x.request()
	x.end()
	<-r.heard
	var got []string
	for line := range strings.Lines(r.log()) {
		if strings.Contains(line, "plugin=default/p") && !strings.Contains(line, "failed") {
			got = append(got, strings.TrimSuffix(strings.TrimSpace(line), " plugin=default/p"))
		}
	}
	want := []string{
		`level=ERROR msg="fatal error: out of memory"`,
		`level=ERROR msg="two\nlines"`,
		`level=INFO msg=last`, `level=ERROR msg=" wordslast"`, `level=INFO msg=two`,
		`level=ERROR msg="last words"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
