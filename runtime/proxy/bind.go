package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sort"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/meshc/meshc/compiler/snapshot"
)

// bind listens on address. Where only sockets in leaving are in the way, the
// port is shared with them until they are closed: so a listener moves from one
// address to all of them and back.
func bind(ctx context.Context, address string, leaving []*socket) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", address)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return ln, err
	}
	var holders []syscall.Conn
	for _, s := range leaving {
		if c, ok := s.door.ln.(syscall.Conn); ok && overlap(address, s.serving.Load().address) {
			holders = append(holders, c)
		}
	}
	if len(holders) == 0 {
		return nil, err
	}
	// Whoever else says SO_REUSEPORT could come in too, so it is said no longer
	// than needed.
	defer func() {
		for _, c := range holders {
			share(c, 0)
		}
	}()
	for _, c := range holders {
		if err := share(c, 1); err != nil {
			return nil, err
		}
	}
	lc.Control = func(_, _ string, raw syscall.RawConn) error { return shareRaw(raw, 1) }
	if ln, err = lc.Listen(ctx, "tcp", address); err != nil {
		return nil, err
	}
	if c, ok := ln.(syscall.Conn); ok {
		holders = append(holders, c)
	}
	return ln, nil
}

// waiting returns the connections that ln has and nobody has accepted. It does
// not wait for more.
func waiting(ln net.Listener) (out []net.Conn) {
	sc, ok := ln.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	var accepted []int
	raw.Control(func(fd uintptr) {
		for {
			nfd, _, err := unix.Accept(int(fd)) // the listener does not block
			switch {
			case err == nil:
				unix.CloseOnExec(nfd)
				accepted = append(accepted, nfd)
			case err == unix.EINTR, err == unix.ECONNABORTED: // the next may be there
			default:
				return
			}
		}
	})
	for _, nfd := range accepted {
		f := os.NewFile(uintptr(nfd), "")
		if nc, err := net.FileConn(f); err == nil {
			out = append(out, nc)
		}
		f.Close() // nc has its own
	}
	return out
}

// overlap reports whether a socket on a keeps another from b. Both have a port.
func overlap(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	return hostA == hostB || wildcard(hostA) || wildcard(hostB)
}

func wildcard(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}

func share(c syscall.Conn, on int) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return shareRaw(raw, on)
}

func shareRaw(raw syscall.RawConn, on int) (err error) {
	failed := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, on)
	})
	return errors.Join(failed, err)
}

// taken completes err, with which l could not be bound, by the listener of ours
// that is in its way, if one is.
func (l *listener) taken(err error, origins snapshot.List[snapshot.Origin]) error {
	err = l.fault(err, origins)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	for _, other := range l.gen.listeners {
		if other != l && overlap(l.address, other.address) {
			return fmt.Errorf("%w: its port is that of %s; one of them needs another", err, other.title(origins))
		}
	}
	return err
}

// fault says where the listener was written that err is about.
func (l *listener) fault(err error, origins snapshot.List[snapshot.Origin]) error {
	err = fmt.Errorf("listener %s of %s: %w", l.name, l.proxy, err)
	if place := placeOf(l.sources, origins); place != "" {
		err = fmt.Errorf("%s: %w", place, err)
	}
	return err
}

// title names l within the fault of another.
func (l *listener) title(origins snapshot.List[snapshot.Origin]) string {
	text := fmt.Sprintf("listener %s of %s", l.name, l.proxy)
	if place := placeOf(l.sources, origins); place != "" {
		text += " (" + place + ")"
	}
	return text
}

// placeOf returns file:line:column of the first of the documents in sources
// that is known by it, or "".
func placeOf(sources snapshot.List[string], origins snapshot.List[snapshot.Origin]) string {
	for _, id := range sources.All() {
		i, found := sort.Find(origins.Len(), func(i int) int { return strings.Compare(id, origins.At(i).ID) })
		if found {
			o := origins.At(i)
			return fmt.Sprintf("%s:%d:%d", o.File, o.Line, o.Column)
		}
	}
	return ""
}
