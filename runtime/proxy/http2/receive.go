package http2

import (
	"errors"

	"golang.org/x/net/http2"
)

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

var (
	errFlood  = &Error{Code: http2.ErrCodeEnhanceYourCalm, Reason: "the peer does not take the answers to its frames"}
	errWindow = &Error{Code: http2.ErrCodeFlowControl, Reason: "window over 2^31-1"}
)

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

func (c *conn) onData(f *http2.DataFrame) error {
	data, size := f.Data(), int(f.Length) // with padding
	if c.recvWindow.Add(-int64(size)) < 0 {
		return &Error{Code: http2.ErrCodeFlowControl, Reason: "DATA beyond the connection's window"}
	}
	s := c.lock(f.StreamID)
	if s == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.idle(f.StreamID) {
			return &Error{Code: CodeProtocol, Reason: "DATA on an idle stream"}
		}
		c.credit(int64(size))
		return nil
	}
	code, taken := s.take(data, size, f.StreamEnded())
	s.mu.Unlock()
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
			return errWindow
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
		c.drop(s, errWindow)
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
					return errWindow
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
