package wasm

import (
	"context"
	"runtime"
	"strings"
	"testing"

	"github.com/meshc/meshc/plugins"
	"github.com/meshc/meshc/runtime/filter"
)

// counting is a guest that adds the header x-added with the number of requests
// that it has seen, kept in its memory, as one digit. setup runs in
// proxy_on_configure, whose result it leaves on the stack.
func counting(setup ...[]byte) *guest {
	g := &guest{data: "x-added"}
	add := g.host("proxy_add_header_map_value", 0, 0, 7, 100, 1)
	count := append(append(append(i32(100), i32(100)...), loadI32...), i32(1)...)
	count = append(append(count, 0x6a), storeI32...) // memory[100]++
	g.export("proxy_on_request_headers", 3, true, count, add, i32(0))
	g.export("proxy_on_vm_start", 2, true, i32(100), i32('0'), storeI32, i32(1))
	if len(setup) > 0 {
		g.export("proxy_on_configure", 2, true, setup...)
	}
	return g
}

// once is the setup of a guest that can be configured only one time.
func once() [][]byte {
	again := append(append(i32(200), loadI32...), 0x45) // memory[200] == 0 …
	return [][]byte{again, i32(200), i32(1), storeI32}  // … asked, and then no longer so
}

// passes sends a request through and returns what was added to it.
func (r *rig) passes(w int, f filter.Factory) string {
	x := r.stream(w, f)
	defer x.end()
	h := x.request()
	if h == nil {
		return x.client()
	}
	x.respond("200", "")
	return h.Value("x-added")
}

func named(u plugins.Use, name string, change ...func(map[string]any)) plugins.Use {
	if len(change) > 0 {
		u.Config = use([]byte(u.Blob), change...).Config
	}
	u.Name = name
	return u
}

func commit(f filter.Factory) { f.(filter.Committer).Commit() }

// TestPrepareTouchesNothing: what is prepared and refused, or given up, leaves
// what serves as it was: the same guest, with what it has in its memory.
func TestPrepareTouchesNothing(t *testing.T) {
	trapAgain := append(append(append(append(i32(200), loadI32...), 0x04, 0x40), unreachable...), 0x0b) // if memory[200] != 0
	loopAgain := append(append(append(append(i32(200), loadI32...), 0x04, 0x40), forever...), 0x0b)
	mark := append(append(i32(200), i32(1)...), storeI32...)
	for name, c := range map[string]struct {
		setup   [][]byte
		refused string
	}{
		"the second root is refused": {once(), "refused the configuration"},
		"the second root traps":      {[][]byte{trapAgain, mark, i32(1)}, "unreachable"},
		"the second root never ends": {[][]byte{loopAgain, mark, i32(1)}, "longer than its limit"},
		"the snapshot is given up":   {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 2)
			u := use(counting(c.setup...).wasm())
			f := r.factory(u)
			for w := range 2 {
				if got := r.passes(w, f); got != "1" {
					t.Fatalf("before: %q", got)
				}
			}
			open := r.stream(0, f)
			open.request()
			g, err := r.maker.New(context.Background(), named(u, "default/q"))
			switch {
			case c.refused == "" && err != nil:
				t.Fatal(err)
			case c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)):
				t.Fatalf("New: %v", err)
			case c.refused == "":
				if got := r.passes(0, f); got != "3" {
					t.Errorf("while another is prepared: %q", got)
				}
				g.Close()
			}
			if got, want := r.passes(1, f), "2"; got != want {
				t.Errorf("after it: %q, want %q: another guest serves", got, want)
			}
			if got := open.respond("200", "ok"); got != "200 ok" {
				t.Errorf("a stream that had begun: %q", got)
			}
			open.end()
			if n := len(r.heard); n != 0 {
				t.Errorf("%d faults", n)
			}
		})
	}
}

// TestUsesShareTheGuest: uses of one VM have one guest in each worker, whether
// they came with one snapshot or with two; what began in the one before ends in it.
func TestUsesShareTheGuest(t *testing.T) {
	r := newRig(t, 2)
	u := use(counting().wasm())
	// Both in one snapshot.
	f, g := r.prepare(u), r.prepare(named(u, "default/q"))
	commit(f)
	commit(g)
	if a, b := r.passes(0, f), r.passes(0, g); a != "1" || b != "2" {
		t.Errorf("%q and %q", a, b)
	}
	open := r.stream(0, f)
	open.request()
	// A third, with the next one.
	h := r.prepare(named(u, "default/r"))
	commit(h)
	if a, b, c := r.passes(0, h), r.passes(0, f), r.passes(0, g); a != "1" || b != "2" || c != "3" {
		t.Errorf("%q, %q and %q", a, b, c)
	}
	if n := r.maker.metrics.instances.Load(); n != 3 {
		t.Errorf("%d instances, want two and the one that has a stream", n)
	}
	if got := open.respond("200", "ok"); got != "200 ok" {
		t.Errorf("the stream that had begun: %q", got)
	}
	open.end()
	if n := r.maker.metrics.instances.Load(); n != 2 {
		t.Errorf("%d instances after its end", n)
	}
	for _, f := range []filter.Factory{f, g, h} {
		f.Close()
	}
}

