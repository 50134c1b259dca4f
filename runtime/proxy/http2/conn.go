package http2

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
)

// conn is what both sides of a connection have in common.
//
// Locks: mu, then that of a stream. The reader, which is whoever is in serve,
// holds none of them while it waits.
type conn struct {
	nc     net.Conn
	server bool
	limits Limits
	clock  atomic.Int64 // nanoseconds, as of the last tick

	// Of the reader.
	br      *bufio.Reader
	fr      *http2.Framer
	block   block
	touched []*Stream // have got something since they were last told
	begun   []ticket  // requests that nobody has been told of
	heard   atomic.Bool

	recvWindow atomic.Int64 // what the peer may send on the connection

	mu         sync.Mutex
	streams    map[uint32]*Stream
	active     int    // streams that somebody holds or will hold
	lastID     uint32 // highest ID of a stream that has begun
	err        error  // why the connection is of no more use
	closing    bool   // closed once all is sent
	out        output
	enc        encoder
	lost       []loss
	sendWindow int64
	owed       int64 // bytes that were taken in and the peer has not been told of
	// What the peer has set.
	peerWindow  int64
	peerStreams uint32

	server1 serverState
	client1 clientState
}

// ticket is a stream as it was when it began.
type ticket struct {
	s  *Stream
	id uint32
}

// loss is a stream that was dropped, for its owner.
type loss struct {
	owner  Owner
	number uint64
	err    error
}

func (c *conn) init(nc net.Conn, received []byte, l Limits) {
	c.nc, c.limits = nc, l.withDefaults()
	var r io.Reader = nc
	if len(received) > 0 {
		r = &joined{received, nc}
	}
	c.br = bufio.NewReaderSize(r, maxFrame)
	c.fr = http2.NewFramer(nil, c.br)
	c.fr.SetReuseFrames()
	c.fr.SetMaxReadFrameSize(maxFrame)
	c.block.init(c)
	c.enc.init()
	c.out.try = newTrier(nc)
	c.streams = map[uint32]*Stream{}
	c.sendWindow, c.peerWindow = defaultWindow, defaultWindow
	c.peerStreams = 100 // until it says
	c.recvWindow.Store(connWindow)
	c.clock.Store(time.Now().UnixNano())
}

// joined reads what was received before, and then the connection.
type joined struct {
	first []byte
	nc    net.Conn
}

func (j *joined) Read(p []byte) (int, error) {
	if len(j.first) == 0 {
		return j.nc.Read(p)
	}
	n := copy(p, j.first)
	j.first = j.first[n:]
	return n, nil
}

// lingerTime bounds the wait for a peer to close after us, and lingerBytes what
// it may send meanwhile: a reset would take from it what it has not read yet.
const (
	lingerTime  = time.Second
	lingerBytes = 256 << 10
)

// past is a deadline that has always gone by.
var past = time.Unix(1, 0)

// serve reads until the connection ends, and ends all streams by that.
func (c *conn) serve() error {
	err := c.read()
	if err == io.EOF { // to the streams it is no end
		err = io.ErrUnexpectedEOF
	}
	var e *Error
	c.mu.Lock()
	if errors.As(err, &e) && c.err == nil {
		c.out.goAway(c.lastPeerID(), e.Code)
		c.closing = true
		c.flush()
	}
	c.fail(err)
	c.mu.Unlock()
	c.begin()
	c.report()
	if e != nil {
		c.nc.SetReadDeadline(time.Now().Add(lingerTime))
		io.CopyN(io.Discard, c.nc, lingerBytes)
	}
	c.nc.Close()
	c.out.late.Wait()
	return err
}

// lastPeerID is the last of the peer's streams, for GOAWAY. c.mu is held.
func (c *conn) lastPeerID() uint32 {
	if c.server {
		return c.lastID
	}
	return 0
}

// settle closes our side once all is sent, where that is wanted; c.mu is held.
func (c *conn) settle() {
	if !c.closing || c.out.writing || c.out.pending != nil || c.err != nil {
		return
	}
	c.closing = false
	if !c.server {
		c.nc.Close() // there is nothing that the server would have to read yet
		return
	}
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		c.nc.Close()
		return
	}
	c.nc.SetReadDeadline(time.Now().Add(lingerTime))
}

// fail ends all streams and what waits; c.mu is held.
func (c *conn) fail(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	c.nc.SetReadDeadline(past) // wakes the reader
	for _, s := range c.streams {
		c.drop(s, err)
	}
	c.wake()
}

