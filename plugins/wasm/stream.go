package wasm

import (
	"slices"

	"github.com/meshc/meshc/plugins/wasm/internal/host"
	"github.com/meshc/meshc/runtime/filter"
)

// stream is the filter of one HTTP stream.
type stream struct {
	host.Stream
	factory *factory
	place   *place
	stream  filter.Stream
	in      *instance // that it has begun in

	absent  bool // the guest has no part in it
	headers *filter.Headers
	end     bool
}

// RequestHeaders takes the stream to the guest. Where none serves, the stream
// waits for one that is being started; else, the failure policy decides.
func (x *stream) RequestHeaders(h *filter.Headers, end bool) filter.HeadersStatus {
	if s := x.factory.seat(x.place); s != nil {
		x.begin(s)
		return x.Stream.RequestHeaders(h, end)
	}
	x.absent = true
	if x.Open {
		return filter.HeadersContinue
	}
	if x.place.starting && len(x.place.waiting) < maxWaiting {
		x.headers, x.end = h, end
		x.place.waiting = append(x.place.waiting, x)
		return filter.HeadersStopAll
	}
	host.Fail(x.stream)
	return filter.HeadersStopAll
}

// begin makes the guest's context of the stream.
func (x *stream) begin(s *seat) {
	x.in = s.in
	s.in.streams++
	x.Begin(s.root, x.stream)
}

// maxWaiting bounds who waits for a replacement in one place.
const maxWaiting = 10_000

func (x *stream) start(s *seat) {
	x.absent = false
	x.begin(s)
	if x.Stream.RequestHeaders(x.headers, x.end) == filter.HeadersContinue {
		x.stream.Continue(filter.Request)
	}
}

func (x *stream) fail()          { host.Fail(x.stream) }
func (x *stream) user() *factory { return x.factory }

// Log tells the guest of the end, also of a stream that ended before it came
// to this filter, as Envoy does.
func (x *stream) Log(r *filter.Record) {
	if !x.Begun() && !x.absent {
		s := x.factory.seat(x.place)
		if s == nil {
			return
		}
		x.begin(s)
	}
	x.Stream.Log(r)
}

// Done gives the filter back.
func (x *stream) Done() {
	p := x.place
	if x.absent && len(p.waiting) > 0 {
		p.waiting = slices.DeleteFunc(p.waiting, func(w waiter) bool { return w == waiter(x) })
	}
	x.Stream.Done()
	if x.in != nil {
		x.in.done()
	}
	*x = stream{}
	if len(p.streams) < maxFree {
		p.streams = append(p.streams, x)
	}
}

// maxFree bounds the filters kept for later streams in one place.
const maxFree = 1024

// conn is the filter of one TCP connection.
type conn struct {
	host.Conn
	factory *factory
	place   *place
	conn    filter.Conn
	in      *instance // that it has begun in

	waits bool
}

// NewConnection is RequestHeaders for connections: one that may not go on
// without the guest is closed.
func (x *conn) NewConnection() filter.DataStatus {
	if s := x.factory.seat(x.place); s != nil {
		x.begin(s)
		return x.Conn.NewConnection()
	}
	if x.Open {
		return filter.DataContinue
	}
	if x.place.starting && len(x.place.waiting) < maxWaiting {
		x.waits = true
		x.place.waiting = append(x.place.waiting, x)
		return filter.DataStopAndWatermark
	}
	x.conn.Close()
	return filter.DataStopAndWatermark
}

// begin makes the guest's context of the connection.
func (x *conn) begin(s *seat) {
	x.in = s.in
	s.in.streams++
	x.Begin(s.root, x.conn)
}

// start tells the guest of the connection. The chain keeps what has come
// meanwhile, and shows it when the connection goes on, as where nobody waited.
func (x *conn) start(s *seat) {
	x.waits = false
	x.begin(s)
	if x.Conn.NewConnection() == filter.DataContinue {
		x.conn.Continue(filter.Request)
	}
}

func (x *conn) fail()          { x.conn.Close() }
func (x *conn) user() *factory { return x.factory }

// Done ends the connection's context.
func (x *conn) Done() {
	if x.waits {
		p := x.place
		p.waiting = slices.DeleteFunc(p.waiting, func(w waiter) bool { return w == waiter(x) })
	}
	x.Conn.Done()
	if x.in != nil {
		x.in.done()
	}
}