// TestNewConfiguration: a plugin that can be configured only once takes another
// configuration, for it gets a guest of its own; late streams of the old one
// still find theirs.
func TestNewConfiguration(t *testing.T) {
	r := newRig(t, 1)
	u := use(counting(once()...).wasm())
	old := r.factory(u)
	r.passes(0, old)
	next := r.factory(named(u, u.Name, with("configuration", "other")))
	if a, b := r.passes(0, next), r.passes(0, old); a != "1" || b != "2" {
		t.Errorf("%q and %q", a, b)
	}
}

// TestBlame: a fault names the use that it is about.
func TestBlame(t *testing.T) {
	r := newRig(t, 1)
	// The root whose configuration has a byte fails when there is shared data.
	g := &guest{data: "k"}
	shared := g.hostStatus("proxy_get_shared_data", 0, 1, 100, 104, 108)
	poison := g.host("proxy_set_shared_data", 0, 1, 0, 1, 0)
	when := append(append(shared, 0x45), local(1)...) // it is there, and the size is not 0
	when = append(when, 0x71, 0x45)                   // and; eqz: the result
	g.export("proxy_on_configure", 2, true, when)
	g.export("proxy_on_request_headers", 3, true, poison, unreachable)
	u := use(g.wasm())
	f, second := r.factory(u), r.factory(named(u, "default/q", with("configuration", "x")))
	if got := r.get(0, f); got != "503" {
		t.Errorf("the client got %q", got)
	}
	_ = second
	if fault := <-r.heard; fault.Use != "default/p" || fault.Reason != "trap" {
		t.Errorf("%+v", fault)
	}
	if fault := <-r.heard; fault.Use != "default/q" || fault.Reason != "start" {
		t.Errorf("the start: %+v", fault)
	}
	_, err := r.maker.New(context.Background(), named(u, "default/r"))
	if err == nil || !strings.Contains(err.Error(), "default/q, which is in the same VM") {
		t.Errorf("New of another: %v", err)
	}
}

// TestMeshesShareNothing: a vm_id, and with it shared data, queues and guests,
// is that of one mesh.
func TestMeshesShareNothing(t *testing.T) {
	r := newRig(t, 1)
	u := scripted(t, "", with("vmId", "v"))
	f, other := r.factory(u), r.factory(named(u, "shop/p"))
	if f.(*factory).vm == other.(*factory).vm {
		t.Error("two meshes have one VM")
	}
	x := r.stream(0, f)
	x.request("x-script", "a|request_headers:setshared=k;secret,register=q,enqueue=item")
	x.end()
	x = r.stream(0, other)
	x.request("x-script", "b|request_headers:getshared=k,resolve=v;q,resolve=;q")
	x.end()
	log := strings.ReplaceAll(r.log(), `\"`, `"`)
	for _, want := range []string{`get_shared_data("k") -> 1`, `resolve_shared_queue("v", "q") -> 1`, `resolve_shared_queue("", "q") -> 1`} {
		if !strings.Contains(log, want) {
			t.Errorf("no %s in\n%s", want, log)
		}
	}
}

// TestQueueThatGrows: a guest that enqueues more than it takes, whenever it is
// told of an item, keeps neither its worker nor the memory.
func TestQueueThatGrows(t *testing.T) {
	r := newRig(t, 1)
	g := &guest{data: "q"}
	token := append(i32(100), loadI32...)
	enqueue := append(append(append(append([]byte{}, token...), i32(0)...), i32(1)...), append(callFunction(g.imported("proxy_enqueue_shared_queue")), drop...)...)
	dequeue := append(append(append(append([]byte{}, token...), i32(104)...), i32(108)...), append(callFunction(g.imported("proxy_dequeue_shared_queue")), drop...)...)
	register := g.host("proxy_register_shared_queue", 0, 1, 100)
	g.export("proxy_on_configure", 2, true, register, i32(1))
	g.export("proxy_on_request_headers", 3, true, enqueue, i32(0))
	g.export("proxy_on_queue_ready", 2, false, dequeue, enqueue, enqueue, enqueue)
	f := r.factory(use(g.wasm()))
	w, before := r.workers.At(0), runtime.NumGoroutine()
	for range 200 { // others have their turn all the time
		r.get(0, f)
		w.Do(func() {})
	}
	if n := runtime.NumGoroutine() - before; n > 20 {
		t.Errorf("%d goroutines", n)
	}
}

