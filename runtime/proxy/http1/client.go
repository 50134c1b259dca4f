package http1

import (
	"net"
	"sync/atomic"

	"github.com/meshc/meshc/runtime/filter"
)

// maxInterim bounds the interim responses before a final one.
const maxInterim = 32

// ClientConn is the client side of an upstream connection. Its exchanges come
// one after the other: WriteHeaders, the rest of the request and the response
// in any interleaving, Next.
type ClientConn struct {
	// Informational, where it is not nil, gets each interim response (1xx)
	// while ReadHeaders waits for the final one. Its argument is valid during
	// the call only.
	Informational func(h *filter.Headers)

	in  input
	out output

	msg     message
	head    bool   // the request's method is HEAD
	connect bool   // the request's method is CONNECT
	asked   string // the protocol the request asks to switch to
	closing bool   // the request said connection: close
	unsent  bool   // the request is complete and left to ReadHeaders to send
	keep    bool   // the response lets the connection live
	tunnel  bool   // the response ended HTTP on this connection

	probe    *socket // what Idle asks, or nil
	hijacked atomic.Bool
}

// NewClientConn returns the client side of c, within l.
func NewClientConn(c net.Conn, l Limits) *ClientConn {
	sock := newSocket(c)
	probe := sock
	if under, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS
		probe = newSocket(under.NetConn())
	}
	return &ClientConn{
		in:    input{conn: c, sock: sock, limits: l.withDefaults(), fault: 502},
		out:   output{conn: c, vectors: sock != nil},
		probe: probe,
	}
}

// SetUpgrade makes the request ask to switch to protocol. It is called before
// WriteHeaders and holds for one exchange.
func (c *ClientConn) SetUpgrade(protocol string) { c.asked = protocol }

// CloseAfter makes the request say connection: close. It is called before
// WriteHeaders and holds for one exchange.
func (c *ClientConn) CloseAfter() { c.closing = true }

// WriteHeaders begins a request; end says that it has no body. Such a request
// is sent by ReadHeaders, in one step with the wait, or before by Flush. Without
// end, nothing is sent before WriteData or Flush. The body is framed by the
// content-length of h, or else chunked. An error that is not of the connection
// says why h cannot be sent; nothing has been written then.
func (c *ClientConn) WriteHeaders(h *filter.Headers, end bool) error {
	r := request{upgrade: c.asked, closing: c.closing}
	if err := c.out.request(h, end, &r); err != nil {
		return err
	}
	c.head, c.connect, c.unsent = r.head, r.connect, end
	return nil
}

// WriteData sends p, together with headers not yet sent; end says that the
// request ends with it, without trailers. An error that is not of the
// connection says that p does not fit the content-length; the connection
// cannot be used again then.
func (c *ClientConn) WriteData(p []byte, end bool) error { return c.out.data(p, end) }

// WriteTrailers ends the request with t, which is sent only in a chunked one.
func (c *ClientConn) WriteTrailers(t *filter.Headers) error { return c.out.trailers(t) }

// Flush sends what has been written and not sent.
func (c *ClientConn) Flush() error { return c.out.flush() }

// ReadHeaders waits for the final response and fills h with its header
// section; end says that there is no body. While it waits, no buffer is held.
// The error is ErrStale where the request was left to ReadHeaders to send and
// was not, io.EOF where the server closed before any byte of a response,
// an *Error for a response that was refused, and else what the connection
// reported.
func (c *ClientConn) ReadHeaders(h *filter.Headers) (end bool, err error) {
	for range maxInterim {
		h.Reset()
		status, err := c.readResponse(h)
		if err != nil {
			c.in.err = err
			return false, err
		}
		if status >= 200 || c.tunnel {
			return c.in.ended(), nil
		}
		if c.Informational != nil {
			c.Informational(h)
		}
		c.in.next(true)
	}
	c.in.err = &Error{Status: 502, Reason: "too many interim responses"}
	return false, c.in.err
}

