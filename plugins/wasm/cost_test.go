package wasm

import (
	"bytes"
	"compress/zlib"
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/meshc/meshc/plugins/wasm/internal/abi"
	"github.com/meshc/meshc/runtime/filter"
)

// Where the guests of these tests have things.
const (
	counterAt = 0    // "n", the name of the metric that they count in
	textAt    = 16   // what the test gives them
	resultAt  = 8000 // what host functions return
	keyAt     = 8100 // a number that is another in each round
	bytesAt   = 9000 // nothing but zeros
)

// Of bytesAt: what fits into a page with them.
const bytesLen = 50_000

// hardWorker is a guest that calls a host function in a callback again and again:
// without end, or until it does not return Ok any more. The first call may be
// another one. Its rounds are those that a metric counts.
func hardWorker(callback string, text string, endless bool, first, again func(*guest) []byte) *guest {
	g := &guest{data: "n" + strings.Repeat("\x00", textAt-1) + text, pages: 1}
	define := g.host("proxy_define_metric", 0, counterAt, 1, resultAt)
	// proxy_increment_metric(the first counter, 1)
	count := append(append(i32(4), 0x42, 1), callFunction(g.imported("proxy_increment_metric"))...)
	count = append(count, drop...)
	for _, part := range [][]byte{i32(keyAt), i32(keyAt), loadI32, i32(1), {0x6a}, storeI32} {
		count = append(count, part...)
	}
	var begin []byte
	if first != nil {
		begin = append(first(g), drop...)
	}
	loop := append([]byte{0x03, 0x40}, again(g)...)
	if endless {
		loop = append(append(append(loop, drop...), count...), 0x0c, 0, 0x0b)
	} else {
		loop = append(append(append(loop, 0x45, 0x04, 0x40), count...), 0x0c, 1, 0x0b, 0x0b)
	}
	return g.export("proxy_on_vm_start", 2, true, define, i32(1)).
		export(callback, 3, true, begin, loop, i32(1))
}

// rounds is how often the guests of a rig have come to the end of a round.
func (r *rig) rounds() (n int) {
	all := make(chan prometheus.Metric, 100)
	r.maker.guests.Collect(all)
	close(all)
	for m := range all {
		var v dto.Metric
		if m.Write(&v) == nil && v.Counter != nil {
			n += int(v.Counter.GetValue())
		}
	}
	return n
}

// foreignCall is a call of a foreign function whose name is the first of the
// guest's text, with arguments anywhere.
func foreignCall(name string, at, length int32) func(*guest) []byte {
	return func(g *guest) []byte {
		return g.hostStatus("proxy_call_foreign_function", textAt, int32(len(name)), at, length, resultAt, resultAt+4)
	}
}

