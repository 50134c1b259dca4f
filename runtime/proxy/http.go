package proxy

import (
	"context"
	"errors"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/proxy/http1"
)

// Why a stream was given up.
var (
	errClientGone = errors.New("the client has gone")
	errStalled    = errors.New("nothing moved for too long")
	errKilled     = errors.New("the proxy shuts down")
	errPanicked   = errors.New("panic")
)

// stream is one request and its response. The goroutine of its connection
// sends the request and delivers the response; a body that is not here yet is
// sent by another, the pump, so that both directions flow at once.
type stream struct {
	d     *downstream
	l     *listener
	start time.Time
	id    requestID

	request, response                 filter.Headers
	requestTrailers, responseTrailers filter.Headers
	requestEnd                        bool     // the request has no body
	fed                               bool     // the filters are, or were, shown the body
	body                              *buffer  // a small body, read at once
	f                                 *passage // nil where there are no filters

	vhost    *virtualHost
	route    *route
	arm      *arm
	endpoint *endpoint

	status   int // of the response that was begun downstream, else 0
	details  string
	received atomic.Uint64
	sent     atomic.Uint64
	complete bool // the response was written to its end

	// For the filters' properties: when the request began to be sent, when the
	// last of the response came, and how long it all took.
	sentAt, answeredAt time.Time
	connectedAt        time.Time // guarded by mu
	took               time.Duration

	pumping     bool
	pumped      chan struct{} // the pump's last act
	requestRead atomic.Bool   // the pump has read the request to its end
	requestSent atomic.Bool   // and sent it

	mu     sync.Mutex // of what abort, called from anywhere, needs
	up     *upstream
	cancel context.CancelFunc
	cause  error // why the stream was given up
	chain  *filter.Chain
}

// serve handles one request, whose headers are in s.request, and reports
// whether the connection may go on.
func (s *stream) serve(end bool) (keep bool) {
	s.start = time.Now()
	s.l = s.d.socket.acquire()
	s.requestEnd = end
	defer s.finish(&keep)
	s.prepare()
	if end {
		s.d.enter(phaseWaiting)
	} else {
		s.d.enter(phaseBusy)
		if s.readSmallBody() != nil {
			return false
		}
	}
	if factories := s.l.filters(&s.request); len(factories) > 0 {
		s.filter(factories)
	}
	if s.f == nil {
		s.forward(filter.Output{Headers: &s.request, Data: s.body.bytes(), End: s.requestEnd || s.body != nil})
	}
	return s.complete
}

// prepare makes the request what is sent on: what Envoy adds and takes away,
// as far as we do.
func (s *stream) prepare() {
	h := &s.request
	if s.d.codec.ExpectContinue() {
		h.Remove("expect") // answered here, when the body is first read
	}
	if _, ok := h.Get("x-forwarded-proto"); !ok {
		h.Add("x-forwarded-proto", h.Value(":scheme"))
	}
	if _, ok := h.Get("x-request-id"); !ok {
		h.Add("x-request-id", s.id.make())
	}
}

// finish ends the stream, whatever became of it.
func (s *stream) finish(keep *bool) {
	if v := recover(); v != nil {
		s.Panicked(v, debug.Stack())
		s.complete, *keep = false, false
	}
	if s.f != nil {
		s.f.unlock()
	}
	s.joinPump()
	took := time.Since(s.start)
	meter := s.l.meter
	if s.arm != nil {
		meter = s.arm.meter
	}
	meter.done(s.status, took, s.received.Load(), s.sent.Load())
	if s.f != nil {
		s.sync(func() { s.took = took })
		s.f.finish(s.record(took))
	}
	u := s.detach()
	if u != nil {
		if s.complete && !u.closed.Load() {
			u.pool.put(u)
		} else {
			u.codec.Close()
		}
	}
	s.l.gen.release()
	s.reset()
}

