package proxy

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// socket is a bound address. It outlives the generations whose listeners it
// serves.
type socket struct {
	proxy *Proxy
	key   string
	ln    net.Listener
	// serving is the current listener of this address; it is never nil once
	// the socket accepts.
	serving  atomic.Pointer[listener]
	draining atomic.Bool
	accepted chan struct{} // closed when accept has returned

	mu    sync.Mutex
	live  map[connection]struct{}
	conns sync.WaitGroup // of live
}

// connection is what a socket knows of what it has accepted.
type connection interface {
	serve()
	// drain ends the connection as soon as that takes nothing from the client.
	drain()
	// kill ends it now.
	kill()
	// check is called at every tick of the janitor, now in nanoseconds.
	check(now int64)
}

func (p *Proxy) listen(ctx context.Context, l *listener) (*socket, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", l.address)
	if err != nil {
		return nil, err
	}
	s := &socket{
		proxy: p, key: l.key, ln: ln, accepted: make(chan struct{}), live: map[connection]struct{}{},
	}
	s.serving.Store(l)
	return s, nil
}

// close closes a socket that never accepted.
func (s *socket) close() { s.ln.Close() }

// acquire returns the current listener with a reference to its generation.
func (s *socket) acquire() *listener {
	for {
		// A generation can go between the two steps, but only once another
		// listener is in its place.
		if l := s.serving.Load(); l.gen.acquire() {
			return l
		}
	}
}

func (s *socket) accept() {
	defer close(s.accepted)
	var pause time.Duration
	for {
		nc, err := s.ln.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			// Such as too many open files: it may pass.
			s.proxy.log.Error("accept failed", "listener", s.serving.Load().name, "error", err)
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			select {
			case <-time.After(pause):
			case <-s.proxy.stop:
			}
			continue
		}
		pause = 0
		s.start(nc)
	}
}

func (s *socket) start(nc net.Conn) {
	l := s.acquire()
	var c connection
	if l.protocol == snapshot.HTTP {
		c = newDownstream(s, nc)
		l.gen.release() // each request takes its own
	} else {
		c = newTunnel(s, l, nc)
	}
	s.mu.Lock()
	s.live[c] = struct{}{}
	s.mu.Unlock()
	l.conns.opened()
	s.conns.Go(func() {
		defer func() {
			s.mu.Lock()
			delete(s.live, c)
			s.mu.Unlock()
			l.conns.closed()
		}()
		c.serve()
	})
}

// each calls f for every live connection, outside the lock.
func (s *socket) each(f func(connection)) (n int) {
	s.mu.Lock()
	all := make([]connection, 0, len(s.live))
	for c := range s.live {
		all = append(all, c)
	}
	s.mu.Unlock()
	for _, c := range all {
		f(c)
	}
	return len(all)
}

// drain stops accepting and ends what is idle.
func (s *socket) drain() {
	s.draining.Store(true)
	s.ln.Close()
	s.each(connection.drain)
}

// finish waits for the connections of a socket that drains, until ctx ends;
// then it cuts off the rest and returns how many those were.
func (s *socket) finish(ctx context.Context) (cut int) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-s.accepted
		s.conns.Wait()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		<-s.accepted
		cut = s.each(connection.kill)
		<-done
	}
	return cut
}

// addressOf returns a as netip has it, IPv4 in its short form.
func addressOf(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