// TestEndlessHostWork: a guest that has the host work, which takes hardly any
// fuel, is stopped soon. Time goes by only when the clock is looked at: a second
// each time, of which a call may take half of one.
func TestEndlessHostWork(t *testing.T) {
	var bomb bytes.Buffer
	w := zlib.NewWriter(&bomb)
	w.Write(make([]byte, 4<<20))
	w.Close()
	pairs := string(abi.AppendPairs(nil, headers(":method", "GET", ":path", "/", ":authority", "a")))
	expression := "[" + strings.Repeat("1,", 500) + "1].all(x, x == 1)"
	for name, c := range map[string]struct {
		text         string
		first, again func(*guest) []byte
		body         bool // in proxy_on_request_body
	}{
		"compress":         {"compress", nil, foreignCall("compress", bytesAt, bytesLen), false},
		"uncompress":       {"uncompress" + bomb.String(), nil, foreignCall("uncompress", textAt+10, int32(bomb.Len())), false},
		"verify_signature": {"verify_signature", nil, foreignCall("verify_signature", textAt, 0), false},
		"sign":             {"sign", nil, foreignCall("sign", textAt, 0), false},
		"expr_create":      {"expr_create" + expression, nil, foreignCall("expr_create", textAt+11, int32(len(expression))), false},
		"expr_evaluate": {"expr_evaluate" + "expr_create" + expression,
			func(g *guest) []byte {
				return g.hostStatus("proxy_call_foreign_function", textAt+13, 11, textAt+24, int32(len(expression)), 0, 0)
			}, foreignCall("expr_evaluate", bytesAt, 4), false},
		"log":          {"", nil, func(g *guest) []byte { return g.hostStatus("proxy_log", 2, bytesAt, bytesLen) }, false},
		"set_property": {"k", nil, func(g *guest) []byte { return g.hostStatus("proxy_set_property", textAt, 1, bytesAt, bytesLen) }, false},
		"http_call": {"backend" + pairs, nil, func(g *guest) []byte {
			return g.hostStatus("proxy_http_call", textAt, 7, textAt+7, int32(len(pairs)), bytesAt, bytesLen, 0, 0, 1000, resultAt)
		}, false},
		"grpc_call": {"backend", nil, func(g *guest) []byte {
			return g.hostStatus("proxy_grpc_call", textAt, 7, textAt, 1, textAt, 1, 0, 0, bytesAt, bytesLen, 1000, resultAt)
		}, false},
		"set_shared_data": {"k", nil, func(g *guest) []byte { return g.hostStatus("proxy_set_shared_data", textAt, 1, bytesAt, bytesLen, 0) }, false},
		"local_response": {"", nil, func(g *guest) []byte {
			return g.hostStatus("proxy_send_local_response", 200, 0, 0, bytesAt, bytesLen, 0, 0, -1)
		}, false},
		"set_buffer": {"", nil, func(g *guest) []byte { return g.hostStatus("proxy_set_buffer_bytes", 0, 0, 0, bytesAt, bytesLen) }, true},
		"set_pairs":  {"", nil, func(g *guest) []byte { return g.hostStatus("proxy_set_header_map_pairs", 1, bytesAt, bytesLen) }, false},
		"get_property": {"", nil, func(g *guest) []byte {
			return g.hostStatus("proxy_get_property", textAt, bytesLen, resultAt, resultAt+4)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1)
			callback := "proxy_on_request_headers"
			if c.body {
				callback = "proxy_on_request_body"
			}
			u := use(hardWorker(callback, c.text, true, c.first, c.again).wasm(), with("callTimeout", "500ms"))
			u.Clusters = []string{"backend"}
			f := r.factory(u)
			var now time.Time
			f.(*factory).vm.config.Now = func() time.Time {
				now = now.Add(time.Second)
				return now
			}
			x := r.stream(0, f)
			x.send(map[bool]string{true: "body"}[c.body])
			if got := x.client(); got != "503" && got != "nothing reset" { // what it had asked for is not answered
				t.Errorf("the client got %q", got)
			}
			if fault := <-r.heard; fault.Reason != "timeout" {
				t.Errorf("%+v", fault)
			}
			// It would be some 3,000 if fuel alone were counted.
			if n := r.rounds(); n > 300 {
				t.Errorf("%d rounds", n)
			}
			x.end()
			r.workers.At(0).Do(func() {}) // which waits for no one
		})
	}
}

// TestHeldForGuests: what the host keeps for guests is bounded, and is free again
// when what it was kept for has gone.
func TestHeldForGuests(t *testing.T) {
	const limit = 32 << 20 / bytesLen // rounds
	pairs := string(abi.AppendPairs(nil, headers(":method", "GET", ":path", "/", ":authority", "a")))
	for name, c := range map[string]struct {
		text         string
		first, again func(*guest) []byte
		free         func(*rig)
	}{
		"properties": {"", nil, func(g *guest) []byte { return g.hostStatus("proxy_set_property", keyAt, 4, bytesAt, bytesLen) }, nil},
		"names":      {"", nil, func(g *guest) []byte { return g.hostStatus("proxy_set_property", keyAt, bytesLen, 0, 0) }, nil},
		"calls": {"backend" + pairs, nil, func(g *guest) []byte {
			return g.hostStatus("proxy_http_call", textAt, 7, textAt+7, int32(len(pairs)), bytesAt, bytesLen, 0, 0, 1000, resultAt)
		}, func(r *rig) {
			for len(r.caller.calls) > 0 {
				r.caller.called(r.t).done(filter.CallResponse{})
			}
		}},
		"gRPC calls": {"backend", nil, func(g *guest) []byte {
			return g.hostStatus("proxy_grpc_call", textAt, 7, textAt, 1, textAt, 1, 0, 0, bytesAt, bytesLen, 1000, resultAt)
		}, func(r *rig) {
			for _, s := range r.caller.streams {
				s.events.Closed(14, "")
			}
			r.caller.streams = nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1)
			u := use(hardWorker("proxy_on_request_headers", c.text, false, c.first, c.again).wasm(), with("callTimeout", "60s"))
			u.Clusters = []string{"backend"}
			f := r.factory(u)
			before := 0
			for range 3 {
				x := r.stream(0, f)
				x.request()
				n := r.rounds() - before
				before += n
				if n > limit || n < limit*8/10 {
					t.Errorf("%d of %d bytes were kept", n, bytesLen)
				}
				x.end()
				if c.free != nil {
					c.free(r)
				}
			}
		})
	}
}