// drop takes s off the wire with err; whoever holds it learns of that. c.mu is held.
func (c *conn) drop(s *Stream, err error) {
	delete(c.streams, s.id)
	if s.sendErr == nil {
		s.sendErr = err
	}
	s.sendable.Signal()
	s.mu.Lock()
	if !s.ended && s.recvErr == nil {
		s.recvErr = err
	}
	s.arrived.Signal()
	if s.owner != nil {
		c.lost = append(c.lost, loss{s.owner, s.number, err})
	}
	s.mu.Unlock()
}

// report tells the owners of streams that were dropped. It is the reader that
// does, for an owner may want to use the connection.
func (c *conn) report() {
	c.mu.Lock()
	lost := c.lost
	c.lost = nil
	c.mu.Unlock()
	for _, l := range lost {
		l.owner.StreamReset(l.number, l.err)
	}
}

// read handles frames until the connection ends. An *Error is what the peer did
// wrong.
func (c *conn) read() error {
	for first := true; ; first = false {
		f, err := c.fr.ReadFrame()
		var se http2.StreamError
		var ce http2.ConnectionError
		switch {
		case err == nil:
			if first && f.Header().Type != http2.FrameSettings {
				return &Error{Code: CodeProtocol, Reason: "the first frame is not SETTINGS"}
			}
			err = c.handle(f)
		case errors.As(err, &se):
			err = c.resetByID(se.StreamID, se.Code, "malformed frame")
		case errors.As(err, &ce):
			err = &Error{Code: ErrCode(ce), Reason: "malformed frame"}
		case errors.Is(err, http2.ErrFrameTooLarge):
			err = &Error{Code: http2.ErrCodeFrameSize, Reason: "frame over the limit"}
		}
		if err != nil {
			return err
		}
		c.heard.Store(true)
		if !c.more() {
			c.tell()
		}
	}
}

// more reports whether another whole frame is here.
func (c *conn) more() bool {
	if c.br.Buffered() < frameHeader {
		return false
	}
	b, _ := c.br.Peek(3)
	return c.br.Buffered() >= frameHeader+(int(b[0])<<16|int(b[1])<<8|int(b[2]))
}

// tell lets know whoever has got something, and sends what the reader has to say.
func (c *conn) tell() {
	for i, s := range c.touched {
		s.arrived.Signal()
		c.touched[i] = nil
	}
	c.touched = c.touched[:0]
	c.begin()
	c.report()
	c.mu.Lock()
	c.flush()
	c.mu.Unlock()
}

func (c *conn) handle(f http2.Frame) error {
	switch f := f.(type) {
	case *http2.DataFrame:
		return c.onData(f)
	case *http2.HeadersFrame:
		return c.onHeaders(f)
	case *http2.ContinuationFrame:
		return c.block.more(f.HeaderBlockFragment(), f.HeadersEnded())
	case *http2.RSTStreamFrame:
		return c.onReset(f)
	case *http2.WindowUpdateFrame:
		return c.onWindowUpdate(f)
	case *http2.SettingsFrame:
		return c.onSettings(f)
	case *http2.PingFrame:
		return c.onPing(f)
	case *http2.GoAwayFrame:
		c.onGoAway(f)
	case *http2.PushPromiseFrame:
		return &Error{Code: CodeProtocol, Reason: "PUSH_PROMISE"}
	}
	return nil // PRIORITY, and types that are not known (RFC 9113, 4.1)
}

// idle reports whether the stream has not begun. c.mu is held.
func (c *conn) idle(id uint32) bool { return id > c.lastID || id%2 == 0 }

var errFlood = &Error{Code: http2.ErrCodeEnhanceYourCalm, Reason: "the peer does not take the answers to its frames"}

func (c *conn) onData(f *http2.DataFrame) error {
	data, size := f.Data(), int(f.Length) // with padding
	if c.recvWindow.Add(-int64(size)) < 0 {
		return &Error{Code: http2.ErrCodeFlowControl, Reason: "DATA beyond the connection's window"}
	}
	c.mu.Lock()
	s := c.streams[f.StreamID]
	idle := c.idle(f.StreamID)
	c.mu.Unlock()
	switch {
	case s == nil && idle:
		return &Error{Code: CodeProtocol, Reason: "DATA on an idle stream"}
	case s == nil:
		c.consumed(size)
		return nil
	}
	code, taken := s.take(f.StreamID, data, size, f.StreamEnded())
	if !c.server {
		taken = 0 // one stream's reader must not hold up the others
	}
	c.consumed(size - taken)
	if code != CodeNo {
		return c.resetByID(f.StreamID, code, "DATA where none may be")
	}
	c.touched = append(c.touched, s)
	return nil
}

// consumed gives the peer n bytes more of the connection's window, when they
// have come to something. It is for the reader, which sends later.
func (c *conn) consumed(n int) {
	if n == 0 {
		return
	}
	c.mu.Lock()
	c.credit(int64(n))
	c.mu.Unlock()
}

