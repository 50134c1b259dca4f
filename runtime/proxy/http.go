package proxy

import (
	"context"
	"errors"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshc/meshc/runtime/filter"
)

// Why a stream was given up, where it is not overdue.
var (
	errClientGone = errors.New("the client has gone")
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
	fixed    bool // these three stay as they are
	endpoint *endpoint
	hash     uint64 // what the endpoint is chosen by
	cookie   string // that the response sets, as the value of Set-Cookie; "" for none

	status  int // of the response that was begun downstream, else 0
	details string
	// unconnected is why there is no connection to the endpoint, once that is known.
	unconnected string
	received    atomic.Uint64
	sent        atomic.Uint64
	complete    bool // the response was written to its end

	// For the filters' properties: when the request began to be sent, when the
	// last of the response came, and how long it all took.
	sentAt, answeredAt time.Time
	connectedAt        time.Time // guarded by mu
	took               time.Duration

	tries     int
	retrying  bool          // a retry is counted
	opened    bool          // the rest of the request may follow
	ended     bool          // there is no rest
	spool     *spool        // the body of a request that may be sent again; nil where it need not be
	uploading chan struct{} // closed when the upload of the try ends
	flags     string        // Envoy's response flags, separated by commas
	flagged   atomic.Uint64 // the same as bits
	unjudged  bool          // the outcome of the try is known at the end of its response

	pumping     bool
	together    bool          // body came with its end, in HTTP/2
	pumped      chan struct{} // the pump's last act
	requestRead atomic.Bool   // the request has been read to its end
	requestSent atomic.Bool   // and sent it

	moved  atomic.Int64 // when anything moved last, by now
	begun  atomic.Bool  // the response has begun to be written
	ending atomic.Bool  // its end is being written, or is

	mu     sync.Mutex // of what abort, called from anywhere, needs
	up     *upstream
	cancel context.CancelFunc
	cause  error // why the stream was given up
	chain  *filter.Chain
	timeouts
	hurried     bool          // writing has a deadline
	interrupted chan struct{} // told when the stream is given up, where one waits for it
}

// serve handles one request, whose headers are in s.request, and reports
// whether the connection may go on.
func (s *stream) serve(end bool) (keep bool) {
	s.start = time.Now()
	s.l = s.d.socket.acquire()
	s.moved.Store(int64(s.start.Sub(epoch)))
	s.requestEnd = end
	s.requestRead.Store(end && s.d.codec.Upgrade() == "")
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
	if factories := s.l.filters(&s.request, s.d.asked); len(factories) > 0 {
		s.filter(factories)
	}
	if s.f == nil {
		if s.body != nil {
			s.received.Store(uint64(s.body.n))
		}
		s.forward(filter.Output{Headers: &s.request, Data: s.body.bytes(), End: s.requestEnd || s.body != nil})
	}
	return s.complete
}

// prepare makes the request what is sent on: what Envoy adds and takes away,
// as far as we do.
func (s *stream) prepare() {
	h := &s.request
	for i := h.Len() - 1; i >= 0; i-- {
		if name := h.At(i).Name; strings.HasPrefix(name, "x-") && inner(name) {
			h.Remove(name)
			i = min(i, h.Len())
		}
	}
	if s.d.codec.ExpectContinue() {
		h.Remove("expect") // answered here, when the body is first read
	}
	if _, ok := h.Get("x-forwarded-proto"); !ok {
		h.Add("x-forwarded-proto", s.d.scheme(h))
	}
	if _, ok := h.Get("x-request-id"); !ok {
		h.Add("x-request-id", s.id.make())
	}
}

// inner reports whether name is a field that a client may not send: one that
// speaks for a proxy in front of us, or controls what Envoy does with a request.
// Envoy takes away the same (ConnectionManagerUtility::cleanInternalHeaders, and
// forward_client_cert_details SANITIZE).
func inner(name string) bool {
	switch name {
	case "x-forwarded-client-cert", "x-envoy-internal", "x-envoy-force-trace", "x-envoy-ip-tags", "x-envoy-original-url",
		"x-envoy-retry-on", "x-envoy-retry-grpc-on", "x-envoy-max-retries",
		"x-envoy-retriable-status-codes", "x-envoy-retriable-header-names", "x-envoy-hedge-on-per-try-timeout",
		"x-envoy-expected-rq-timeout-ms", "x-envoy-upstream-rq-timeout-ms", "x-envoy-upstream-rq-per-try-timeout-ms",
		"x-envoy-upstream-rq-timeout-alt-response", "x-envoy-upstream-stream-duration-ms", "x-envoy-upstream-alt-stat-name":
		return true
	}
	return false
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
	if s.spool != nil {
		s.spool.close()
		s.endUpload()
	}
	s.joinPump()
	if s.f != nil {
		s.f.join()
	}
	if s.retrying {
		s.arm.cluster.retryEnd()
	}
	took := time.Since(s.start)
	meter := s.l.meter
	if s.arm != nil {
		meter = s.arm.meter
	}
	received := s.received.Load()
	if s.body != nil {
		received = uint64(s.body.n) // the filters may not have been shown it
	}
	meter.done(s.status, took, received, s.sent.Load())
	if s.f != nil {
		r := s.record(took)
		s.sync(func() { s.took, s.details = took, r.Details })
		s.f.chain.End(r)
	}
	if u := s.detach(); u != nil {
		u.release(s.complete)
	}
	s.l.gen.release()
	s.reset()
}

// reset forgets the stream, and keeps its storage.
func (s *stream) reset() {
	s.body.release()
	s.l, s.body, s.f, s.vhost, s.route, s.arm, s.endpoint = nil, nil, nil, nil, nil, nil, nil
	s.status, s.details, s.unconnected, s.cookie = 0, "", "", ""
	s.received.Store(0)
	s.sent.Store(0)
	s.sentAt, s.answeredAt, s.connectedAt, s.took = time.Time{}, time.Time{}, time.Time{}, 0
	s.complete, s.pumping, s.fed, s.together, s.fixed = false, false, false, false, false
	s.tries, s.retrying, s.opened, s.ended, s.spool, s.uploading, s.flags, s.unjudged = 0, false, false, false, nil, nil, "", false
	s.requestRead.Store(false)
	s.requestSent.Store(false)
	s.begun.Store(false)
	s.ending.Store(false)
	s.request.Reset()
	s.response.Reset()
	s.requestTrailers.Reset()
	s.responseTrailers.Reset()
	s.mu.Lock()
	s.cause, s.chain, s.cancel = nil, nil, nil
	s.timeouts.met()
	if s.hurried {
		s.hurried = false
		s.d.codec.SetWriteDeadline(time.Time{})
	}
	s.d.seq.Add(1) // what still means this stream comes too late
	s.flagged.Store(0)
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
	f.chain.OnReply(s.replying)
	s.f = f
	s.mu.Lock()
	s.chain = f.chain
	s.mu.Unlock()
	s.limit(s.l.route(&s.request, s.d.asked))
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
	case s.requestEnd || s.fed || s.f.chain.Replied():
	case s.body != nil:
		s.received.Store(uint64(s.body.n))
		if s.together {
			s.f.chain.LastData(filter.Request, s.body.bytes())
		} else {
			s.f.chain.Data(filter.Request, s.body.bytes(), true)
		}
	default:
		s.startPump(nil)
	}
	s.fed = true
}

// sync runs f where no filter can see its effects half done.
func (s *stream) sync(f func()) {
	if s.f == nil {
		f()
		return
	}
	s.f.chain.Sync(f)
}
