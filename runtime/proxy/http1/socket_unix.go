//go:build unix

package http1

import (
	"io"
	"net"
	"os"
	"syscall"
)

// socket reads from a connection of the operating system without holding a
// buffer while it waits.
type socket struct {
	raw   syscall.RawConn
	ready func(fd uintptr) bool // s.step, bound once
	ask   func(fd uintptr) bool // s.peek, bound once

	send []byte  // to be sent before the wait
	buf  *buffer // what was read
	n    int
	err  error
}

// newSocket returns nil where c is not a stream of the operating system.
func newSocket(c net.Conn) *socket {
	var raw syscall.RawConn
	var err error
	switch c := c.(type) {
	case *net.TCPConn:
		raw, err = c.SyscallConn()
	case *net.UnixConn:
		raw, err = c.SyscallConn()
	default:
		return nil
	}
	if err != nil {
		return nil
	}
	s := &socket{raw: raw}
	s.ready, s.ask = s.step, s.peek
	return s
}

// read sends what is in send and then waits for bytes, within the connection's
// read deadline. unsent is what did not fit into the socket; nothing was read
// then. A buffer with n > 0 bytes is returned if err is nil and nothing is unsent.
func (s *socket) read(send []byte) (b *buffer, n int, unsent []byte, err error) {
	s.send = send
	err = s.raw.Read(s.ready)
	b, n, unsent = s.buf, s.n, s.send
	if err == nil {
		err = s.err
	}
	s.send, s.buf, s.n, s.err = nil, nil, 0, nil
	return b, n, unsent, err
}

// step is called at first, and then each time the socket has become readable.
//
// A first call that sends does not try to read. The answer cannot have come
// before the poller was armed, which RawConn.Read did before this call, so it
// is safe to wait, and a read that would only find nothing is saved. Where
// nothing is sent it would not be safe: the poller is edge-triggered.
func (s *socket) step(fd uintptr) bool {
	if len(s.send) > 0 {
		n, err := retry(func() (int, error) { return syscall.Write(int(fd), s.send) })
		if err == syscall.EAGAIN {
			return true
		}
		if err != nil {
			s.err = os.NewSyscallError("write", err)
			return true
		}
		s.send = s.send[n:]
		return len(s.send) > 0
	}
	b := take(large)
	n, err := retry(func() (int, error) { return syscall.Read(int(fd), b.b) })
	switch {
	case err == syscall.EAGAIN:
		b.release()
		return false
	case err != nil:
		b.release()
		s.err = os.NewSyscallError("read", err)
	case n == 0:
		b.release()
		s.err = io.EOF
	default:
		s.buf, s.n = b.fit(n), n
	}
	return true
}

// silent reports whether the peer has neither closed nor sent anything.
func (s *socket) silent() bool {
	err := s.raw.Read(s.ask)
	quiet := err == nil && s.err == syscall.EAGAIN
	s.err = nil
	return quiet
}

func (s *socket) peek(fd uintptr) bool {
	var one [1]byte
	_, s.err = retry(func() (int, error) {
		n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK)
		return n, err
	})
	return true
}

// retry repeats a call that a signal interrupted.
func retry(f func() (int, error)) (int, error) {
	for {
		if n, err := f(); err != syscall.EINTR {
			return n, err
		}
	}
}
