package filter

import (
	"runtime/debug"
	"sync/atomic"
)

// DefaultBufferLimit is how much body one filter may keep in one direction,
// in bytes, where nothing else is said; Envoy has the same.
const DefaultBufferLimit = 1 << 20

// Host is the proxy's side of a Chain. Its methods may be called from any
// goroutine that touches a chain of the same worker.
type Host interface {
	// Property answers for the built-in attributes; false leaves the question
	// to what SetProperty kept. It is called inside callbacks, one at a time.
	Property(path []string) (Value, bool)
	// ClearRoute forgets the route; it is called inside callbacks.
	ClearRoute()
	// Wake says that something happened to direction d other than by the
	// host's own call for d: there may be something to Take, or Room again,
	// or the stream was reset. It is called outside callbacks, and must not
	// wait for anything.
	Wake(d Direction)
	// Abandon says that the upstream is no longer wanted: a reply has taken
	// its place, or the stream was reset. It is called inside callbacks and
	// must not wait for anything.
	Abandon()
	// Panicked reports a panic in a filter. The chain deals with the stream.
	Panicked(value any, stack []byte)
}

// Chain drives the filters of one stream or connection. It does no input or
// output: the host feeds it what it receives (Headers, Data, Trailers), and
// takes what has passed all filters (Take). What filters do in between is in
// iterate.go. Everything in it belongs to its worker, and is touched only
// there; none of its methods may be called inside a callback but Seen, Details,
// Replied, WasReset and Reset.
//
// A Chain is not used again for another stream, since a filter may hold its
// Stream beyond the end of it.
type Chain struct {
	host   Host
	worker *Worker
	limit  int
	tcp    bool
	slots  []slot
	first  [1]slot // storage for slots

	message [2]message
	changed [2]bool // since the last Wake of that direction
	listed  bool    // in worker.changed
	reply   *Reply  // asked for, not yet acted on
	change  func(*Headers)
	details string
	kept    []property // of SetProperty
	logging bool       // Log is being called
	gone    bool       // Done was called

	replied, reset atomic.Bool // changed in the worker only

	// resetAsked makes a Reset count as soon as the running callback returns.
	resetAsked atomic.Bool
	ended      bool         // nothing more may be posted; guarded by worker.queue
	posted     atomic.Int32 // tasks of the stream that have not run
}

type property struct {
	path  string
	value []byte
}

// NewChain makes one filter by each factory and returns the chain of those
// that take part, or nil when there is none. Its callbacks run in w, where the
// factories are called too; with nil, in a worker of its own. limit is
// DefaultBufferLimit where it is 0.
func NewChain(host Host, w *Worker, limit int, factories []Factory) *Chain {
	return newChain(host, w, limit, factories, false)
}

// NewConnChain is NewChain for a TCP connection. Its request headers are the
// new connection (Headers with nil), its request data the bytes from
// downstream, its response data the bytes from upstream.
func NewConnChain(host Host, w *Worker, limit int, factories []Factory) *Chain {
	return newChain(host, w, limit, factories, true)
}

func newChain(host Host, w *Worker, limit int, factories []Factory, tcp bool) *Chain {
	if limit == 0 {
		limit = DefaultBufferLimit
	}
	if w == nil {
		w = &Worker{}
	}
	c := &Chain{host: host, worker: w, limit: limit, tcp: tcp}
	if c.slots = c.first[:]; len(factories) > len(c.slots) {
		c.slots = make([]slot, len(factories))
	}
	for d := range c.message {
		m := &c.message[d]
		m.headersAt, m.dataAt, m.trailersAt = nowhere, nowhere, nowhere
	}
	w.mu.Lock()
	used := 0
	for _, f := range factories {
		s := &c.slots[used]
		s.chain, s.index = c, used
		if c.construct(f, s); s.filter != nil || s.unmet != nil {
			used++
		}
	}
	c.slots = c.slots[:used]
	w.leave(nil, none)
	if used == 0 && !c.reset.Load() {
		return nil
	}
	return c
}