// reset forgets the stream, and keeps its storage.
func (s *stream) reset() {
	s.body.release()
	s.l, s.body, s.f, s.vhost, s.route, s.arm, s.endpoint = nil, nil, nil, nil, nil, nil, nil
	s.status, s.details = 0, ""
	s.received.Store(0)
	s.sent.Store(0)
	s.sentAt, s.answeredAt, s.connectedAt, s.took = time.Time{}, time.Time{}, time.Time{}, 0
	s.complete, s.pumping, s.fed = false, false, false
	s.requestRead.Store(false)
	s.requestSent.Store(false)
	s.request.Reset()
	s.response.Reset()
	s.requestTrailers.Reset()
	s.responseTrailers.Reset()
	s.mu.Lock()
	s.cause, s.chain, s.cancel = nil, nil, nil
	s.mu.Unlock()
}

// filter runs the request through the filters, up to the end of the response.
// s.f stays nil where none of them takes part.
func (s *stream) filter(factories []filter.Factory) {
	f := newPassage(s)
	p := s.d.proxy
	f.chain = filter.NewChain(f, p.filters.Pick(), p.cfg.BufferLimit, factories)
	if f.chain == nil {
		return
	}
	s.f = f
	s.mu.Lock()
	s.chain = f.chain
	s.mu.Unlock()
	f.chain.Headers(filter.Request, &s.request, s.requestEnd)
	o, ok := f.ready()
	if !ok {
		s.feedRequest()
		o, ok = f.await()
	}
	if ok {
		s.forward(o)
	}
	if err := f.drain(filter.Response); err == nil && !f.chain.WasReset() {
		s.complete = true
	}
}

// feedRequest has the filters shown the body of the request, once. That is as
// soon as there is a connection for it, as in Envoy, or where they have not let
// the headers go yet.
func (s *stream) feedRequest() {
	switch {
	case s.requestEnd || s.fed:
	case s.body != nil:
		s.f.chain.Data(filter.Request, s.body.bytes(), true)
	case !s.f.chain.Replied():
		s.startPump(nil)
	}
	s.fed = true
}

// forward chooses where the request goes, sends o, which begins it, and
// delivers the response.
func (s *stream) forward(o filter.Output) {
	err := s.send(&o)
	if s.f != nil {
		s.f.opened(err == nil, o)
	} else if err == nil && !o.End {
		s.startPump(s.up)
	}
	var end bool
	if err == nil {
		end, err = s.receive(o)
	}
	if err != nil {
		s.reply(s.failure(err))
		return
	}
	s.deliver(end)
}

// errLocal is an answer in place of an error.
type errLocal struct{ filter.Reply }

func (*errLocal) Error() string { return "local reply" }

// send chooses an endpoint, connects and sends what there is of the request.
// To that it adds the small body that the filters are shown by then.
func (s *stream) send(o *filter.Output) error {
	s.sync(s.resolve)
	if s.route == nil {
		return &errLocal{filter.Reply{Status: 404, GRPCStatus: -1, Details: "route_not_found"}}
	}
	var e *endpoint
	if s.arm != nil {
		ctx, done := s.cancellable(s.arm.cluster.dns != nil)
		e = s.arm.cluster.pick(ctx, s.d.client)
		done()
	}
	if e == nil {
		return &errLocal{filter.Reply{
			Status: 503, Body: []byte("no healthy upstream"), GRPCStatus: -1, Details: "no_healthy_upstream",
		}}
	}
	if s.f == nil {
		s.endpoint = e
	} else {
		s.f.chain.Sync(func() { s.endpoint, s.sentAt = e, time.Now() })
	}
	if s.route.hostFromEndpoint && e.hostname != "" {
		s.sync(s.setHost)
	}
	if s.route.rewrite.regex != nil {
		s.sync(s.setPath)
	}
	if _, ok := s.request.Get(":method"); !ok { // a filter has taken it out
		return &errLocal{filter.Reply{
			Status: 503, Body: []byte("missing required header: :method"), GRPCStatus: -1,
			Details: "filter_removed_required_request_headers",
		}}
	}
	return s.connect(o, false)
}

