//go:build !wasip1

package sdk

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/meshc/meshc/plugins/wasm/sdk/internal/host"
)

// fake is a host for what a real one does not do on demand. Functions that it
// lacks panic.
type fake struct {
	host.Interface
	config    string
	log       []string
	effective uint32
	value     []byte
	version   uint32
	meddle    func() // called before each SetSharedData
	tokens    uint32
	queue     []string
	cancelled []uint32
}

func (f *fake) Log(_ int32, line []byte) int32 { f.log = append(f.log, string(line)); return 0 }
func (f *fake) BufferBytes(dst []byte, buffer int32, _, _ uint32) ([]byte, int32) {
	if buffer != host.PluginConfiguration {
		return append(dst, "data"...), 0
	}
	return append(dst, f.config...), 0
}
func (f *fake) SetEffectiveContext(id uint32) int32 { f.effective = id; return 0 }
func (f *fake) SharedData(dst []byte, _ string) ([]byte, uint32, int32) {
	if f.version == 0 {
		return dst, 0, int32(NotFound)
	}
	return append(dst, f.value...), f.version, 0
}
func (f *fake) SetSharedData(_ string, value []byte, cas uint32) int32 {
	if f.meddle != nil {
		f.meddle()
	}
	if cas != 0 && f.version != 0 && cas != f.version {
		return int32(CASMismatch)
	}
	f.value, f.version = append([]byte(nil), value...), f.version+1
	return 0
}
func (f *fake) HTTPCall(string, []byte, []byte, []byte, uint32) (uint32, int32) {
	f.tokens += 4
	return f.tokens, 0
}
func (f *fake) GRPCStream(string, string, string, []byte) (uint32, int32) {
	f.tokens += 4
	return f.tokens, 0
}
func (f *fake) GRPCCancel(token uint32) int32              { f.cancelled = append(f.cancelled, token); return 0 }
func (f *fake) RegisterQueue(string) (uint32, int32)       { return 7, 0 }
func (f *fake) DefineMetric(int32, string) (uint32, int32) { return 0, int32(InternalFailure) }
func (f *fake) Dequeue(dst []byte, _ uint32) ([]byte, int32) {
	if len(f.queue) == 0 {
		return dst, int32(Empty)
	}
	item := f.queue[0]
	f.queue = f.queue[1:]
	return append(dst, item...), 0
}
func (f *fake) ContinueStream(int32) int32 { return 0 }

// begin starts a plugin with root context 1 on a fake host.
func begin(t *testing.T, setup func(*Plugin) error) (*fake, bool) {
	t.Helper()
	f := &fake{}
	host.Native, register, plugins, streams, last = f, nil, map[uint32]*Plugin{}, table{}, nil
	Register(setup)
	onContextCreate(1, 0)
	return f, onConfigure(1)
}

func TestSetup(t *testing.T) {
	f, ok := begin(t, func(*Plugin) error { return errors.New("not so") })
	if ok || !reflect.DeepEqual(f.log, []string{"configuration: not so"}) {
		t.Errorf("an error: got %v, %q", ok, f.log)
	}
	f, ok = begin(t, func(p *Plugin) error { p.Counter("c"); return nil })
	if ok || !reflect.DeepEqual(f.log, []string{"configuration: host: internal failure"}) {
		t.Errorf("a metric that cannot be had: got %v, %q", ok, f.log)
	}
	if _, ok = begin(t, func(*Plugin) error { return nil }); !ok {
		t.Error("a plain setup fails")
	}
	// A plugin without a filter lets everything pass, and so does an unknown id.
	onContextCreate(2, 1)
	if a := httpOf(2).RequestHeaders(RequestHeaders, true); a != Continue {
		t.Errorf("no filter: got %v", a)
	}
	if a := tcpOf(99).Downstream(Body{}, true); a != Continue {
		t.Errorf("unknown id: got %v", a)
	}
}

func TestUpdateShared(t *testing.T) {
	f, _ := begin(t, func(*Plugin) error { return nil })
	add := func(b []byte) []byte { return append(b, 'x') }
	f.meddle = func() { // another thread makes it at the same moment
		f.meddle = nil
		f.SetSharedData("k", []byte("m"), 0)
	}
	if err := UpdateShared("k", add); err != nil || string(f.value) != "mx" {
		t.Errorf("made at the same moment: %q, %v", f.value, err)
	}
	f.value, f.version = nil, 0
	if err := UpdateShared("k", add); err != nil || string(f.value) != "x" {
		t.Fatalf("new: %q, %v", f.value, err)
	}
	// Another thread is faster twice.
	left := 2
	f.meddle = func() {
		if left > 0 {
			left--
			f.value, f.version = append(f.value, 'o'), f.version+1
		}
	}
	if err := UpdateShared("k", add); err != nil || string(f.value) != "xoox" {
		t.Errorf("with another thread: %q, %v", f.value, err)
	}
	if err := UpdateShared("k", func([]byte) []byte { return nil }); err != nil || string(f.value) != "xoox" {
		t.Errorf("left alone: %q, %v", f.value, err)
	}
	var inner error
	first := true
	err := UpdateShared("k", func(b []byte) []byte {
		if first { // within one; the outer one then looks again
			first = false
			inner = UpdateShared("k", add)
		}
		return append(b, '!')
	})
	if err != nil || inner != nil || string(f.value) != "xooxx!" {
		t.Errorf("nested: %q, %v, %v", f.value, err, inner)
	}
	if n := testing.AllocsPerRun(100, func() { UpdateShared("k", func(b []byte) []byte { return b }) }); n > 1 { // 1 is the fake's
		t.Errorf("an update allocates %v times", n)
	}
}