// TestHeldDeclarations: so is what streams declare; a schema of 600 kB each.
func TestHeldDeclarations(t *testing.T) {
	const schema = 600_000
	r := newRig(t, 1)
	message := append([]byte{0x22}, uleb(schema)...) // after a name that is the number at keyAt
	text := "declare_property"
	text += strings.Repeat("\x00", keyAt-2-textAt-len(text)) + "\x0a\x04\x00\x00\x00\x00" + string(message)
	g := hardWorker("proxy_on_request_headers", text, false, nil, func(g *guest) []byte {
		return g.hostStatus("proxy_call_foreign_function", textAt, 16, keyAt-2, int32(6+len(message)+schema), 0, 0)
	})
	g.pages = 11
	f := r.factory(use(g.wasm(), with("callTimeout", "60s")))
	for round := range 2 {
		x := r.stream(0, f)
		x.request()
		if n := r.rounds(); n/(round+1) != 32<<20/schema {
			t.Errorf("%d declarations in round %d", n, round)
		}
		x.end()
	}
}

// TestHeldReplies: so are the bodies of replies that are on their way.
func TestHeldReplies(t *testing.T) {
	r := newRig(t, 1)
	g := hardWorker("proxy_on_request_headers", "", false, func(g *guest) []byte {
		return g.hostStatus("proxy_send_local_response", 200, 0, 0, bytesAt, bytesLen, 0, 0, -1)
	}, func(g *guest) []byte { return i32(1) })
	f := r.factory(use(g.wasm(), with("callTimeout", "60s")))
	for range 2 {
		var all []*exchange
		replied := 0
		for range 32<<20/bytesLen + 10 {
			x := r.stream(0, f)
			if x.request(); x.chain.Replied() {
				replied++
			}
			all = append(all, x)
		}
		if replied < 600 || replied > 32<<20/bytesLen {
			t.Errorf("%d replies", replied)
		}
		for _, x := range all {
			x.end()
		}
	}
}

// TestHeldBodies: and what guests make bodies longer by, while they are kept.
func TestHeldBodies(t *testing.T) {
	r := newRig(t, 1)
	g := hardWorker("proxy_on_request_body", "", false, nil, func(g *guest) []byte {
		return g.hostStatus("proxy_set_buffer_bytes", 0, 0, 0, bytesAt, bytesLen)
	})
	f := r.factory(use(g.wasm(), with("callTimeout", "60s")))
	for range 2 {
		before := r.rounds()
		var all []*exchange
		for range 5 {
			x := r.stream(0, f)
			x.chain.Headers(filter.Request, headers(":authority", "a", ":path", "/", ":method", "POST", ":scheme", "http"), false)
			x.chain.Data(filter.Request, []byte("x"), false)
			x.settle()
			all = append(all, x)
		}
		if n := r.rounds() - before; n < 600 || n > 32<<20/bytesLen {
			t.Errorf("%d pieces", n)
		}
		for _, x := range all {
			x.end()
		}
	}
}