func (s *stream) setPath() {
	s.request.Set(":path", s.route.rewrite.apply(s.request.Value(":path")))
}

func (s *stream) setHost() { s.request.Set(":authority", s.endpoint.hostname) }

// sync runs f where no filter can see its effects half done.
func (s *stream) sync(f func()) {
	if s.f == nil {
		f()
		return
	}
	s.f.chain.Sync(f)
}

// resolve chooses route and target, unless a filter has already had that done
// by asking for them.
func (s *stream) resolve() {
	if s.route != nil {
		return
	}
	if _, ok := s.request.Get("x-forwarded-proto"); !ok {
		return // a filter has taken it out; Envoy has no route then
	}
	s.vhost = s.l.host(s.request.Value(":authority"))
	if s.vhost == nil || s.request.Value(":method") == "CONNECT" {
		return
	}
	if s.route = s.vhost.match(&s.request); s.route != nil {
		s.arm = s.route.split.pick()
	}
}

// connect sends o to the endpoint, on a connection of the pool or, with
// fresh, on a new one.
func (s *stream) connect(o *filter.Output, fresh bool) error {
	var u *upstream
	if !fresh {
		// A request that leaves with the wait for its response is not sent to a
		// server that has closed or said something; others have to ask before.
		u = s.endpoint.pool.get(!o.End || len(o.Data) > 0 || o.Trailers != nil)
	}
	if u == nil {
		ctx, done := s.cancellable(true)
		var err error
		u, err = s.endpoint.pool.dial(ctx, s.arm.cluster)
		done()
		if err != nil {
			return &connectError{err}
		}
	}
	if err := s.attach(u); err != nil {
		return err
	}
	if s.f != nil && !s.fed {
		s.feedRequest()
		if s.f.chain.Replied() {
			return errReplied
		}
		if s.body != nil {
			if more, ok := s.f.chain.Take(filter.Request); ok {
				o.Data, o.Trailers, o.End = more.Data, more.Trailers, more.End
			}
		}
	}
	u.interim = s.d.interim
	if p := s.d.codec.Upgrade(); strings.EqualFold(p, "websocket") {
		u.codec.SetUpgrade(p)
	}
	// Without more to come, the headers leave with the wait for the response;
	// with more at hand, together with it.
	hold := o.End || s.f == nil && s.d.codec.Buffered() > 0
	return write(u.codec, *o, hold)
}

// write sends o. With hold, headers alone may wait for what follows.
func write(c halfStream, o filter.Output, hold bool) error {
	dataEnd := o.End && o.Trailers == nil
	if o.Headers != nil {
		end := dataEnd && len(o.Data) == 0
		if err := c.WriteHeaders(o.Headers, end); err != nil || end {
			return err
		}
	}
	if len(o.Data) > 0 || dataEnd {
		if err := c.WriteData(o.Data, dataEnd); err != nil {
			return err
		}
	} else if !hold && o.Trailers == nil {
		return c.Flush()
	}
	if o.Trailers != nil {
		return c.WriteTrailers(o.Trailers)
	}
	return nil
}

// replayable reports whether the request may be sent twice: all of it is here,
// and its method is idempotent (RFC 9110, 9.2.2).
func (s *stream) replayable(o filter.Output) bool {
	if !o.End || len(o.Data) > 0 && s.body == nil {
		return false
	}
	return idempotent(o.Headers.Value(":method"))
}

