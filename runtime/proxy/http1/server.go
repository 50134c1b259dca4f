package http1

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/meshc/meshc/runtime/filter"
)

// lingerTime bounds how long Close waits for a client to stop sending.
const lingerTime = time.Second

var errHijacked = errors.New("http1: connection was hijacked")

// ServerConn is the server side of a downstream connection. Its requests come
// one after the other: ReadHeaders, the rest of the request and the response
// in any interleaving, Next.
type ServerConn struct {
	in     input
	out    output
	scheme string

	msg     message // the request at hand
	head    bool    // its method is HEAD
	connect bool    // its method is CONNECT
	keep    bool    // the client keeps the connection
	closing bool    // we do not
	unread  bool    // the last request was given up before its end
	upgrade string  // protocol to switch to in the response

	// Expect: 100-continue is answered by the reader, while the writer may be
	// about to send the final response.
	mu        sync.Mutex
	expect    bool // the client waits for a 100
	continued bool // it has been sent
	answered  bool // the final response has begun
}

// NewServerConn returns the server side of c, within l. :scheme of its
// requests is https where c is a TLS connection.
func NewServerConn(c net.Conn, l Limits) *ServerConn {
	s := &ServerConn{scheme: "http"}
	if _, ok := c.(interface{ ConnectionState() tls.ConnectionState }); ok {
		s.scheme = "https"
	}
	sock := newSocket(c)
	s.in = input{conn: c, sock: sock, limits: l.withDefaults(), fault: 400}
	s.out = output{conn: c, vectors: sock != nil}
	s.msg.forget()
	return s
}

// Wait returns once the first bytes of the next request are here; no buffer is
// held until then. It need not be called: it exists so that the time between
// requests and the time for a header section can have different deadlines.
// Its errors are those of ReadHeaders.
func (s *ServerConn) Wait() error { return s.in.wait(nil) }

// ReadHeaders waits for a request and fills h with its header section; end
// says that there is no body. The error is io.EOF where the client closed
// between two requests, an *Error for a request that was refused (the response
// to it can be written; it closes the connection), and else what the
// connection reported.
func (s *ServerConn) ReadHeaders(h *filter.Headers) (end bool, err error) {
	h.Reset()
	if err := s.readRequest(h); err != nil {
		s.closing, s.in.err = true, err
		return false, err
	}
	return s.in.ended(), nil
}

func (s *ServerConn) readRequest(h *filter.Headers) error {
	block, err := s.in.headerBlock()
	if err != nil {
		return err
	}
	m := &s.msg
	m.reset(s.in.limits)
	rest, e := m.requestLine(block)
	if e != nil {
		return e
	}
	s.head, s.connect = m.method == "HEAD", m.method == "CONNECT"
	m.addRequest(h, s.scheme)
	if e := m.fields(rest, h); e != nil {
		return e
	}
	if e := m.finishRequest(h); e != nil {
		return e
	}
	if m.length > 0 && s.in.limits.BodyBytes > 0 && m.length > s.in.limits.BodyBytes {
		return &Error{Status: 413, Reason: "content-length over the limit"}
	}
	s.keep = m.keepsAlive()
	switch {
	case m.chunked:
		s.in.begin(bodyChunked, 0)
	case m.length > 0:
		s.in.begin(bodyLength, m.length)
	}
	s.expect = m.expect && m.minor > 0 && !s.in.ended()
	return nil
}

// Protocol returns the version of the request at hand, "HTTP/1.0" or "HTTP/1.1".
func (s *ServerConn) Protocol() string {
	if s.msg.minor == 0 {
		return "HTTP/1.0"
	}
	return "HTTP/1.1"
}

// ReadData reads body into p; n may be 0. end says that no data follows,
// trailers may. Where the client waits for a 100 Continue, the first call
// sends it.
func (s *ServerConn) ReadData(p []byte) (n int, end bool, err error) {
	if s.expect {
		if err := s.sendContinue(); err != nil {
			return 0, false, err
		}
	}
	return s.in.readData(p)
}

// ReadTrailers fills t with the trailer section, which is often empty. It is
// called after ReadData has returned end.
func (s *ServerConn) ReadTrailers(t *filter.Headers) error { return s.in.readTrailers(t) }

// Upgrade returns the protocols that the client asks to switch to, as its
// Upgrade field has them ("websocket"), or "". A request with a body, or of
// HTTP/1.0, does not count as asking.
func (s *ServerConn) Upgrade() string {
	if s.msg.minor == 0 || !s.msg.wantsUpgrade || s.msg.chunked || s.msg.length > 0 {
		return ""
	}
	return s.msg.upgrade
}

// SetUpgrade makes a response with :status 101 say that the connection switches
// to protocol. Hijack it afterwards.
func (s *ServerConn) SetUpgrade(protocol string) { s.upgrade = protocol }

// ExpectContinue reports whether the client waits for a 100 Continue before it
// sends its body. The expect field stays visible, so that an upstream may decide.
func (s *ServerConn) ExpectContinue() bool { return s.expect }

func (s *ServerConn) sendContinue() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.continued || s.answered {
		return nil
	}
	s.continued = true
	return s.out.writeString("HTTP/1.1 100 Continue\r\n\r\n")
}

