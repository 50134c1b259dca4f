package proxy

import (
	"net"
	"syscall"
)

// datagramReader reads what the upstream of a session says. It holds a buffer only
// while there is a datagram: most sessions wait, most of the time.
type datagramReader struct {
	raw  syscall.RawConn
	step func(fd uintptr) bool // r.read, bound once
	use  func(datagram []byte)
	err  error
}

// newDatagramReader reads from up, a UDP socket; use gets each datagram, valid until
// it returns.
func newDatagramReader(up net.Conn, use func(datagram []byte)) (*datagramReader, error) {
	raw, err := up.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil, err
	}
	r := &datagramReader{raw: raw, use: use}
	r.step = r.read
	return r, nil
}

// next waits for the next datagram.
func (r *datagramReader) next() error {
	r.err = nil
	if err := r.raw.Read(r.step); err != nil {
		return err
	}
	return r.err
}

func (r *datagramReader) read(fd uintptr) bool {
	b := takeBuffer()
	defer b.release()
	n, err := syscall.Read(int(fd), b.all[:])
	for err == syscall.EINTR {
		n, err = syscall.Read(int(fd), b.all[:])
	}
	switch {
	case err == syscall.EAGAIN:
		return false
	case err != nil:
		r.err = err
	default:
		r.use(b.all[:n])
	}
	return true
}