// credit is consumed with c.mu held.
func (c *conn) credit(n int64) {
	if c.owed += n; c.owed >= connWindow/2 && c.err == nil {
		c.out.windowUpdate(0, int(c.owed))
		c.recvWindow.Add(c.owed)
		c.owed = 0
	}
}

// resetByID resets a stream for what the peer did on it. It counts as if the
// peer had done so itself: it must not get work begun and ended for nothing.
func (c *conn) resetByID(id uint32, code ErrCode, reason string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[id]
	if s == nil {
		if c.idle(id) {
			return &Error{Code: CodeProtocol, Reason: reason}
		}
		return nil
	}
	c.out.reset(id, code)
	if c.answer() {
		return errFlood
	}
	spoiled := c.spoiled(s)
	c.drop(s, &Error{Code: code, Reason: reason})
	return spoiled
}

func (c *conn) onReset(f *http2.RSTStreamFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[f.StreamID]
	if s == nil {
		if c.idle(f.StreamID) {
			return &Error{Code: CodeProtocol, Reason: "RST_STREAM on an idle stream"}
		}
		return nil
	}
	spoiled := c.spoiled(s)
	c.drop(s, &Error{Code: f.ErrCode, Remote: true, Unprocessed: f.ErrCode == CodeRefusedStream})
	return spoiled
}

func (c *conn) onWindowUpdate(f *http2.WindowUpdateFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.StreamID == 0 {
		if c.sendWindow += int64(f.Increment); c.sendWindow > maxWindow {
			return &Error{Code: http2.ErrCodeFlowControl, Reason: "window over 2^31-1"}
		}
		c.wake()
		return nil
	}
	s := c.streams[f.StreamID]
	if s == nil {
		if c.idle(f.StreamID) {
			return &Error{Code: CodeProtocol, Reason: "WINDOW_UPDATE on an idle stream"}
		}
		return nil
	}
	if s.sendWindow += int64(f.Increment); s.sendWindow > maxWindow {
		c.out.reset(f.StreamID, http2.ErrCodeFlowControl)
		spoiled := c.spoiled(s)
		c.drop(s, &Error{Code: http2.ErrCodeFlowControl, Reason: "window over 2^31-1"})
		return spoiled
	}
	s.sendable.Signal()
	return nil
}

func (c *conn) onSettings(f *http2.SettingsFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.IsAck() {
		return nil
	}
	err := f.ForeachSetting(func(s http2.Setting) error {
		if err := s.Valid(); err != nil {
			var ce http2.ConnectionError
			errors.As(err, &ce)
			return &Error{Code: ErrCode(ce), Reason: "malformed setting"}
		}
		switch s.ID {
		case http2.SettingHeaderTableSize:
			c.enc.resize(s.Val)
		case http2.SettingMaxConcurrentStreams:
			c.peerStreams = s.Val
		case http2.SettingInitialWindowSize:
			change := int64(s.Val) - c.peerWindow
			c.peerWindow = int64(s.Val)
			for _, st := range c.streams {
				if st.sendWindow += change; st.sendWindow > maxWindow {
					return &Error{Code: http2.ErrCodeFlowControl, Reason: "window over 2^31-1"}
				}
				st.sendable.Signal()
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.out.frame(0, http2.FrameSettings, http2.FlagSettingsAck, 0)
	if c.answer() {
		return errFlood
	}
	return nil
}

func (c *conn) onPing(f *http2.PingFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.IsAck() {
		c.onPong(f.Data)
		return nil
	}
	c.out.ping(f.Data, true)
	if c.answer() {
		return errFlood
	}
	return nil
}

func (c *conn) onHeaders(f *http2.HeadersFrame) error {
	if f.HasPriority() && f.Priority.StreamDep == f.StreamID {
		return &Error{Code: CodeProtocol, Reason: "a stream that depends on itself"}
	}
	if c.server {
		c.onRequest(f.StreamID)
	} else if err := c.onResponse(f.StreamID); err != nil {
		return err
	}
	b := &c.block
	b.id, b.end = f.StreamID, f.StreamEnded()
	if b.kind == blockBad {
		return &Error{Code: CodeProtocol, Reason: "HEADERS where none may be"}
	}
	return b.more(f.HeaderBlockFragment(), f.HeadersEnded())
}

// kill closes the connection under everything.
func (c *conn) kill(err error) {
	c.mu.Lock()
	c.fail(err)
	c.mu.Unlock()
	c.nc.Close()
}

// stuck reports whether the peer has taken nothing for longer than limit. c.mu is held.
func (c *conn) stuck(now int64, limit time.Duration) bool {
	return c.out.since != 0 && now-c.out.since > int64(limit)
}
