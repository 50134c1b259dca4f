package proxy

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/proxy/http1"
	"github.com/meshc/meshc/runtime/proxy/http2"
)

// errReplied says that a filter's reply, or its reset, made the upstream superfluous.
var errReplied = errors.New("answered here")

// connectError is an endpoint that could not be connected to.
type connectError struct{ err error }

func (e *connectError) Error() string { return e.err.Error() }
func (e *connectError) Unwrap() error { return e.err }

// abort gives the stream up, from any goroutine, if seq still names it. A client
// may leave as soon as it has been sent the end of the response. A stream
// that is overdue ends with an answer, and when it is so again, without.
func (s *stream) abort(seq uint64, cause error) {
	late, _ := cause.(*overdue)
	s.mu.Lock()
	again := s.cause != nil && s.cause != errReplied
	if s.d.seq.Load() != seq || again && late == nil || left(cause) && s.ending.Load() {
		s.mu.Unlock()
		return
	}
	if !again {
		s.cause = cause
		if late != nil {
			s.flagged.Or(flagBits[late.flag])
		}
	}
	chain := s.chain
	// Whoever learns of the cause from here on may give the same answer before this does.
	answered := chain != nil && chain.Replied()
	s.letGo()
	switch {
	case late == nil:
	case again:
		s.d.codec.SetWriteDeadline(past)
		s.hurried = true
	case s.begun.Load(): // it may be the client that takes nothing
		s.d.codec.SetWriteDeadline(time.Now().Add(lastWords))
		s.hurried = true
	}
	s.mu.Unlock()
	if chain == nil {
		return
	}
	if late != nil && !again {
		if s.ending.Load() {
			return // the end of an answer is being written, for lastWords at most, or is
		}
		if !answered {
			chain.Reply(*late.reply(s.requestRead.Load()))
			if chain.Replied() {
				return
			}
		}
	}
	chain.Reset()
}

// Abandon is part of filter.Host.
func (s *stream) Abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause == nil {
		s.cause = errReplied
	}
	s.letGo()
}

// letGo interrupts what goes on with the upstream; s.mu is held.
func (s *stream) letGo() {
	if s.cancel != nil {
		s.cancel()
	}
	if s.up != nil {
		s.up.abort()
	}
	if s.interrupted != nil {
		select {
		case s.interrupted <- struct{}{}:
		default:
		}
	}
}

func (s *stream) aborted() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cause
}

// attach makes u the stream's connection, unless the stream was given up.
func (s *stream) attach(u *upstream) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause != nil {
		u.release(false)
		return s.cause
	}
	s.up = u
	s.timeConnected()
	if s.chain != nil {
		s.connectedAt = time.Now()
	}
	return nil
}

// detach takes the connection away from the stream; nil where it has none.
func (s *stream) detach() *upstream {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.up
	s.up = nil
	s.timeouts.try, s.timeouts.whole, s.timeouts.waits, s.timeouts.expired = 0, 0, 0, nil
	if u != nil {
		u.interim = nil
	}
	return u
}

func nothing() {}

