//go:build unix

package http2

import (
	"net"
	"os"
	"syscall"
)

// trier writes to a connection of the operating system without waiting.
type trier struct {
	raw  syscall.RawConn
	step func(fd uintptr) bool // t.write, bound once
	b    []byte
	n    int
	err  error
}

// newTrier returns nil where c is not a stream of the operating system.
func newTrier(c net.Conn) *trier {
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
	t := &trier{raw: raw}
	t.step = t.write
	return t
}

// try writes as much of b as the socket takes at once.
func (t *trier) try(b []byte) (n int, err error) {
	t.b = b
	err = t.raw.Write(t.step)
	n = t.n
	if err == nil {
		err = t.err
	}
	t.b, t.n, t.err = nil, 0, nil
	return n, err
}

func (t *trier) write(fd uintptr) bool {
	for {
		n, err := syscall.Write(int(fd), t.b)
		switch err {
		case nil:
			t.n = n
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
		default:
			t.err = os.NewSyscallError("write", err)
		}
		return true
	}
}
