package http2

import (
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/proxy/http1"
)

// Owner hears of a stream that its peer, or the end of its connection, has
// reset.
type Owner interface {
	// StreamReset is called with the number that the stream was attached by. It
	// must not wait, nor call the stream.
	StreamReset(number uint64, err error)
}

// Stream is one request and its response. On a server connection it reads the
// request, on a client connection the response.
type Stream struct {
	// Informational, where it is not nil, gets each interim response (1xx) while
	// ReadHeaders waits for the final one. Its argument is valid during the call only.
	Informational func(h *filter.Headers)

	c *conn

	// Guarded by c.mu and mu, one of which is enough to read.
	id   uint32
	head bool // the method is HEAD

	mu          sync.Mutex
	arrived     sync.Cond // of mu: any of what follows has changed
	headers     filter.Headers
	trailers    filter.Headers
	interim     []filter.Headers
	begun       bool // headers are there
	ended       bool // END_STREAM has come
	apart       bool // in a frame without data, after others with data
	buf         []byte
	r           int   // of buf
	left        int64 // of the content-length, -1 where there is none
	total       int64 // bytes of body
	window      int   // what the peer may send
	owed        int   // what was consumed and the peer has not been told of
	refused     *http1.Error
	recvErr     error
	interrupted bool // a read deadline has gone by
	owner       Owner
	number      uint64

	// Guarded by c.mu.
	sendable   sync.Cond
	sendWindow int64
	sendErr    error
	started    bool  // final headers are written
	sent       bool  // END_STREAM is written
	toSend     int64 // of the content-length, -1 where there is none
	born       int64 // by the clock
	timer      *time.Timer
	blocked    bool // it is in c.out.blocked

	expect bool // the client waits for a 100; of whoever holds the stream
}

var streams = sync.Pool{New: func() any {
	s := &Stream{}
	s.arrived.L = &s.mu
	return s
}}

// newStream returns a stream that takes one of c's places; c.mu is held.
func (c *conn) newStream() *Stream {
	s := streams.Get().(*Stream)
	s.c, s.sendable.L = c, &c.mu
	s.left, s.toSend, s.window = -1, -1, streamWindow
	s.sendWindow, s.born = c.peerWindow, c.clock.Load()
	c.active++
	return s
}

// open gives s its ID and puts it on the wire; c.mu is held.
func (c *conn) open(s *Stream, id uint32) {
	s.mu.Lock()
	s.id = id
	s.mu.Unlock()
	c.lastID = id
	c.streams[id] = s
}

// lock returns the stream with s.mu held, or nil where none is on the wire. It is not
// let go between finding and locking: it could be another connection's by then.
func (c *conn) lock(id uint32) *Stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[id]
	if s != nil {
		s.mu.Lock()
	}
	return s
}

// close takes s off the wire with code, unless both sides have said all. c.mu is held.
func (c *conn) close(s *Stream, code ErrCode) {
	if s.id == 0 || c.streams[s.id] != s {
		return
	}
	delete(c.streams, s.id)
	s.mu.Lock()
	done := s.ended && s.sent
	s.mu.Unlock()
	if !done {
		c.out.reset(s.id, code)
	}
}

// end ends s for whoever holds it. What it has written may be on its way yet.
func (s *Stream) end(code ErrCode) {
	c := s.c
	c.mu.Lock()
	c.close(s, code)
	c.active--
	s.mu.Lock()
	if c.server {
		c.credit(int64(len(s.buf) - s.r))
	}
	s.mu.Unlock()
	c.freed()
	c.flush()
	if s.timer != nil {
		s.timer.Stop()
	}
	if s.blocked { // and woken by something else
		s.blocked = false
		i := slices.Index(c.out.blocked, s)
		c.out.blocked = slices.Delete(c.out.blocked, i, i+1)
	}
	c.mu.Unlock()
	s.recycle()
}

// recycle makes s fit for the next use.
func (s *Stream) recycle() {
	s.mu.Lock()
	s.id, s.head = 0, false
	s.headers.Reset()
	s.trailers.Reset()
	s.interim, s.begun, s.ended, s.apart = nil, false, false, false
	s.r, s.total, s.owed = 0, 0, 0
	if s.buf = s.buf[:0]; cap(s.buf) > 64<<10 {
		s.buf = nil
	}
	s.refused, s.recvErr, s.interrupted, s.owner = nil, nil, false, nil
	s.mu.Unlock()
	s.Informational, s.c, s.sendable.L = nil, nil, nil
	s.sendErr, s.started, s.sent, s.timer = nil, false, false, nil
	s.expect = false
	streams.Put(s)
}

// Attach names who is to hear of a reset, by which number. It is called before anything
// else, where the stream is begun.
func (s *Stream) Attach(o Owner, number uint64) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owner, s.number = o, number
	if c.streams[s.id] != s { // another goroutine than the reader's has dropped it by now
		c.lost = append(c.lost, loss{o, number, s.sendErr})
	}
}

// SetReadDeadline ends reading where t has gone by, and lets it go on with the
// zero time. Other times are not kept.
func (s *Stream) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.interrupted = !t.IsZero() && !t.After(time.Now())
	s.arrived.Broadcast()
	return nil
}

// SetWriteDeadline ends writing at t; the zero time is never.
func (s *Stream) SetWriteDeadline(t time.Time) error {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	if t.IsZero() {
		return nil
	}
	id := s.id
	s.timer = time.AfterFunc(time.Until(t), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if id != 0 && c.streams[id] == s && s.sendErr == nil {
			s.sendErr = os.ErrDeadlineExceeded
			s.sendable.Broadcast()
		}
	})
	return nil
}

var errAborted = &Error{Code: CodeCancel, Reason: "aborted"}

// Abort resets the stream: whoever reads and writes gets an error.
func (s *Stream) Abort() {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.close(s, CodeCancel)
	s.sendErr = errAborted
	s.sendable.Broadcast()
	s.mu.Lock()
	s.recvErr = errAborted
	s.r = len(s.buf)
	s.arrived.Broadcast()
	s.mu.Unlock()
	c.flush()
}

// Close ends the exchange; where it was not complete, it resets the stream.
func (s *Stream) Close() error {
	if s.c.server {
		s.end(CodeInternal)
	} else {
		s.end(CodeCancel)
	}
	return nil
}

// Next ends an exchange whose response is complete. A client that has not sent
// all of its request is told to leave it. The result is false: no other exchange follows.
func (s *Stream) Next() (reuse bool) {
	if s.c.server {
		s.end(CodeNo)
	} else {
		s.end(CodeCancel)
	}
	return false
}

// Idle reports true: nothing comes on a stream before its request.
func (s *Stream) Idle() bool { return true }

// Wait returns nil: the request is there.
func (s *Stream) Wait() error { return nil }

// Protocol returns "HTTP/2".
func (s *Stream) Protocol() string { return "HTTP/2" }

// CloseAfter does nothing: a connection is drained as a whole.
func (s *Stream) CloseAfter() {}

// SetUpgrade does nothing: HTTP/2 has no upgrades (RFC 9113, 8.6).
func (s *Stream) SetUpgrade(string) {}

// Upgrade returns "".
func (s *Stream) Upgrade() string { return "" }

// Hijack is not for streams; it returns nothing.
func (s *Stream) Hijack() (net.Conn, []byte) { return nil, nil }

// ExpectContinue reports whether the client waits for a 100 Continue before it
// sends its body.
func (s *Stream) ExpectContinue() bool { return s.expect }

var errUpgrade = errors.New("http2: 101 is not for HTTP/2")