// cancellable returns a context that ends when the stream is given up; done
// must be called. Without need it costs nothing.
func (s *stream) cancellable(need bool) (ctx context.Context, done func()) {
	if !need {
		return context.Background(), nothing
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancel = cancel
	if s.cause != nil {
		cancel()
	}
	return ctx, cancel
}

// broken reports whether err is a connection that ended, rather than one that
// said something wrong.
func broken(err error) bool {
	var e *http1.Error
	var reset *http2.Error
	return !errors.As(err, &e) && !errors.As(err, &reset)
}

// unsent reports whether err says that the server has done nothing for the
// request, which may go to anyone.
func unsent(err error) bool {
	var e *http2.Error
	return err == http1.ErrStale || errors.As(err, &e) && e.Unprocessed
}

// failure returns what the client gets for err, met before any response; nil
// where there is nobody to tell. Words and statuses are Envoy's.
func (s *stream) failure(err error) *filter.Reply {
	var local *errLocal
	if errors.As(err, &local) {
		s.flag(local.flag)
		return &local.Reply
	}
	cause := s.aborted()
	late, _ := cause.(*overdue)
	if cause == nil {
		late, _ = err.(*overdue) // the try alone
	}
	var request *http1.Error
	switch {
	case late != nil:
		s.flag(late.flag)
		whole := s.requestRead.Load() // never of an upgrade
		if !whole {
			s.d.codec.CloseAfter()
		}
		return late.reply(whole)
	case cause == nil:
	case errors.As(cause, &request) && request.Err == nil:
		// The client broke the protocol in the body of its request.
		s.d.codec.CloseAfter()
		s.flag("DPE")
		return &filter.Reply{Status: request.Status, GRPCStatus: -1, Details: "http1.codec_error"}
	default:
		return nil
	}
	why := resetOf(err)
	s.flag(why.flag)
	if s.f != nil && why.connect != nil {
		s.sync(func() { s.unconnected, s.connectedAt = why.transport(), time.Now() })
	}
	return &filter.Reply{Status: why.status(), Body: []byte(why.text(s.tries > 1)), GRPCStatus: -1, Details: why.details()}
}

// reset is a failure of the upstream in Envoy's words.
type reset struct {
	reason, flag string
	connect      error // why there is no connection; nil where there was
}

func resetOf(err error) reset {
	var connect *connectError
	var response *http1.Error
	var stream *http2.Error
	switch {
	case errors.Is(err, errOverflow):
		return reset{reason: "overflow", flag: "UO"}
	case errors.As(err, &connect) && (errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || isTimeout(err)):
		return reset{reason: "connection timeout", flag: "UF"}
	case errors.As(err, &connect):
		return reset{reason: "remote connection failure", flag: "UF", connect: err}
	case errors.As(err, &response): // also an end inside of a message
		return reset{reason: "protocol error", flag: "UPE"}
	case errors.As(err, &stream) && stream.Unprocessed:
		return reset{reason: "remote refused stream reset", flag: "UR"}
	case errors.As(err, &stream) && stream.Remote:
		return reset{reason: "remote reset", flag: "UR"}
	case errors.As(err, &stream) && stream.Code != http2.CodeNo: // it said something wrong
		return reset{reason: "protocol error", flag: "UPE"}
	}
	return reset{reason: "connection termination", flag: "UC"}
}

func (r reset) status() int {
	if r.flag == "UPE" {
		return 502
	}
	return 503
}

// transport is why there is no connection, in Envoy's words.
func (r reset) transport() string {
	var secure *tlsError
	switch {
	case r.connect == nil:
		return ""
	case errors.As(r.connect, &secure):
		return secure.reason()
	}
	text := "delayed connect error"
	var errno syscall.Errno
	if errors.As(r.connect, &errno) {
		why := errno.Error()
		text += ": " + strings.ToUpper(why[:1]) + why[1:]
	}
	return text
}

// text is what the client is told.
func (r reset) text(retried bool) string {
	text := "upstream connect error or disconnect/reset before headers. "
	if retried {
		text += "retried and the latest "
	}
	return text + "reset reason: " + r.reason
}

// details are for the access log.
func (r reset) details() string {
	text := "upstream_reset_before_response_started{" + r.reason
	if why := r.transport(); why != "" {
		text += "|" + why
	}
	return strings.ReplaceAll(text, " ", "_") + "}"
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

// reply answers the request here; with nil, it breaks it off.
func (s *stream) reply(r *filter.Reply) {
	switch {
	case s.f != nil && r != nil:
		s.f.chain.Reply(*r)
	case s.f != nil:
		if !s.f.chain.Replied() {
			s.f.chain.Reset()
		}
	case r != nil:
		s.details = r.Details
		h, body := r.Response(&s.request, s.replying)
		s.complete = s.write(filter.Response, filter.Output{Headers: h, Data: body, End: true}) == nil
	}
}

// replying makes the changes of the route to the headers of a reply, as Envoy
// does: that of the route that the request has or, where none was chosen yet,
// would have.
func (s *stream) replying(h *filter.Headers) {
	r := s.route
	if r == nil {
		r = s.l.route(&s.request, s.d.asked)
	}
	if r != nil {
		r.responseHeaders.apply(h)
	}
}