func (c *ClientConn) readResponse(h *filter.Headers) (int, error) {
	// A body may be being written by another goroutine: out is its then.
	var out *output
	if c.unsent {
		out, c.unsent = &c.out, false
		if c.in.reused && c.in.sock == nil && len(c.out.pending) > 0 && !c.Idle() {
			return 0, ErrStale
		}
	}
	if err := c.in.wait(out); err != nil {
		return 0, err
	}
	block, err := c.in.headerBlock()
	if err != nil {
		return 0, err
	}
	m := &c.msg
	m.reset(c.in.limits)
	rest, status, e := m.statusLine(block, h)
	if e == nil {
		e = m.fields(rest, h)
	}
	if e == nil {
		e = m.framing()
	}
	if e == nil && status == 101 && (c.asked == "" || m.upgrade == "" || !m.wantsUpgrade) {
		e = &Error{Reason: "101 without a request to switch"}
	}
	if e != nil {
		e.Status = c.in.fault
		return 0, e
	}
	c.keep = m.keepsAlive()
	c.tunnel = status == 101 || c.connect && status/100 == 2
	switch {
	case c.head || status < 200 || status == 204 || status == 304 || c.tunnel:
	case m.chunked:
		c.in.begin(bodyChunked, 0)
	case m.length > 0:
		c.in.begin(bodyLength, m.length)
	case m.length < 0:
		c.keep = false
		c.in.begin(bodyUntilClose, 0)
	}
	return status, nil
}

// ReadData reads body into p; n may be 0. end says that no data follows,
// trailers may.
func (c *ClientConn) ReadData(p []byte) (n int, end bool, err error) { return c.in.readData(p) }

// ReadTrailers fills t with the trailer section, which is often empty. It is
// called after ReadData has returned end.
func (c *ClientConn) ReadTrailers(t *filter.Headers) error { return c.in.readTrailers(t) }

// Upgrade returns the protocol that a 101 response switched to, or "".
func (c *ClientConn) Upgrade() string {
	if !c.tunnel {
		return ""
	}
	return c.msg.upgrade
}

// Buffered returns the number of bytes that have been received and not read.
func (c *ClientConn) Buffered() int { return c.in.w - c.in.r }

// Reusable reports whether the connection can carry another exchange: both
// messages are complete, trailers included, neither side wants to close, and
// the server has sent nothing beyond its response.
func (c *ClientConn) Reusable() bool {
	return c.keep && !c.closing && !c.tunnel && c.out.done && c.out.err == nil &&
		c.in.complete() && c.in.err == nil && c.in.w == c.in.r
}

// Next ends the exchange: strings it gave out are no longer valid. It reports
// what Reusable does; the connection is to be closed if not.
func (c *ClientConn) Next() (reuse bool) {
	reuse = c.Reusable()
	c.in.next(reuse)
	c.in.reused = true
	c.out.next()
	c.head, c.connect, c.asked, c.closing, c.unsent, c.keep, c.tunnel = false, false, "", false, false, false, false
	c.msg.forget()
	return reuse
}

// Idle reports whether the server, between two exchanges, has neither closed
// nor sent anything, which no later exchange could tell from its response. It
// costs a system call. Where the connection cannot be asked it reports true.
func (c *ClientConn) Idle() bool {
	if c.in.r != c.in.w || c.probe != nil && !c.probe.silent() {
		return false
	}
	q, holds := c.in.conn.(interface{ Quiet() bool }) // TLS, which reads ahead
	return !holds || q.Quiet()
}

// Hijack hands over the connection, with the bytes that were received and not
// read. The ClientConn is of no more use; its last strings stay valid.
func (c *ClientConn) Hijack() (net.Conn, []byte) {
	c.hijacked.Store(true)
	c.out.abandon(errHijacked)
	return c.in.conn, c.in.abandon(errHijacked)
}

// Abort closes the connection, hijacked or not. It may be called while others
// read and write, who get an error.
func (c *ClientConn) Abort() {
	if under, ok := c.in.conn.(interface{ NetConn() net.Conn }); ok {
		under.NetConn().Close() // a goodbye could wait for a peer that does not read
		return
	}
	c.in.conn.Close()
}

// Close closes the connection, unless it was hijacked. It may be called while
// others read and write, who get an error. The last strings stay valid.
func (c *ClientConn) Close() error {
	if c.hijacked.Load() {
		return nil
	}
	return c.in.conn.Close()
}
