package proxy

import (
	"time"

	"github.com/meshc/meshc/runtime/filter"
)

// epoch is where the times of timeouts are counted from.
var epoch = time.Now()

// now returns the time in nanoseconds since epoch.
func now() int64 { return int64(time.Since(epoch)) }

// lastWords is how long writing to the client may go on, at least, once a
// stream is overdue, and at most where the response has begun.
const lastWords = time.Second

// timeouts are the times by which a stream must have got somewhere, by now; 0
// is no such time. stream.mu guards them.
//
// One timer serves them all, and those of the next stream on the connection:
// it is set anew only where it would fire too late, and looks when it fires
// whether anything is due. So a request hardly ever touches it.
type timeouts struct {
	timer *time.Timer
	fires int64 // when the timer does; 0 where it does not run

	response int64         // the end of the response: Route.Timeout
	duration int64         // the end of the stream: Route.MaxDuration
	idle     time.Duration // how long nothing may move
	tunnel   bool          // it is the tunnel in which nothing moves
}

// overdue is why a stream was given up that took too long, and what the client
// gets then. Words and statuses are Envoy's.
type overdue struct {
	body, details string
	grpc          int
	// patient says that the client may be the one who is late: 408 while its
	// request is not complete.
	patient bool
}

func (o *overdue) Error() string { return o.details }

var (
	errStalled = &overdue{body: "stream timeout", details: "stream_idle_timeout", grpc: -1, patient: true}
	errTooLong = &overdue{body: "downstream duration timeout", details: "max_duration_timeout", grpc: 4, patient: true}
	errLate    = &overdue{body: "upstream request timeout", details: "response_timeout", grpc: -1}
)

// reply returns what the client gets, whose request was received whole or not.
func (o *overdue) reply(whole bool) *filter.Reply {
	r := &filter.Reply{Status: 504, Body: []byte(o.body), GRPCStatus: o.grpc, Details: o.details}
	if o.patient && !whole {
		r.Status = 408
	}
	return r
}

// limit sets what r says of the time that the stream may take. Until the route
// is settled it may be called again, with another.
func (s *stream) limit(r *route) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &s.timeouts
	t.idle, t.duration = s.d.proxy.cfg.StreamIdleTimeout, 0
	if r != nil && r.idleTimeout > 0 {
		t.idle = r.idleTimeout
	}
	start := int64(s.start.Sub(epoch))
	if r != nil && r.maxDuration > 0 {
		t.duration = start + int64(r.maxDuration)
		s.wakeAt(t.duration)
	}
	s.wakeAt(start + int64(t.idle))
}

// requestOver starts the time of the route: all of the request is here.
func (s *stream) requestOver() {
	if s.route.timeout == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timeouts.response = now() + int64(s.route.timeout)
	s.wakeAt(s.timeouts.response)
}

// alive notes a sign of life.
func (s *stream) alive() { s.moved.Store(now()) }

// wakeAt has the timer fire at that time or before; s.mu is held.
func (s *stream) wakeAt(at int64) {
	t := &s.timeouts
	if t.fires != 0 && t.fires <= at {
		return
	}
	t.fires = at
	if in := time.Duration(at - now()); t.timer == nil {
		t.timer = time.AfterFunc(in, s.look)
	} else {
		t.timer.Reset(in)
	}
}

// look gives the stream up if anything is due, and is called again when the
// next thing may be.
func (s *stream) look() {
	s.mu.Lock()
	t, at := &s.timeouts, now()
	if t.fires == 0 || at < t.fires { // set anew meanwhile
		s.mu.Unlock()
		return
	}
	t.fires = 0
	if t.idle == 0 { // no stream
		s.mu.Unlock()
		return
	}
	seq, cause := s.d.seq.Load(), s.due(at)
	s.mu.Unlock()
	if cause != nil {
		s.abort(seq, cause)
	}
}

// due returns what the stream is late for, which is nil for nothing, and has
// the timer wait for the rest; s.mu is held.
func (s *stream) due(at int64) (cause error) {
	t := &s.timeouts
	due := func(when *int64, late *overdue) {
		switch {
		case *when == 0:
		case *when > at:
			s.wakeAt(*when)
		default:
			*when, cause = 0, late
		}
	}
	due(&t.duration, errTooLong)
	due(&t.response, errLate)
	next := at + int64(t.idle/watchParts)
	if t.tunnel {
		if s.d.tunnel.stalled(at, t.idle) {
			cause = errStalled
		}
	} else if next = s.moved.Load() + int64(t.idle); next <= at {
		cause = errStalled
	}
	if cause != nil { // the answer too may stall
		t.duration, t.response, t.tunnel = 0, 0, false
		t.idle = max(t.idle, lastWords)
		s.moved.Store(at)
		next = at + int64(t.idle)
	}
	s.wakeAt(next)
	return cause
}

// tunnelled says that from now on the stream is idle where its tunnel is.
func (s *stream) tunnelled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := now()
	s.timeouts.tunnel, s.timeouts.response = true, 0
	s.d.tunnel.begin(at)
	s.wakeAt(at + int64(s.timeouts.idle/watchParts))
}

// met ends all times of a stream; its mu is held.
func (t *timeouts) met() { t.response, t.duration, t.idle, t.tunnel = 0, 0, 0, false }

// stop ends the timer, after the last stream.
func (s *stream) stopTimer() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timeouts.timer != nil {
		s.timeouts.timer.Stop()
	}
}
