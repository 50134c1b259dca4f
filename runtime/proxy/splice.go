package proxy

import (
	"net"

	"github.com/meshc/meshc/runtime/filter"
)

// splice carries bytes between two connections until both sides have said all
// they have to say, and closes neither. A side that ends is told on to the
// other as a half-close. aFirst and bFirst were read from a and b before.
// Between TCP sockets the bytes do not leave the kernel. w sees what moves.
func splice(a, b net.Conn, aFirst, bFirst []byte, w *watch) (fromA, fromB uint64) {
	done := make(chan uint64, 1)
	go func() { done <- oneWay(b, a, aFirst, &w.flows[0]) }()
	fromB = oneWay(a, b, bFirst, &w.flows[1])
	return <-done, fromB
}

func oneWay(dst, src net.Conn, first []byte, f *flow) (n uint64) {
	if len(first) > 0 {
		k, err := dst.Write(first)
		n += uint64(k)
		if err != nil {
			src.Close()
			return n
		}
	}
	k, err := f.copy(dst, src)
	if err != nil {
		// One direction broken is both broken: a reset has no half.
		dst.Close()
		src.Close()
	} else {
		closeWrite(dst)
	}
	return n + k
}

func closeWrite(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	} else {
		c.Close()
	}
}

// informational passes an interim response of the upstream on.
func (s *stream) informational(h *filter.Headers) { s.d.codec.WriteInformational(h) }

// tunnel answers 101 and carries the bytes of the other protocol both ways,
// past the filters: to them, the response ends with its headers.
func (s *stream) tunnel(u *upstream, protocol string) {
	s.d.codec.SetUpgrade(protocol)
	if s.put(filter.Output{Headers: &s.response, End: true}, true) != nil {
		return
	}
	if s.f != nil && (s.f.drain(filter.Response) != nil || s.f.chain.Replied() || s.f.chain.WasReset()) {
		return
	}
	s.d.phase.Store(phaseTunnel)
	s.tunnelled()
	down, fromClient := s.d.codec.Hijack()
	up, fromServer := u.codec.Hijack()
	defer up.Close()
	defer down.Close()
	received, sent := splice(down, up, fromClient, fromServer, &s.d.tunnel)
	s.received.Add(received)
	s.sent.Add(sent)
}