// TestConnectionThatWaited: data that came while a replacement was awaited is
// shown to it, whatever it makes of the new connection.
func TestConnectionThatWaited(t *testing.T) {
	for name, c := range map[string]struct{ script, passes string }{
		"pauses, and continues late": {"c|new_connection:ret=1,tick=1 tick#1:effective,continue=2,tick=0 downstream_data#1:set=2;0;4;late", "late"},
		"continues at once":          {"c|new_connection:ret=1,continue=2 downstream_data#1:set=2;0;4;once", "once"},
		"holds the data":             {"c|downstream_data#1:bytes=2;0,tick=1,ret=1 tick#1:effective,set=2;0;4;held,continue=2,tick=0", "held"},
		"passes":                     {"c|downstream_data#1:set=2;0;4;good", "good"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1)
			u := scripted(t, c.script)
			u.TCP = true
			f := r.factory(u).(*factory)
			p := f.vm.places[0]
			s := f.seats[0]
			p.worker.Do(func() { f.seats[0], p.starting = nil, true })
			x := r.connection(0, f)
			x.chain.Data(filter.Request, []byte("evil"), false)
			x.settle()
			if x.body[filter.Request] != "" {
				t.Errorf("before there was a guest, %q passed", x.body[filter.Request])
			}
			p.worker.Do(func() {
				f.seats[0], p.starting = s, false
				waiting := p.waiting
				p.waiting = nil
				for _, w := range waiting {
					w.start(s)
				}
			})
			x.until(func() bool { return x.body[filter.Request] != "" })
			if got := x.body[filter.Request]; got != c.passes {
				t.Errorf("%q passed, want %q", got, c.passes)
			}
			if log := r.log(); !strings.Contains(log, "downstream_data#1") {
				t.Errorf("the guest has not seen it:\n%s", log)
			}
			x.end()
		})
	}
}

// TestRootThatWasRemovedMeanwhile: a root whose use goes while a replacement is
// started ends as any other: when it never says that it is done, after a while.
func TestRootThatWasRemovedMeanwhile(t *testing.T) {
	r := newRig(t, 1)
	g := &guest{}
	g.export("proxy_on_done", 1, true, i32(0)) // later, and never
	u := use(g.wasm())
	r.factory(u)
	q := r.factory(named(u, "default/q")).(*factory)
	v := q.vm
	x, _, err := v.start([]*factory{q})
	if err != nil {
		t.Fatal(err)
	}
	p := v.places[0]
	p.worker.Do(func() {
		q.gone[0] = true
		p.install(x)
		if len(x.roots) != 1 || x.roots[0].timer == nil {
			t.Errorf("nothing will end the root: %+v", x.roots)
		}
		x.roots[0].root.Delete() // as the timer does
		if len(x.roots) != 0 {
			t.Error("the root is not deleted")
		}
	})
}

// TestFaultWhilePreparing: what is prepared and not committed is no replacement
// for a guest that fails meanwhile.
func TestFaultWhilePreparing(t *testing.T) {
	r := newRig(t, 1)
	u := use(saboteur("proxy_on_request_headers", 3, true, unreachable).wasm())
	f := r.factory(u)
	g := r.prepare(named(u, "default/q"))
	use := f.(*factory)
	r.workers.At(0).Do(func() { // between the fault and the replacement
		s := use.seats[0]
		use.seats[0] = nil
		if use.seat(use.vm.places[0]) != nil {
			t.Error("what is only prepared is taken into service")
		}
		use.seats[0] = s
	})
	x := r.stream(0, f)
	if got := x.full("x-bad", "y"); got != "503" {
		t.Errorf("the stream that traps got %q", got)
	}
	x.end()
	<-r.heard
	next := r.stream(0, f)
	next.request()
	next.until(func() bool { return next.out[filter.Request].Headers != nil })
	if v := use.vm; v.next == nil || v.next.used {
		t.Error("the guest that was prepared for another snapshot serves")
	}
	g.Close()
	if got := next.respond("200", "ok"); got != "200 ok" {
		t.Errorf("after that is given up, a stream got %q", got)
	}
	next.end()
}
