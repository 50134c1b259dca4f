package http2

import (
	"io"
	"net"
	"strings"
	"time"

	"golang.org/x/net/http2"
)

// The measure of a client that begins requests only to end them (rapid reset):
// more than maxSpoiled within a second of their begin and before any response,
// and more than half of all. Envoy's numbers.
const (
	maxSpoiled = 500
	spoiltLife = time.Second
)

// drainTime is how long a client may take to answer that it has seen GOAWAY.
const drainTime = time.Second

// How far a server has come in taking leave.
const (
	staying  = iota
	leaving  // the client knows; what it sent before it did is served
	settling // nothing more is taken
)

// serverState is what only server connections have; conn.mu guards it.
type serverState struct {
	begin           func(*Stream)
	opened, spoiled int
	leave           int
	since           int64 // of leaving, by the clock
	idleSince       int64 // by the clock; 0 while there are streams
}

// ServerConn is the server side of a downstream connection.
type ServerConn struct{ conn }

// NewServerConn returns the server side of nc, within l. received is what was
// read from nc already. begin is called for each request, when its headers are
// there, from Serve; it must not wait.
func NewServerConn(nc net.Conn, received []byte, l Limits, begin func(*Stream)) *ServerConn {
	c := &ServerConn{}
	c.server = true
	c.init(nc, received, l)
	c.server1.begin = begin
	c.server1.idleSince = c.clock.Load()
	c.out.settings(
		http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: uint32(c.limits.Streams)},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: streamWindow},
		http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: uint32(c.limits.HeaderBytes)},
	)
	c.out.windowUpdate(0, connWindow-defaultWindow)
	return c
}

// Serve reads until the connection ends, and closes it. Streams that are held then have
// an error.
func (c *ServerConn) Serve() error {
	var preface [len(Preface)]byte
	if _, err := io.ReadFull(c.br, preface[:]); err != nil || string(preface[:]) != Preface {
		c.kill(io.ErrUnexpectedEOF)
		return io.ErrUnexpectedEOF
	}
	c.mu.Lock()
	c.flush()
	c.mu.Unlock()
	return c.serve()
}

// Drain takes leave of the client: what it has sent by the time it hears of it is
// served, and the connection is closed when the last of that is done.
func (c *ServerConn) Drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drain()
}

func (c *conn) drain() {
	if c.server1.leave != staying || c.err != nil {
		return
	}
	c.server1.leave, c.server1.since = leaving, c.clock.Load()
	c.out.goAway(maxID, CodeNo)
	c.out.ping(leavePing, false)
	c.flush()
}

// leavePing is answered behind everything that was sent before GOAWAY was seen.
var leavePing = [8]byte{'l', 'e', 'a', 'v', 'i', 'n', 'g', 0}

// Kill closes the connection at once.
func (c *ServerConn) Kill() { c.kill(net.ErrClosed) }

// Tick looks after what waits: it drains a connection that has been without a
// request for longer than idle, and kills one that has not taken anything for longer
// than stalled. now is in nanoseconds; it is to come about once a second.
func (c *ServerConn) Tick(now int64, idle, stalled time.Duration) {
	c.clock.Store(now)
	c.mu.Lock()
	defer c.mu.Unlock()
	st := &c.server1
	switch {
	case c.err != nil:
	case c.stuck(now, stalled):
		c.fail(net.ErrClosed)
		c.nc.Close()
	case st.leave == leaving && now-st.since > int64(drainTime):
		c.lastCall()
	case st.leave == staying && st.idleSince != 0 && now-st.idleSince > int64(idle):
		c.drain()
	}
}

// lastCall takes no more streams; c.mu is held.
func (c *conn) lastCall() {
	if c.server1.leave != leaving {
		return
	}
	c.server1.leave = settling
	c.out.goAway(c.lastID, CodeNo)
	c.closing = c.active == 0
	c.flush()
}

// freed notes that a place for a stream is free; c.mu is held.
func (c *conn) freed() {
	if !c.server {
		c.freedClient()
		return
	}
	if c.active > 0 {
		return
	}
	c.server1.idleSince = c.clock.Load()
	if c.server1.leave == settling {
		c.closing = true
	}
}

// onRequest says what the block is that begins on id.
func (c *conn) onRequest(id uint32) {
	b := &c.block
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.streams[id] != nil {
		b.kind = blockTrailers
		return
	}
	switch {
	case id%2 == 0:
		b.kind = blockBad
	case id <= c.lastID: // it has ended here, and the client does not know yet
		b.kind = blockDropped
	case c.server1.leave == settling:
		b.kind = blockDropped
		c.lastID = id
	case c.active >= c.limits.Streams:
		b.kind = blockRefused
		c.lastID = id
	default:
		b.kind = blockRequest
		c.lastID = id
	}
}

func (c *conn) finishRequest(b *block) error {
	reason := b.request()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.server1.opened++
	if reason != "" && !b.over {
		c.out.reset(b.id, CodeProtocol)
		if c.answer() {
			return errFlood
		}
		return c.spoil()
	}
	s := c.newStream()
	c.server1.idleSince = 0
	c.open(s, b.id)
	s.expect = !b.end && strings.EqualFold(b.expect, "100-continue")
	s.mu.Lock()
	s.head = b.method == "HEAD"
	s.refused = b.refusal()
	s.headers, b.h = b.h, s.headers
	s.left, s.begun, s.ended = b.length, true, b.end
	s.mu.Unlock()
	c.begun = append(c.begun, ticket{s, b.id})
	return nil
}

// begin hands out the requests that have come.
func (c *conn) begin() {
	for i, t := range c.begun {
		c.begun[i] = ticket{}
		c.mu.Lock()
		gone := c.streams[t.id] != t.s
		c.mu.Unlock()
		if gone { // reset by now
			t.s.end(CodeNo)
		} else {
			c.server1.begin(t.s)
		}
	}
	c.begun = c.begun[:0]
}

// spoiled counts a stream that the client has ended, and returns an error where
// it is one too many. c.mu is held.
func (c *conn) spoiled(s *Stream) error {
	if !c.server || s.started || c.clock.Load()-s.born > int64(spoiltLife) {
		return nil
	}
	return c.spoil()
}

func (c *conn) spoil() error {
	st := &c.server1
	if st.spoiled++; st.spoiled > maxSpoiled && 2*st.spoiled > st.opened {
		return &Error{Code: http2.ErrCodeEnhanceYourCalm, Reason: "most requests are reset at once"}
	}
	return nil
}

// onPong handles the answer to a PING; c.mu is held.
func (c *conn) onPong(data [8]byte) {
	if c.server && data == leavePing {
		c.lastCall()
	}
	c.client1.asked = 0
}