// TestGone wants nothing to come of what outlives its stream, also when another
// stream has taken its place.
func TestGone(t *testing.T) {
	var streams []Stream
	f, _ := begin(t, func(p *Plugin) error {
		p.HTTP(func(s Stream) HTTPFilter { streams = append(streams, s); return nil })
		return nil
	})
	open := func(id uint32) {
		onContextCreate(id, 1)
		httpOf(id)
	}
	open(2)
	old := streams[0]
	called := 0
	if err := old.Call("s", Request{}, 0, func(Response, error) { called++ }); err != nil {
		t.Fatal(err)
	}
	if _, err := old.OpenGRPC("s", "a.B/C", nil, GRPCHandler{Close: func(error) { called++ }}); err != nil {
		t.Fatal(err)
	}
	onDelete(2)
	if !reflect.DeepEqual(f.cancelled, []uint32{8}) {
		t.Errorf("cancelled gRPC streams: %v, want 8", f.cancelled)
	}
	open(3)
	if streams[1].of != old.of {
		t.Fatal("the second stream did not take the place of the first")
	}
	if err := streams[1].Call("s", Request{}, 0, func(r Response, err error) {
		called += 10
		if err != BrokenConnection || f.effective != 3 {
			t.Errorf("got %v in context %d", err, f.effective)
		}
	}); err != nil {
		t.Fatal(err)
	}
	onCallResponse(1, 4, 3, 0)
	onGRPCClose(1, 8, 0)
	onCallResponse(1, 12, 0, 0)
	onCallResponse(1, 12, 0, 0) // told twice
	if called != 10 {
		t.Errorf("called: %d, want only the second stream's call", called)
	}
	if err := old.ContinueRequest(); err != BadArgument {
		t.Errorf("ContinueRequest of what is gone: %v", err)
	}
	if err := (Stream{}).Call("s", Request{}, 0, nil); err != BadArgument {
		t.Errorf("Call of no stream: %v", err)
	}
}

func TestQueueIsEmptied(t *testing.T) {
	var got []string
	f, _ := begin(t, func(p *Plugin) error {
		p.Queue("q", func(item []byte) { got = append(got, string(item)) })
		return nil
	})
	f.queue = []string{"a", "", "b"}
	onQueueReady(1, 7)
	onQueueReady(1, 7) // once for each item
	onQueueReady(1, 8) // not ours
	if !reflect.DeepEqual(got, []string{"a", "", "b"}) {
		t.Errorf("got %q", got)
	}
}

func TestTable(t *testing.T) {
	var tab table
	for id := uint32(1); id <= 1000; id++ {
		tab.add(id)
		if id%3 == 0 {
			tab.remove(tab.get(id / 3))
		}
	}
	for id := uint32(1); id <= 1000; id++ {
		if s := tab.get(id); (s == nil) != (id <= 333) || s != nil && s.id != id {
			t.Fatalf("id %d: %v", id, s)
		}
	}
	if tab.count != 667 || len(tab.slots) != 1024 {
		t.Errorf("%d streams in %d slots", tab.count, len(tab.slots))
	}
}

func TestCutMethod(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"a.B/C", "a.B C true"}, {"/a.B/C", "a.B C true"}, {"", "  false"}, {"/C", "  false"}, {"a.B/", "a.B  false"}, {"C", "  false"},
	} {
		service, method, ok := cutMethod(test.in)
		got := service + " " + method + " false"
		if ok {
			got = service + " " + method + " true"
		}
		if got != test.want {
			t.Errorf("%q: got %q, want %q", test.in, got, test.want)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(pack([]Header{{"a", "b"}, {"", ""}, {"long", strings.Repeat("x", 300)}}))
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{255, 255, 255, 255, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		headers, err := unpack(b)
		if err != nil || len(headers) == 0 {
			return
		}
		again, err := unpack(pack(headers))
		if err != nil || !reflect.DeepEqual(again, headers) {
			t.Fatalf("%q becomes %q, %v", headers, again, err)
		}
	})
}

func TestValue(t *testing.T) {
	v := Value{0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	if v.Int() != -2 || v.Bool() || Value("abc").Int() != 0 || Value(nil).String() != "" || !(Value{1}).Bool() {
		t.Error("a value is read wrong")
	}
	if (Value{0, 0, 0, 0, 0, 0, 0xf8, 0x3f}).Float() != 1.5 {
		t.Error("a number with a fraction is read wrong")
	}
	if millis(1) != 1 || millis(-1) != 0 || millis(1<<62) != 1<<31-1 {
		t.Error("a time is rounded wrong")
	}
	if (&GRPCError{14, "gone"}).Error() != "gRPC status 14: gone" || Status(99).Error() != "host: unknown status" {
		t.Error("an error says something else")
	}
}