func idempotent(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

// receive waits for the response headers. A connection of the pool that died
// before the first byte of a response is replaced, once: for any request that
// was not sent on it, and for one that may be sent twice.
func (s *stream) receive(o filter.Output) (end bool, err error) {
	u := s.up
	end, err = u.codec.ReadHeaders(&s.response)
	if err == nil || s.aborted() != nil {
		return end, err
	}
	again := u.reused && u.codec.Buffered() == 0 && broken(err) && s.replayable(o)
	if !again && err != http1.ErrStale {
		return end, err
	}
	s.detach()
	u.codec.Close()
	if err := s.connect(&o, true); err != nil {
		return false, err
	}
	return s.up.codec.ReadHeaders(&s.response)
}

// deliver sends the response, whose headers are in s.response, downstream.
func (s *stream) deliver(end bool) {
	u := s.up
	if p := u.codec.Upgrade(); p != "" {
		s.tunnel(u, p)
		return
	}
	o := filter.Output{Headers: &s.response, End: end}
	var b *buffer
	defer func() { b.release() }()
	if end || u.codec.Buffered() == 0 {
		// There is no body, or it is not here: the headers do not wait for it.
		if s.put(o, end) != nil || end {
			return
		}
		o.Headers = nil
	}
	b = takeBuffer()
	for !end {
		n, last, err := u.codec.ReadData(b.all[:])
		if err == nil && last {
			err = u.codec.ReadTrailers(&s.responseTrailers)
		}
		if err != nil {
			// Nothing may look like the end of the response.
			s.cut(err)
			return
		}
		s.d.alive()
		end = last
		o.Data, o.End = b.all[:n], last
		if last && s.responseTrailers.Len() > 0 {
			o.Trailers = &s.responseTrailers
		}
		if n > 0 || last {
			if s.put(o, false) != nil {
				return
			}
			o.Headers = nil
		}
	}
}

var errNotWanted = errors.New("response is not wanted")

// put sends a part of the upstream's response downstream, through the filters
// where there are any. whole says that the response is headers alone.
func (s *stream) put(o filter.Output, whole bool) error {
	if s.f == nil {
		err := s.write(filter.Response, o)
		if err == nil && o.End {
			s.complete = true
		}
		return err
	}
	c := s.f.chain
	answered := func() { s.answeredAt = time.Now() }
	if o.Headers != nil {
		if whole {
			c.Sync(answered)
		}
		c.Headers(filter.Response, o.Headers, whole)
	}
	if !whole {
		if len(o.Data) > 0 {
			c.Data(filter.Response, o.Data, false)
		}
		if o.End {
			c.Sync(answered)
		}
		if o.Trailers != nil {
			c.Trailers(filter.Response, o.Trailers)
		} else if o.End {
			c.Data(filter.Response, nil, true)
		}
	}
	if o.End {
		// The memory of o is used again as soon as this returns. What a filter
		// keeps is its own; drain waits for that.
		s.f.flush(filter.Response)
		return nil
	}
	if !s.f.settle(filter.Response) || c.Replied() {
		return errNotWanted
	}
	return nil
}

// write sends what has passed the filters, or what needs not pass any.
func (s *stream) write(d filter.Direction, o filter.Output) error {
	if d == filter.Request {
		if err := write(s.up.codec, o, false); err != nil {
			s.uploadFailed(err)
			return err
		}
		if o.End {
			s.requestSent.Store(true)
		}
		return nil
	}
	hold := true
	if o.Headers != nil {
		s.sync(func() { s.complement(o.Headers) })
		hold = false
	}
	err := write(s.d.codec, o, hold)
	s.sent.Add(uint64(len(o.Data)))
	s.d.alive()
	if err != nil {
		s.abort(s.d.seq.Load(), errClientGone)
	}
	return err
}

// complement adds to response headers what they lack.
func (s *stream) complement(h *filter.Headers) {
	if _, ok := h.Get("date"); !ok {
		h.Add("date", s.d.proxy.date())
	}
	h.Remove("transfer-encoding") // the codec's matter; the filters' Log does not see it
	s.status, _ = strconv.Atoi(h.Value(":status"))
	if s.d.socket.draining.Load() {
		s.d.codec.CloseAfter()
	}
}

// cut gives up a response that cannot be completed.
func (s *stream) cut(error) {
	s.complete = false
	if s.f != nil {
		if s.f.chain.Replied() {
			return // the upstream was let go on purpose
		}
		s.f.chain.Reset()
	}
}