// construct makes the filter of s; a factory that panics leaves a chain that is
// reset, for a stream must not run without a filter it was to have.
func (c *Chain) construct(f Factory, s *slot) {
	defer func() {
		if v := recover(); v != nil {
			c.host.Panicked(v, debug.Stack())
			c.reset.Store(true)
		}
	}()
	if c.tcp {
		if s.conn = f.TCP(s); s.conn != nil {
			s.filter = (*connFilter)(s)
		}
	} else if cond, ok := f.(*conditional); ok {
		s.unmet = cond
	} else {
		s.filter = f.HTTP(s)
	}
}

// Headers feeds the headers of direction d, once in each. end says that the
// message has neither body nor trailers. h belongs to the chain until Take
// returns it.
func (c *Chain) Headers(d Direction, h *Headers, end bool) {
	c.worker.mu.Lock()
	c.feedHeaders(d, h, end)
	c.worker.leave(c, d)
}

func (c *Chain) feedHeaders(d Direction, h *Headers, end bool) {
	if c.deaf() {
		return
	}
	defer c.contained()
	m := &c.message[d]
	m.headers, m.endHeaders, m.ended = h, end, end
	c.passHeaders(d, 0)
}

// Data feeds a piece of body. end says that nothing follows: a message with
// trailers does not end with its data. p is not used any more once what came
// of it was taken and the next piece is fed. The filters of a stream are shown
// the end by a call of its own, without data.
func (c *Chain) Data(d Direction, p []byte, end bool) {
	w := c.worker
	w.mu.Lock()
	if end && len(p) > 0 && !c.tcp {
		c.feedData(d, p, false)
		w.settle()
		w.runPosted() // a Continue of that call comes before the next
		p = nil
	}
	c.feedData(d, p, end)
	w.leave(c, d)
}

// LastData feeds the last piece of body and the end as one, as HTTP/2 may have
// them; the filters of a stream are shown them so.
func (c *Chain) LastData(d Direction, p []byte) {
	c.worker.mu.Lock()
	c.feedData(d, p, true)
	c.worker.leave(c, d)
}

func (c *Chain) feedData(d Direction, p []byte, end bool) {
	if c.deaf() {
		return
	}
	defer c.contained()
	c.message[d].ended = end
	c.passData(d, 0, p, end)
}

// Trailers feeds the trailers, which end the message.
func (c *Chain) Trailers(d Direction, t *Headers) {
	c.worker.mu.Lock()
	c.feedTrailers(d, t)
	c.worker.leave(c, d)
}

func (c *Chain) feedTrailers(d Direction, t *Headers) {
	if c.deaf() {
		return
	}
	defer c.contained()
	m := &c.message[d]
	m.trailers, m.ended = t, true
	c.passTrailers(d, 0)
}

// deaf says that what the host feeds is no longer wanted.
func (c *Chain) deaf() bool { return c.reset.Load() || c.replied.Load() }

// Closed tells the filters of a connection that one side of it has ended; see
// TCP.Closed. The host calls it before End.
func (c *Chain) Closed(d Direction, remote bool) {
	c.worker.mu.Lock()
	for i := range c.slots {
		if conn := c.slots[i].conn; conn != nil {
			c.close(conn, d, remote)
		}
	}
	c.worker.leave(nil, none)
}

func (c *Chain) close(conn TCP, d Direction, remote bool) {
	defer c.contained()
	conn.Closed(d, remote)
}

// Reply answers the request from the proxy itself, through the response
// methods of the whole chain, as Stream.Reply does; it does nothing where
// response headers have left, or another reply was there.
func (c *Chain) Reply(r Reply) {
	c.worker.mu.Lock()
	if !c.replied.Load() && !c.message[Response].left {
		c.askReply(r)
	}
	c.worker.leave(c, Response)
}

// OnReply has change alter the headers of each reply before the filters see
// them; it is called as Property is. OnReply is called before anything is fed.
func (c *Chain) OnReply(change func(*Headers)) { c.change = change }

// Reset ends the stream from the proxy itself, as Stream.Reset does.
func (c *Chain) Reset() {
	c.resetAsked.Store(true)
	c.worker.post(task{kind: taskReset, chain: c})
}

// Seen returns the headers and trailers of direction d as far as they have
// arrived, else nil. It is for Host.Property, which runs inside callbacks.
func (c *Chain) Seen(d Direction) (headers, trailers *Headers) {
	return c.message[d].headers, c.message[d].trailers
}

