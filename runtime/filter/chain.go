package filter

import (
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// DefaultBufferLimit is how much body one filter may keep in one direction,
// in bytes, where nothing else is said; Envoy has the same.
const DefaultBufferLimit = 1 << 20

// Host is the proxy's side of a Chain. Its methods may be called from any
// goroutine that touches the chain.
type Host interface {
	// Property answers for the built-in attributes; false leaves the question
	// to what SetProperty kept. It is called inside callbacks, one at a time.
	Property(path []string) (Value, bool)
	// ClearRoute forgets the route; it is called inside callbacks.
	ClearRoute()
	// Wake says that something happened to direction d other than by the
	// host's own call for d: there may be something to Take, or Room again,
	// or the stream was reset. It is called outside callbacks.
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
// iterate.go.
//
// A Chain is not used again for another stream, since a filter may hold its
// Stream beyond the end of it.
type Chain struct {
	host  Host
	limit int
	tcp   bool
	slots []slot

	// mu is held while a filter's method runs.
	mu      sync.Mutex
	message [2]message
	changed [2]bool // since the last Wake of that direction
	reply   *Reply  // asked for in the running callback, not yet acted on
	replied bool
	reset   bool
	details string
	kept    []property // of SetProperty

	// What Continue, Post and Reset leave to whoever holds mu. The lock of
	// the queue is never held while anything else runs.
	queue struct {
		sync.Mutex
		tasks  []func()
		ended  bool
		posted atomic.Bool // tasks is not empty
	}
	// resetAsked makes a Reset count as soon as the running callback returns.
	resetAsked atomic.Bool
}

type property struct {
	path  string
	value []byte
}

// NewChain makes one filter by each factory and returns the chain of those
// that take part, or nil when there is none. limit is DefaultBufferLimit where
// it is 0.
func NewChain(host Host, limit int, factories []Factory) *Chain {
	return newChain(host, limit, len(factories), false, func(i int, s *slot) HTTP { return factories[i].HTTP(s) })
}

// NewConnChain is NewChain for a TCP connection. Its request headers are the
// new connection (Headers with nil), its request data the bytes from
// downstream, its response data the bytes from upstream.
func NewConnChain(host Host, limit int, factories []Factory) *Chain {
	return newChain(host, limit, len(factories), true, func(i int, s *slot) HTTP {
		f := factories[i].TCP(s)
		if f == nil {
			return nil
		}
		return connFilter{f}
	})
}

func newChain(host Host, limit, n int, tcp bool, makeFilter func(int, *slot) HTTP) (c *Chain) {
	if limit == 0 {
		limit = DefaultBufferLimit
	}
	c = &Chain{host: host, limit: limit, tcp: tcp, slots: make([]slot, n)}
	c.mu.Lock()
	defer c.mu.Unlock()
	used := 0
	for i := range n {
		s := &c.slots[used]
		s.chain, s.index = c, used
		if s.filter = c.construct(makeFilter, i, s); s.filter != nil {
			used++
		}
	}
	c.slots = c.slots[:used]
	for d := range c.message {
		c.message[d].headersAt, c.message[d].trailersAt = nowhere, nowhere
	}
	if used == 0 && !c.reset {
		return nil
	}
	return c
}

// construct makes one filter; a factory that panics leaves a chain that is
// reset, for a stream must not run without a filter it was to have.
func (c *Chain) construct(makeFilter func(int, *slot) HTTP, i int, s *slot) (f HTTP) {
	defer func() {
		if v := recover(); v != nil {
			c.host.Panicked(v, debug.Stack())
			c.reset = true
			f = nil
		}
	}()
	return makeFilter(i, s)
}

// Headers feeds the headers of direction d, once in each. end says that the
// message has neither body nor trailers. h belongs to the chain until Take
// returns it.
func (c *Chain) Headers(d Direction, h *Headers, end bool) {
	c.feed(d, func() {
		m := &c.message[d]
		m.headers, m.endHeaders, m.ended = h, end, end
		c.passHeaders(d, 0)
	})
}

// Data feeds a piece of body. end says that nothing follows: a message with
// trailers does not end with its data. p is not used any more once what came
// of it was taken and the next piece is fed.
func (c *Chain) Data(d Direction, p []byte, end bool) {
	c.feed(d, func() {
		c.message[d].ended = end
		c.passData(d, 0, p, end)
	})
}

// Trailers feeds the trailers, which end the message.
func (c *Chain) Trailers(d Direction, t *Headers) {
	c.feed(d, func() {
		m := &c.message[d]
		m.trailers, m.ended = t, true
		c.passTrailers(d, 0)
	})
}

// feed runs f unless direction d no longer wants input.
func (c *Chain) feed(d Direction, f func()) {
	c.mu.Lock()
	if !c.reset && !c.replied {
		c.contain(f)
	}
	c.leave(d)
}

// Reply answers the request from the proxy itself, through the response
// methods of the whole chain, as Stream.Reply does.
func (c *Chain) Reply(r Reply) {
	c.mu.Lock()
	c.contain(func() {
		c.askReply(r)
		c.settle()
	})
	c.leave(Response)
}

// Reset ends the stream from the proxy itself, as Stream.Reset does.
func (c *Chain) Reset() {
	c.mu.Lock()
	c.doReset()
	c.leave(none)
}

// Seen returns the headers and trailers of direction d as far as they have
// arrived, else nil. It is for Host.Property, which runs inside callbacks.
func (c *Chain) Seen(d Direction) (headers, trailers *Headers) {
	return c.message[d].headers, c.message[d].trailers
}

// Sync runs f as if it were a callback, waiting for its turn. It must not be
// called in a callback. The host uses it to change what Property reads.
func (c *Chain) Sync(f func()) {
	c.mu.Lock()
	f()
	c.leave(none)
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
	c.mu.Lock()
	m := &c.message[d]
	if !c.reset {
		o, ok = m.out, m.pending
		m.out, m.pending, m.borrowed = Output{}, false, false
	}
	c.leave(none)
	return o, ok
}

// Room reports whether the host should feed more of direction d: everything
// was taken, and no filter keeps so much that the sender is held back.
func (c *Chain) Room(d Direction) bool {
	c.mu.Lock()
	defer c.leave(none)
	m := &c.message[d]
	return c.reset || m.cut || !m.pending && !m.full
}

// Replied reports whether a reply has taken the upstream's place.
func (c *Chain) Replied() bool {
	c.mu.Lock()
	defer c.leave(none)
	return c.replied
}

// WasReset reports whether the stream is to end without an answer, or without
// the rest of it.
func (c *Chain) WasReset() bool {
	c.mu.Lock()
	defer c.leave(none)
	return c.reset
}

// Details returns the details of the reply that was made, or "". It is for
// Host.Property, as Seen is.
func (c *Chain) Details() string { return c.details }

// End calls Log and then Done of every filter, and ends the chain: Continue,
// Post and Reset do nothing from here on. The host calls it exactly once. The
// headers and trailers of r, and the details of a reply, are filled in here.
func (c *Chain) End(r *Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for { // what was posted before the end still runs
		c.runPosted()
		c.queue.Lock()
		c.queue.ended = len(c.queue.tasks) == 0
		ended := c.queue.ended
		c.queue.Unlock()
		if ended {
			break
		}
	}
	c.reset = true
	for i := range c.message {
		c.message[i].headersAt, c.message[i].trailersAt = nowhere, nowhere
	}
	if c.details != "" {
		r.Details = c.details
	}
	r.Request, r.RequestTrailers = c.Seen(Request)
	r.Response, r.ResponseTrailers = c.Seen(Response)
	for i := range c.slots {
		c.recovered(func() { c.slots[i].filter.Log(r) })
	}
	for i := range c.slots {
		c.recovered(c.slots[i].filter.Done)
	}
}

// none is no direction: a call that is for neither pump.
const none = Direction(2)

// post leaves t to whoever holds mu, or runs it here when nobody does. It
// reports false when the stream has ended.
func (c *Chain) post(t func()) bool {
	c.queue.Lock()
	if c.queue.ended {
		c.queue.Unlock()
		return false
	}
	c.queue.tasks = append(c.queue.tasks, t)
	c.queue.posted.Store(true)
	c.queue.Unlock()
	if c.mu.TryLock() {
		c.leave(none)
	}
	return true
}

// leave runs what was posted while mu was held, unlocks it, and wakes the
// host for the directions that changed, except own, whose feeder is the caller
// and is going to look. (Whoever just has looked is to be woken: what is
// posted meanwhile comes after the look.)
func (c *Chain) leave(own Direction) {
	var wake [2]bool
	for {
		c.runPosted()
		for d := range wake {
			wake[d] = wake[d] || c.changed[d]
			c.changed[d] = false
		}
		c.mu.Unlock()
		// Whoever posted between the last look and Unlock found mu taken and
		// relies on this goroutine.
		if !c.queue.posted.Load() || !c.mu.TryLock() {
			break
		}
	}
	for d := range wake {
		if wake[d] && Direction(d) != own {
			c.host.Wake(Direction(d))
		}
	}
}

// runPosted runs what was posted; mu is held.
func (c *Chain) runPosted() {
	for c.queue.posted.Load() {
		c.queue.Lock()
		tasks := c.queue.tasks
		c.queue.tasks = nil
		c.queue.posted.Store(false)
		c.queue.Unlock()
		for _, t := range tasks {
			c.contain(t)
		}
	}
}

// contain runs f, which may call filters, and ends the stream when it panics:
// with an answer where none has left, else by a reset.
func (c *Chain) contain(f func()) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		c.host.Panicked(v, debug.Stack())
		c.fail()
	}()
	f()
}

func (c *Chain) recovered(f func()) {
	defer func() {
		if v := recover(); v != nil {
			c.host.Panicked(v, debug.Stack())
		}
	}()
	f()
}
