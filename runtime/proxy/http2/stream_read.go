package http2

import (
	"os"

	"golang.org/x/net/http2"

	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/proxy/http1"
)

// take keeps data of a DATA frame of size bytes with its padding, and returns
// how much of them counts until it is read; with a code, none, and the stream is
// to be reset. s.mu is held.
func (s *Stream) take(data []byte, size int, end bool) (code ErrCode, taken int) {
	switch {
	case s.ended:
		return http2.ErrCodeStreamClosed, 0
	case !s.begun:
		return CodeProtocol, 0
	case size > s.window:
		return http2.ErrCodeFlowControl, 0
	}
	s.total += int64(len(data))
	if s.left >= 0 {
		if s.left -= int64(len(data)); s.left < 0 || end && s.left > 0 {
			return CodeProtocol, 0
		}
	}
	s.window -= size
	s.owed += size - len(data)
	s.ended, s.apart = end, end && len(data) == 0
	if limit := s.c.limits.BodyBytes; limit > 0 && s.total > limit {
		s.recvErr = &http1.Error{Status: 413, Reason: "body over the limit"}
		s.owed += len(data)
		return CodeNo, 0
	}
	if s.r > 0 && len(s.buf)+len(data) > cap(s.buf) {
		s.buf, s.r = s.buf[:copy(s.buf, s.buf[s.r:])], 0
	}
	s.buf = append(s.buf, data...)
	return CodeNo, len(data)
}

// ReadHeaders waits for the header section that s reads and fills h with it; end
// says that there is no body. The error is an *http1.Error for a request that
// is over the limits and can be answered, an *Error for a stream that was
// reset, and else what the connection reported.
func (s *Stream) ReadHeaders(h *filter.Headers) (end bool, err error) {
	h.Reset()
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case len(s.interim) > 0:
			next := s.interim[0]
			s.interim = s.interim[1:]
			if f := s.Informational; f != nil {
				s.mu.Unlock()
				f(&next)
				s.mu.Lock()
			}
			continue
		case s.refused != nil:
			return false, s.refused
		case s.begun:
			*h, s.headers = s.headers, *h
			return s.ended && s.r == len(s.buf) && s.trailers.Len() == 0, nil
		case s.recvErr != nil:
			return false, s.recvErr
		case s.interrupted:
			return false, os.ErrDeadlineExceeded
		}
		s.arrived.Wait()
	}
}

// ReadData reads body into p; n may be 0. end says that no data follows,
// trailers may; it comes with the last data where the peer has sent it so. Where the client waits for a 100 Continue, the first call
// sends it. What came before a reset is read yet.
func (s *Stream) ReadData(p []byte) (n int, end bool, err error) {
	if s.expect {
		s.expect = false
		if err := s.sendContinue(); err != nil {
			return 0, false, err
		}
	}
	s.mu.Lock()
	for s.r == len(s.buf) && !s.ended && s.recvErr == nil && !s.interrupted {
		s.arrived.Wait()
	}
	update := 0
	switch {
	case s.interrupted:
		err = os.ErrDeadlineExceeded
	case s.r < len(s.buf):
		n = copy(p, s.buf[s.r:])
		if s.r += n; s.r == len(s.buf) {
			s.r, s.buf = 0, s.buf[:0]
			end = s.ended && !s.apart
		}
		if s.owed += n; s.owed >= streamWindow/2 && !s.ended {
			update = s.owed
			s.window += update
			s.owed = 0
		}
	case s.recvErr != nil:
		err = s.recvErr
	default:
		end = true
	}
	id := s.id
	s.mu.Unlock()
	if n > 0 {
		s.consumed(id, n, update)
	}
	return n, end, err
}

// consumed tells the peer, when it is time, that n bytes of s were read. update
// is what the stream's window grows by.
func (s *Stream) consumed(id uint32, n, update int) {
	c := s.c
	if !c.server && update == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if update > 0 && c.streams[id] == s && c.err == nil {
		c.out.windowUpdate(id, update)
	}
	if c.server {
		c.credit(int64(n))
	}
	c.flush()
}

// ReadTrailers fills t with the trailer section, which is often empty. It is
// called after ReadData has returned end.
func (s *Stream) ReadTrailers(t *filter.Headers) error {
	t.Reset()
	s.mu.Lock()
	defer s.mu.Unlock()
	*t, s.trailers = s.trailers, *t
	return nil
}

// Buffered returns the number of bytes of body that have been received and not
// read.
func (s *Stream) Buffered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.buf) - s.r
}

// Whole returns the size of a body that is here to its end, without trailers,
// and else 0.
func (s *Stream) Whole() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended || s.trailers.Len() > 0 {
		return 0
	}
	return len(s.buf) - s.r
}
