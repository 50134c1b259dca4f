package http2

import (
	"errors"

	"github.com/meshc/meshc/runtime/filter"
)

var errNoMore = &Error{Code: CodeRefusedStream, Unprocessed: true, Reason: "the connection takes no more requests"}

var (
	errTwice    = errors.New("http2: headers written twice")
	errNotBegun = errors.New("http2: body written before the headers")
	errEnded    = errors.New("http2: written after the end of the message")
	errTooLong  = errors.New("http2: body longer than its content-length")
	errTooShort = errors.New("http2: body shorter than its content-length")
)

// WriteHeaders begins the message that s writes; end says that there is no body.
// Without end, nothing need be sent before WriteData or Flush. An error that is
// neither an *Error nor of the connection says why h cannot be sent; nothing
// has been written then.
func (s *Stream) WriteHeaders(h *filter.Headers, end bool) error {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case s.sendErr != nil:
		return s.sendErr
	case c.err != nil && s.id == 0:
		return errNoMore
	case c.err != nil:
		return c.err
	case s.started:
		return errTwice
	}
	m, err := check(h, c.server)
	if err != nil {
		return err
	}
	length := m.length
	switch {
	case c.server && m.status < 200:
		return errUpgrade
	case c.server && (s.head || m.status == 204 || m.status == 304):
		length = -1
	}
	if end && length > 0 {
		return errTooShort
	}
	if !c.server && s.id == 0 {
		// From here on nothing fails: the server would take the reset of a stream that
		// it has not heard of for the end of the connection.
		if err := c.start(s); err != nil {
			return err
		}
	}
	s.toSend = length
	if m.head {
		s.mu.Lock()
		s.head = true
		s.mu.Unlock()
	}
	s.started, s.sent = true, end
	c.out.headers(s.id, c.enc.encode(h, c.server, s.scheme()), end)
	if end {
		c.flush()
	}
	return nil
}

// WriteInformational sends an interim response at once. It does nothing for a
// 100 that nobody waits for, and once the response has begun.
func (s *Stream) WriteInformational(h *filter.Headers) error {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	m, err := check(h, true)
	switch {
	case err != nil:
		return err
	case m.status >= 200 || m.status == 101:
		return errors.New("http2: not an interim status")
	case s.sendErr != nil:
		return s.sendErr
	case s.started || m.status == 100 || c.err != nil:
		return nil
	}
	c.out.headers(s.id, c.enc.encode(h, true, ""), false)
	c.flush()
	return nil
}

// sendContinue sends a 100.
func (s *Stream) sendContinue() error {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.started || s.sendErr != nil || c.err != nil {
		return s.sendErr
	}
	var h filter.Headers
	h.Add(":status", "100")
	c.out.headers(s.id, c.enc.encode(&h, true, ""), false)
	c.flush()
	return nil
}

// WriteData sends p, together with headers not yet sent; end says that the
// message ends with it, without trailers. It waits while the peer gives no window. An
// error that is neither an *Error nor of the connection says that p does not
// fit the content-length.
func (s *Stream) WriteData(p []byte, end bool) error {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case s.sendErr != nil:
		return s.sendErr
	case !s.started:
		return errNotBegun
	case s.sent && (len(p) > 0 && !s.bodiless() || !end):
		return errEnded
	case s.sent:
		return nil
	}
	if s.bodiless() {
		p = nil
	}
	if s.toSend >= 0 {
		if s.toSend -= int64(len(p)); s.toSend < 0 {
			return errTooLong
		}
		if end && s.toSend > 0 {
			return errTooShort
		}
	}
	for len(p) > 0 {
		if err := s.writable(); err != nil {
			return err
		}
		n := int(min(int64(len(p)), int64(maxFrame), s.sendWindow, c.sendWindow))
		if n <= 0 || c.out.size() >= maxPending {
			s.wait(n)
			continue
		}
		s.sendWindow -= int64(n)
		c.sendWindow -= int64(n)
		s.sent = end && n == len(p)
		c.out.data(s.id, p[:n], s.sent)
		p = p[n:]
	}
	if end && !s.sent {
		if err := s.writable(); err != nil {
			return err
		}
		s.sent = true
		c.out.data(s.id, nil, true)
	}
	c.flush()
	return nil
}

// bodiless reports whether a body is dropped: that of an answer to HEAD.
func (s *Stream) bodiless() bool { return s.c.server && s.head }

// writable returns why nothing more can be written; c.mu is held.
func (s *Stream) writable() error {
	if s.sendErr != nil {
		return s.sendErr
	}
	return s.c.err
}

// wait sends what there is and, where that changes nothing, waits for a window
// or for room. c.mu is held; n is what the windows allow.
func (s *Stream) wait(n int) {
	c := s.c
	if c.out.pending != nil && !c.out.writing {
		c.flush()
		return // the lock was not held meanwhile
	}
	if (n > 0 || c.sendWindow <= 0) && !s.blocked {
		s.blocked = true
		c.out.blocked = append(c.out.blocked, s)
	}
	s.sendable.Wait()
}

// WriteTrailers ends the message with t.
func (s *Stream) WriteTrailers(t *filter.Headers) error {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := s.writable(); err != nil {
		return err
	}
	switch {
	case !s.started:
		return errNotBegun
	case s.sent:
		return nil
	case s.toSend > 0:
		return errTooShort
	}
	if err := checkTrailers(t); err != nil {
		return err
	}
	s.sent = true
	if block := c.enc.trailers(t); len(block) > 0 {
		c.out.headers(s.id, block, true)
	} else {
		c.out.data(s.id, nil, true)
	}
	c.flush()
	return nil
}

// Flush sends what has been written and not sent. Whether the stream goes on,
// reading tells.
func (s *Stream) Flush() error {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flush()
	return nil
}

// scheme is the one of a request that does not say.
func (s *Stream) scheme() string {
	if s.c.server {
		return ""
	}
	return s.c.client1.scheme
}
