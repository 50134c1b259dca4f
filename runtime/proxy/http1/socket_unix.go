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

	send  []byte  // to be sent before the wait
	quiet bool    // and only if the peer has kept quiet
	buf   *buffer // what was read
	n     int
	err   error
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
// With quiet, nothing is sent to a peer that has closed or has sent something,
// and the error is ErrStale.
func (s *socket) read(send []byte, quiet bool) (b *buffer, n int, unsent []byte, err error) {
	s.send, s.quiet = send, quiet
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
// A first call that sends looks whether the peer has closed or sent something
// before the poller was armed, which RawConn.Read did before this call: the
// poller is edge-triggered and has forgotten that. If not, the answer is yet to
// come, and the read that would only find nothing is saved.
func (s *socket) step(fd uintptr) bool {
	if len(s.send) > 0 {
		silent := look(fd) == syscall.EAGAIN
		if s.quiet && !silent {
			s.err = ErrStale
			return true
		}
		n, err := retry(func() (int, error) { return syscall.Write(int(fd), s.send) })
		if err == syscall.EAGAIN {
			return true
		}
		if err != nil {
			s.err = os.NewSyscallError("write", err)
			return true
		}
		s.send = s.send[n:]
		if silent || len(s.send) > 0 {
			return len(s.send) > 0
		}
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
	s.err = look(fd)
	return true
}

// look returns EAGAIN where the peer has neither closed nor sent anything.
func look(fd uintptr) error {
	var one [1]byte
	_, err := retry(func() (int, error) {
		n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK)
		return n, err
	})
	return err
}

// retry repeats a call that a signal interrupted.
func retry(f func() (int, error)) (int, error) {
	for {
		if n, err := f(); err != syscall.EINTR {
			return n, err
		}
	}
}
