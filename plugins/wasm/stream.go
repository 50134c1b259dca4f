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

	absent  bool // the guest has no part in it
	headers *filter.Headers
	end     bool
}

// RequestHeaders takes the stream to the guest. Where none serves, the stream
// waits for one that is being started; else, the failure policy decides.
func (x *stream) RequestHeaders(h *filter.Headers, end bool) filter.HeadersStatus {
	if r := x.factory.root(x.place); r != nil {
		x.Begin(r, x.stream)
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

// maxWaiting bounds who waits for a replacement in one place.
const maxWaiting = 10_000

func (x *stream) start(r *host.Root) {
	x.absent = false
	x.Begin(r, x.stream)
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
		root := x.factory.root(x.place)
		if root == nil {
			return
		}
		x.Begin(root, x.stream)
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

	waits bool
	ended [2]bool // while it waits
}

// NewConnection is RequestHeaders for connections: one that may not go on
// without the guest is closed.
func (x *conn) NewConnection() filter.DataStatus {
	if r := x.factory.root(x.place); r != nil {
		x.Begin(r, x.conn)
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

// DownstreamData keeps the data while the guest is awaited.
func (x *conn) DownstreamData(b *filter.Buffer, end bool) filter.DataStatus {
	if x.waits {
		x.ended[filter.Request] = end
		return filter.DataStopAndWatermark
	}
	return x.Conn.DownstreamData(b, end)
}

// UpstreamData likewise.
func (x *conn) UpstreamData(b *filter.Buffer, end bool) filter.DataStatus {
	if x.waits {
		x.ended[filter.Response] = end
		return filter.DataStopAndWatermark
	}
	return x.Conn.UpstreamData(b, end)
}

// start shows the guest what has come while it was awaited.
func (x *conn) start(r *host.Root) {
	x.waits = false
	x.Begin(r, x.conn)
	if x.Conn.NewConnection() != filter.DataContinue {
		return
	}
	for d := range x.ended {
		d := filter.Direction(d)
		status := filter.DataContinue
		if b := x.conn.Held(d); b != nil {
			if d == filter.Request {
				status = x.Conn.DownstreamData(b, x.ended[d])
			} else {
				status = x.Conn.UpstreamData(b, x.ended[d])
			}
		}
		if status == filter.DataContinue {
			x.conn.Continue(d)
		}
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
}
