package http2

import (
	"crypto/tls"
	"net"
	"time"

	"golang.org/x/net/http2"
)

// When a server is asked whether it is still there: after so long without a frame
// while streams wait, and how long it has to answer.
const (
	askAfter   = 15 * time.Second
	answerTime = 10 * time.Second
)

var errSilent = &Error{Code: CodeNo, Reason: "the server does not answer a PING"}

// clientState is what only client connections have; conn.mu guards it.
type clientState struct {
	scheme    string
	leaving   bool  // no more streams are opened
	left      bool  // by the server, which looks at no more of them
	quiet     int64 // nothing was heard since, by the clock
	asked     int64 // when a PING was sent that is not answered, by the clock
	idleSince int64 // by the clock; 0 while there are streams
	answered  bool  // the server has said something
}

// ClientConn is the client side of an upstream connection.
type ClientConn struct{ conn }

// NewClientConn returns the client side of nc, within l; Limits.Streams means
// nothing. What it says first leaves with the first request.
func NewClientConn(nc net.Conn, l Limits) *ClientConn {
	c := &ClientConn{}
	c.init(nc, nil, l)
	c.client1.scheme = "http"
	if _, ok := nc.(interface{ ConnectionState() tls.ConnectionState }); ok {
		c.client1.scheme = "https"
	}
	c.client1.quiet, c.client1.idleSince = c.clock.Load(), c.clock.Load()
	c.out.pending = outBuffers.Get().(*outBuffer)
	c.out.pending.b = append(c.out.pending.b, Preface...)
	c.out.settings(
		http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: streamWindow},
		http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: uint32(c.limits.HeaderBytes)},
	)
	c.out.windowUpdate(0, connWindow-defaultWindow)
	return c
}

// Serve reads until the connection ends, and closes it.
func (c *ClientConn) Serve() error { return c.serve() }

// Open returns a stream for a request, or nil where there is no room for one
// more, or none is begun any more. reused says that the server has spoken on this
// connection before.
func (c *ClientConn) Open() (s *Stream, reused bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.client1.leaving || c.err != nil || c.active >= int(c.peerStreams) || c.lastID > maxID-1024 {
		return nil, false
	}
	c.client1.idleSince = 0
	return c.newStream(), c.client1.answered
}

// start puts s on the wire; c.mu is held.
func (c *conn) start(s *Stream) error {
	if c.client1.left || c.lastID > maxID-2 {
		return errNoMore
	}
	id := c.lastID + 2
	if c.lastID == 0 {
		id = 1
	}
	s.sendWindow = c.peerWindow // it may have changed
	c.open(s, id)
	return nil
}

// Drain opens no more streams, and closes the connection after the last; those that
// are held may yet begin.
func (c *ClientConn) Drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leave()
	c.flush()
}

// Kill closes the connection at once.
func (c *ClientConn) Kill() { c.kill(net.ErrClosed) }

// leave opens no more streams; c.mu is held.
func (c *conn) leave() {
	c.client1.leaving = true
	if c.active == 0 && c.err == nil && !c.closing {
		c.out.goAway(0, CodeNo)
		c.closing = true
	}
}

// Tick drains a connection that has been without a stream for longer than idle,
// and gives up one whose server has not taken anything for longer than stalled, or does not answer. now is
// in nanoseconds; it is to come about once a second.
func (c *ClientConn) Tick(now int64, idle, stalled time.Duration) {
	c.clock.Store(now)
	c.mu.Lock()
	defer c.mu.Unlock()
	st := &c.client1
	if c.heard.Swap(false) {
		st.quiet, st.asked = now, 0
	}
	switch {
	case c.err != nil:
	case c.stuck(now, stalled):
		c.fail(net.ErrClosed)
		c.nc.Close()
	case st.asked != 0 && now-st.asked > int64(answerTime):
		c.fail(errSilent)
		c.nc.Close()
	case st.asked == 0 && len(c.streams) > 0 && now-st.quiet > int64(askAfter):
		st.asked = now
		c.out.ping([8]byte{}, false)
		c.flush()
	case st.idleSince != 0 && now-st.idleSince > int64(idle):
		c.leave()
		c.flush()
	}
}

// freedClient is freed of a client connection.
func (c *conn) freedClient() {
	if c.active > 0 {
		return
	}
	c.client1.idleSince = c.clock.Load()
	if c.client1.leaving {
		c.leave()
	}
}

// onResponse says what the block is that begins on id.
func (c *conn) onResponse(id uint32) error {
	b := &c.block
	c.mu.Lock()
	defer c.mu.Unlock()
	c.client1.answered = true
	s := c.streams[id]
	switch {
	case s == nil && c.idle(id):
		return &Error{Code: CodeProtocol, Reason: "HEADERS on an idle stream"}
	case s == nil:
		b.kind = blockDropped
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b.kind = blockResponse
	if s.begun {
		b.kind = blockTrailers
	}
	return nil
}

// onGoAway begins no more streams, and ends those that the server will not look at.
func (c *conn) onGoAway(f *http2.GoAwayFrame) {
	if c.server {
		return // the client opens no more, and closes when it likes
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, s := range c.streams {
		if id > f.LastStreamID {
			c.drop(s, &Error{Code: f.ErrCode, Remote: true, Unprocessed: true, Reason: "the server goes away"})
		}
	}
	c.client1.left = true
	c.leave()
}
