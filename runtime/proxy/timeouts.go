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
	try      int64         // the beginning of the response to this try: Retry.PerTryTimeout
	whole    int64         // the end of the response to this try: Cluster.MaxDuration
	waits    int64         // since when the try waits for its endpoint, where nothing has moved
	silence  time.Duration // how long it waits for that: Route.ReadTimeout
	idle     time.Duration // how long nothing may move
	tunnel   bool          // it is the tunnel in which nothing moves
	over     bool          // the request has ended
	expired  *overdue      // what the try is late for
}

// overdue is why a stream was given up that took too long, and what the client
// gets then. Words and statuses are Envoy's.
type overdue struct {
	body, details, flag string
	// patient says that the client may be the one who is late: 408 while its
	// request is not complete.
	patient bool
}

func (o *overdue) Error() string { return o.details }

var (
	errStalled = &overdue{body: "stream timeout", details: "stream_idle_timeout", flag: "SI", patient: true}
	errLate    = &overdue{body: "upstream request timeout", details: "response_timeout", flag: "UT"}

	// Of a try, after which there may be another.
	errTryLate    = &overdue{body: "upstream request timeout", details: "upstream_per_try_timeout", flag: "UT"}
	errTrySilent  = &overdue{body: "upstream request timeout", details: "upstream_per_try_idle_timeout", flag: "UT"}
	errTryTooLong = &overdue{body: "upstream max stream duration reached", details: "upstream_max_stream_duration_reached", flag: "UMSDR", patient: true}
)

// reply returns what the client gets, whose request was received whole or not.
func (o *overdue) reply(whole bool) *filter.Reply {
	r := &filter.Reply{Status: 504, Body: []byte(o.body), GRPCStatus: -1, Details: o.details}
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
	t.idle = s.d.proxy.cfg.StreamIdleTimeout
	if r != nil && r.idleTimeout > 0 {
		t.idle = r.idleTimeout
	}
	s.wakeAt(s.moved.Load() + int64(t.idle))
}

// requestOver says that all of the request is here: then the time of the route
// begins, and that of the try if it has a connection.
func (s *stream) requestOver() {
	r := s.route
	if r.timeout == 0 && r.retry == nil && r.readTimeout == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &s.timeouts
	if t.over {
		return
	}
	t.over = true
	if r.timeout > 0 {
		t.response = now() + int64(r.timeout)
		s.wakeAt(t.response)
	}
	s.timeTry()
}

// timeTry starts the time of the try; s.mu is held.
func (s *stream) timeTry() {
	t, r := &s.timeouts, s.route
	if s.up == nil || !t.over {
		return
	}
	if r.retry != nil && r.retry.perTry > 0 {
		t.try = now() + int64(r.retry.perTry)
		s.wakeAt(t.try)
	}
	if r.readTimeout > 0 {
		t.waits, t.silence = now(), r.readTimeout
		s.wakeAt(t.waits + int64(t.silence))
	}
}

// timeConnected starts the times that count from the connection; s.mu is held.
func (s *stream) timeConnected() {
	s.timeTry()
	if most := s.arm.cluster.maxDuration; most > 0 {
		s.timeouts.whole = now() + int64(most)
		s.wakeAt(s.timeouts.whole)
	}
}

// inTime ends the time of waiting for the response to a try, which ended with
// err, and returns why: the try was late, or else err.
func (s *stream) inTime(err error) error {
	if s.route.retry == nil && s.route.readTimeout == 0 && s.arm.cluster.maxDuration == 0 {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timeouts.try = 0
	if late := s.timeouts.expired; late != nil {
		return late
	}
	return err
}

// heardOut ends the time of waiting for the endpoint, which has said all.
func (s *stream) heardOut() {
	if s.route.readTimeout == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timeouts.waits = 0
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
	due(&t.try, errTryLate)
	due(&t.whole, errTryTooLong)
	if t.waits != 0 {
		silent := max(t.waits, s.moved.Load()) + int64(t.silence)
		due(&silent, errTrySilent)
	}
	if cause != nil {
		t.expired = cause.(*overdue)
		if cause, t.waits = nil, 0; s.up != nil {
			s.up.abort()
		}
	}
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
		t.response, t.try, t.whole, t.waits, t.tunnel = 0, 0, 0, 0, false
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
	s.timeouts.tunnel, s.timeouts.response, s.timeouts.waits = true, 0, 0
	s.d.tunnel.begin(at)
	s.wakeAt(at + int64(s.timeouts.idle/watchParts))
}

// met ends all times of a stream; its mu is held.
func (t *timeouts) met() { *t = timeouts{timer: t.timer, fires: t.fires} }

// stop ends the timer, after the last stream.
func (s *stream) stopTimer() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timeouts.timer != nil {
		s.timeouts.timer.Stop()
	}
}