// WriteInformational sends an interim response at once: :status of h is 100 to
// 199, and not 101. It does nothing where the client could not understand it
// (HTTP/1.0), for a 100 that nobody waits for, and once the response has begun.
func (s *ServerConn) WriteInformational(h *filter.Headers) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	status, err := statusOf(h)
	switch {
	case err != nil:
		return err
	case status >= 200 || status == 101:
		return errors.New("http1: not an interim status")
	case s.msg.minor == 0 || s.answered, status == 100 && (!s.expect || s.continued):
		return nil
	}
	if status == 100 {
		s.continued = true
	}
	if err := s.out.interim(h, status); err != nil {
		return err
	}
	return s.out.flush()
}

// WriteHeaders begins the response; end says that there is no body. Without
// end, nothing is sent before WriteData or Flush. The body is framed by the
// content-length of h, or else chunked; for HTTP/1.0 it lasts until the
// connection closes. HEAD, 204 and 304 have none, whatever is written. An
// error that is not of the connection says why h cannot be sent; nothing has
// been written then.
func (s *ServerConn) WriteHeaders(h *filter.Headers, end bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answered {
		return errors.New("http1: response headers written twice")
	}
	r := response{
		head: s.head, connect: s.connect, http10: s.msg.minor == 0,
		keep: s.keep && !s.closing, upgrade: s.upgrade,
	}
	if err := s.out.response(h, end, &r); err != nil {
		return err
	}
	s.answered = true
	if !r.keep {
		s.closing = true
	}
	if !s.out.done {
		return nil
	}
	return s.out.flush()
}

// WriteData sends p, together with headers not yet sent; end says that the
// message ends with it, without trailers. An error that is not of the
// connection says that p does not fit the content-length; the connection
// cannot be used again then.
func (s *ServerConn) WriteData(p []byte, end bool) error { return s.out.data(p, end) }

// WriteTrailers ends the response with t, which is sent only in a chunked one.
func (s *ServerConn) WriteTrailers(t *filter.Headers) error { return s.out.trailers(t) }

// Flush sends what has been written and not sent: headers whose body is
// not here yet.
func (s *ServerConn) Flush() error { return s.out.flush() }

// CloseAfter makes this response the last one; it says connection: close if
// its headers have not been written.
func (s *ServerConn) CloseAfter() { s.closing = true }

// KeepAlive reports whether, as far as is known, another request may follow.
func (s *ServerConn) KeepAlive() bool { return s.keep && !s.closing }

// Buffered returns the number of bytes that have been received and not read:
// body, or the requests behind this one.
func (s *ServerConn) Buffered() int { return s.in.w - s.in.r }

// SetReadDeadline sets the deadline for reading from the connection.
func (s *ServerConn) SetReadDeadline(t time.Time) error { return s.in.conn.SetReadDeadline(t) }

// SetWriteDeadline sets the deadline for writing to the connection.
func (s *ServerConn) SetWriteDeadline(t time.Time) error { return s.in.conn.SetWriteDeadline(t) }

// Whole returns the size of a body of known length that is here to its end, and
// else 0.
func (s *ServerConn) Whole() int {
	if n := s.msg.length; n > 0 && n <= int64(s.Buffered()) {
		return int(n)
	}
	return 0
}

// Next ends the exchange: strings it gave out are no longer valid. It reports
// whether the connection serves another request, and is to be closed if not.
// Of a request not read to its end it reads the rest, up to Limits.DrainBytes
// and within the read deadline.
func (s *ServerConn) Next() (reuse bool) {
	reuse = s.KeepAlive() && s.out.done && s.out.err == nil && s.drained()
	s.unread = !reuse && s.mayBeSending()
	s.in.next(reuse)
	s.out.next()
	s.head, s.connect, s.keep, s.closing, s.upgrade = false, false, false, !reuse, ""
	s.expect, s.continued, s.answered = false, false, false
	s.msg.forget()
	return reuse
}

// drained reads the rest of the request. One whose client has waited in vain
// for a 100 may send its body or not, so what would follow is not known.
func (s *ServerConn) drained() bool {
	if s.in.complete() {
		return s.in.err == nil
	}
	return !(s.expect && !s.continued) && s.in.drain(s.in.limits.DrainBytes)
}

// mayBeSending reports whether the client may have sent, or be sending, what
// nobody has read.
func (s *ServerConn) mayBeSending() bool {
	return s.in.w > s.in.r || !s.in.complete() || s.in.err != nil && s.in.err != io.EOF
}

// Hijack hands over the connection, with the bytes that were received and not
// read. The ServerConn is of no more use; its last strings stay valid.
func (s *ServerConn) Hijack() (net.Conn, []byte) {
	s.closing = true
	s.out.abandon(errHijacked)
	return s.in.conn, s.in.abandon(errHijacked)
}

// Close closes the connection, unless it was hijacked. If the client may still
// be sending, only our side closes at first, and up to Limits.DrainBytes are
// read for up to a second: a reset would take the response away from it. The
// last strings stay valid.
func (s *ServerConn) Close() error {
	if errors.Is(s.in.err, errHijacked) {
		return nil
	}
	unread := s.unread || s.mayBeSending()
	s.out.abandon(net.ErrClosed)
	s.in.abandon(net.ErrClosed)
	c, ok := s.in.conn.(interface{ CloseWrite() error })
	if unread && ok && c.CloseWrite() == nil && s.in.conn.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		s.in.discard(s.in.limits.DrainBytes)
	}
	return s.in.conn.Close()
}