// Shown returns the headers and trailers of direction d where a filter has them
// in its hands, or in Log; else nil. It is for Host.Property, as Seen is.
func (c *Chain) Shown(d Direction) (headers, trailers *Headers) {
	m := &c.message[d]
	if c.logging || m.headersAt != nowhere {
		headers = m.headers
	}
	if c.logging || m.trailersAt != nowhere {
		trailers = m.trailers
	}
	return headers, trailers
}

// Passed returns how many bytes of data have passed the whole chain in
// direction d. It is for Host.Property, as Seen is.
func (c *Chain) Passed(d Direction) uint64 { return c.message[d].passed }

// Sync runs f as if it were a callback, waiting for its turn. The host uses it
// to change what Property reads.
func (c *Chain) Sync(f func()) {
	c.worker.mu.Lock()
	f()
	c.worker.leave(c, none)
}

// Output is what has passed the whole chain in one direction since the last
// Take. Its parts leave in the order of the fields.
type Output struct {
	Headers  *Headers
	Data     []byte // valid until the next Data call of this direction
	Trailers *Headers
	// End says that the message ends with this output.
	End bool
}

// Take returns what there is to send in direction d; ok is false when that is
// nothing.
func (c *Chain) Take(d Direction) (o Output, ok bool) {
	c.worker.mu.Lock()
	m := &c.message[d]
	if !c.reset.Load() || m.last {
		o, ok = m.out, m.pending
		m.out, m.pending, m.borrowed, m.last = Output{}, false, false, false
	}
	c.worker.leave(c, none)
	return o, ok
}

// Room reports whether the host should feed more of direction d: everything
// was taken, and no filter keeps so much that the sender is held back.
func (c *Chain) Room(d Direction) bool {
	c.worker.mu.Lock()
	m := &c.message[d]
	room := c.reset.Load() || m.cut || !m.pending && !m.full
	c.worker.leave(c, none)
	return room
}

// Replied reports whether a reply has taken the upstream's place. It never waits.
func (c *Chain) Replied() bool { return c.replied.Load() }

// WasReset reports whether the stream is to end without an answer, or without
// the rest of it. It never waits.
func (c *Chain) WasReset() bool { return c.reset.Load() }

// Details returns the details of the reply that was made, or "". It is for
// Host.Property, as Seen is.
func (c *Chain) Details() string { return c.details }

// End calls Log and then Done of every filter, and ends the chain: Continue,
// Post and Reset do nothing from here on. The host calls it exactly once, and
// is not woken after it. The headers and trailers of r, and the details of a
// reply, are filled in here.
func (c *Chain) End(r *Record) {
	w := c.worker
	w.mu.Lock()
	w.queue.Lock()
	c.ended = true
	w.queue.Unlock()
	w.runPostedTo(c) // what was posted before the end still runs
	c.reset.Store(true)
	if c.details != "" {
		r.Details = c.details
	}
	r.Request, r.RequestTrailers = c.Seen(Request)
	r.Response, r.ResponseTrailers = c.Seen(Response)
	c.logging = true
	for i := range c.slots {
		if f := c.slots[i].filter; f != nil {
			c.log(f, r)
		}
	}
	c.logging = false
	for i := range c.slots {
		if f := c.slots[i].filter; f != nil {
			c.done(f)
		}
	}
	c.gone = true
	w.leave(nil, none)
}

func (c *Chain) log(f HTTP, r *Record) {
	defer c.reported()
	f.Log(r)
}

func (c *Chain) done(f HTTP) {
	defer c.reported()
	f.Done()
}

// none is no direction: a call that is for neither pump.
const none = Direction(2)

// mark has the host woken for direction d once the worker is left.
func (c *Chain) mark(d Direction) {
	c.changed[d] = true
	if !c.listed {
		c.listed = true
		c.worker.changed = append(c.worker.changed, c)
	}
}

// wake wakes the host for the directions that changed; outside the worker.
func (c *Chain) wake(changed [2]bool) {
	for d, yes := range changed {
		if yes {
			c.host.Wake(Direction(d))
		}
	}
}