// TestMessagesToGuests: whoever reads a gRPC stream waits for the guest to take
// each message, but not for one that has ended or wants no more.
func TestMessagesToGuests(t *testing.T) {
	r := newRig(t, 1)
	u := scripted(t, "")
	f, err := r.maker.New(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	x := r.stream(0, f)
	x.request("x-script", "s|request_headers:stream=backend;Echo,ret=1 grpc_receive:message")
	x.end()
	s := r.caller.streams[0]
	read := make(chan int)
	var wait sync.WaitGroup
	r.workers.At(0).Do(func() {
		wait.Go(func() {
			for n := range 3 {
				s.events.Message(fmt.Append(nil, "message ", n))
				read <- n
			}
		})
		// Nothing is taken while this runs, so nothing is read.
		for range 10_000 {
			select {
			case n := <-read:
				t.Errorf("message %d was taken by nobody", n)
			default:
				runtime.Gosched()
			}
		}
	})
	for n := range 3 {
		if got := <-read; got != n {
			t.Errorf("message %d, want %d", got, n)
		}
	}
	wait.Wait()
	if !strings.Contains(r.log(), "message 2") {
		t.Error(r.log())
	}
	// More than there is room for ends the stream, and the guest hears of it.
	s.events.Message(make([]byte, 300<<20))
	if !s.canceled || !strings.Contains(r.log(), "grpc_close#1 (1, 0, 8)") {
		t.Errorf("%v\n%s", s.canceled, r.log())
	}
	// A reader does not wait for a guest that is gone.
	x = r.stream(0, f)
	x.request("x-script", "t|request_headers:stream=backend;Echo,ret=1")
	x.end()
	s = r.caller.streams[1]
	r.workers.At(0).Do(func() {
		wait.Go(func() { s.events.Message([]byte("late")) })
	})
	f.Close()
	wait.Wait()
	s.events.Message([]byte("too late"))
}

// TestMessagesFromGuests: what a service does not take is kept for a stream only
// as long as there is room.
func TestMessagesFromGuests(t *testing.T) {
	r := newRig(t, 1)
	g := hardWorker("proxy_on_request_headers", "backend", false, func(g *guest) []byte {
		return g.hostStatus("proxy_grpc_stream", textAt, 7, textAt, 1, textAt, 1, 0, 0, resultAt)
	}, func(g *guest) []byte {
		code := append(i32(resultAt), loadI32...)
		for _, v := range []int32{bytesAt, bytesLen, 0} {
			code = append(code, i32(v)...)
		}
		return append(code, callFunction(g.imported("proxy_grpc_send"))...)
	})
	u := use(g.wasm(), with("callTimeout", "60s"))
	u.Clusters = []string{"backend"}
	f := r.factory(u)
	r.caller.stuck = true
	send := func() int {
		before := r.rounds()
		x := r.stream(0, f)
		x.request()
		x.end()
		return r.rounds() - before
	}
	if n := send(); n < 600 || n > 32<<20/bytesLen {
		t.Errorf("%d messages were kept", n)
	}
	if n := send(); n > 10 {
		t.Errorf("%d more messages were kept", n)
	}
	r.caller.streams[0].flush()
	if n := send(); n < 600 {
		t.Errorf("%d messages when the first were taken", n)
	}
}

// TestEarlyMessages: what a guest sends on a stream whose cluster is not there yet
// is sent when it is, and so is the end.
func TestEarlyMessages(t *testing.T) {
	r := newRig(t, 1)
	f := r.factory(scripted(t, ""))
	r.caller.absent, r.caller.opened = 2, make(chan *fakeStream, 1)
	x := r.stream(0, f)
	x.request("x-script", "s|request_headers:stream=backend;Echo,send=one,send=two,grpcclose,ret=1 grpc_receive:effective,continue=0")
	s := <-r.caller.opened
	s.events.Message([]byte("answer"))
	x.until(func() bool { return x.out[filter.Request].Headers != nil })
	x.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	if got := strings.Join(s.sent, ", "); got != "one false, two false, close true" {
		t.Errorf("the service got %q", got)
	}
}

// TestLogFlood: long lines are cut, and so are floods of bytes as of lines; what is
// dropped is counted, and told of later.
func TestLogFlood(t *testing.T) {
	r := newRig(t, 1)
	dropped := new(counter)
	g := guestLog{to: slog.New(slog.NewTextHandler(r, nil)), dropped: dropped}
	g.line(abi.Info, strings.Repeat("a", lineBytes+5))
	if log := r.log(); !strings.Contains(log, strings.Repeat("a", lineBytes)+" … (5 bytes more)") || strings.Contains(log, strings.Repeat("a", lineBytes+1)) {
		t.Errorf("%.100s", log)
	}
	now := time.Now().Truncate(time.Second)
	at := func(second float64) time.Time { return now.Add(time.Duration(second * float64(time.Second))) }
	taken := func(n, size int, at time.Time) (taken int) {
		for range n {
			if ok, _ := g.take(size, at); ok {
				taken++
			}
		}
		return taken
	}
	g = guestLog{}
	if n := taken(20_000, 100, at(0)); n != linesPerSecond {
		t.Errorf("%d lines in a second", n)
	}
	if _, lost := g.take(1, at(1)); lost != 10_000 {
		t.Errorf("%d lines lost", lost)
	}
	g = guestLog{}
	if n := taken(1000, lineBytes, at(0)); n != burstBytes/lineBytes {
		t.Errorf("%d long lines at once", n)
	}
	if n := taken(1000, lineBytes, at(2)); n != 2*bytesPerSecond/lineBytes {
		t.Errorf("%d long lines after two seconds", n)
	}
	for second := range 60 { // what a guest may always say
		if n := taken(9_900, 100, at(100+float64(second))); n != 9_900 {
			t.Errorf("%d lines in second %d", n, second)
		}
	}
	g = guestLog{to: slog.New(unformatted{t}), dropped: dropped, used: burstBytes, at: time.Now().Add(time.Hour)}
	g.line(abi.Info, "x")
	if dropped.n == 0 {
		t.Error("what was dropped is not counted")
	}
}

type counter struct{ n int }

func (c *counter) Inc() { c.n++ }

// unformatted is a handler that must not be asked to write.
type unformatted struct{ *testing.T }

func (unformatted) Enabled(context.Context, slog.Level) bool { return true }
func (u unformatted) Handle(_ context.Context, r slog.Record) error {
	u.Errorf("a line that is dropped was written: %s", r.Message)
	return nil
}
func (u unformatted) WithAttrs([]slog.Attr) slog.Handler { return u }
func (u unformatted) WithGroup(string) slog.Handler      { return u }
