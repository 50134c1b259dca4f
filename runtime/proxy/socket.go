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

// door is a bound address. What comes in is given to a socket, in whose place
// another can be put.
type door struct {
	ln net.Listener
	mu sync.Mutex // held while a connection is given away
	to *socket

	// by is what those inside were last admitted by; Proxy.readmit has both.
	by     admission
	unsure bool // somebody may have been let in by what was before
}

// socket is what came in at one door while the protocol there stayed the same.
// It outlives the generations whose listeners it serves.
type socket struct {
	proxy *Proxy
	key   string
	door  *door
	// serving is the current listener of this address.
	serving  atomic.Pointer[listener]
	draining atomic.Bool
	accepted chan struct{} // closed when no more will be given to it
	ended    chan struct{} // closed when it has drained

	mu sync.Mutex
	// live are the connections, and when one is to be cut off, in nanoseconds of the
	// clock; 0 for never.
	live    map[connection]int64
	leaving int            // how many of them are to be
	conns   sync.WaitGroup // of live, and what is about to be
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
	// from returns the connection to who has come; nil before they are let in.
	from() net.Conn
}

// listen opens a socket for l, in place of those in leaving.
func (p *Proxy) listen(ctx context.Context, l *listener, leaving []*socket) (*socket, error) {
	var ln net.Listener
	var err error
	if l.protocol == snapshot.UDP {
		ln, err = bindUDP(ctx, l.address)
	} else {
		ln, err = bind(ctx, l.address, leaving)
	}
	if err != nil {
		return nil, err
	}
	d := &door{ln: ln}
	d.to = p.newSocket(d, l)
	return d.to, nil
}

func (p *Proxy) newSocket(d *door, l *listener) *socket {
	s := &socket{proxy: p, key: l.key, door: d, accepted: make(chan struct{}), ended: make(chan struct{}), live: map[connection]int64{}}
	s.serving.Store(l)
	return s
}

// close closes the door. Whoever was connected by then is let in: the system
// would reset those that nobody has accepted yet.
func (s *socket) close() {
	for _, nc := range waiting(s.door.ln) {
		s.door.give(nc)
	}
	s.door.ln.Close()
}

// give hands a connection to the socket behind d.
func (d *door) give(nc net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.to.start(nc)
}

// succeed puts another socket, which serves l, in the place of s.
func (s *socket) succeed(l *listener) *socket {
	s.door.mu.Lock()
	defer s.door.mu.Unlock()
	s.door.to = s.proxy.newSocket(s.door, l)
	close(s.accepted)
	return s.door.to
}

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

// accept gives away what comes in until the door is closed.
func (d *door) accept() {
	var pause time.Duration
	for {
		nc, err := d.ln.Accept()
		if err == nil {
			pause = 0
			d.give(nc)
			continue
		}
		d.mu.Lock()
		s := d.to
		d.mu.Unlock()
		if errors.Is(err, net.ErrClosed) {
			close(s.accepted)
			return
		}
		// Such as too many open files: it may pass.
		s.proxy.log.Error("accept failed", "listener", s.serving.Load().name, "error", err)
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		select {
		case <-time.After(pause):
		case <-s.proxy.stop:
		}
	}
}

func (s *socket) start(nc net.Conn) {
	l := s.acquire()
	if !l.ranges.admit(addressOf(nc.RemoteAddr()).Addr()) {
		l.gen.release()
		l.conns.refused()
		nc.Close()
		return
	}
	if l.tls != "" || l.chains != nil {
		s.run(newEntrance(s, l, nc), nil)
		return
	}
	s.serve(l, nc)
}

// serve takes over the reference to l's generation.
func (s *socket) serve(l *listener, nc net.Conn) {
	var c connection
	switch l.protocol {
	case snapshot.HTTP:
		c = newDownstream(s, nc)
		l.gen.release() // each request takes its own
	case snapshot.UDP:
		c = newRelay(s, l, nc.(*session))
	default:
		c = newTunnel(s, l, nc)
	}
	l.conns.opened()
	s.run(c, l.conns)
}

// run serves c in a goroutine; then it is closed in meter, which may be nil.
func (s *socket) run(c connection, meter *connMeter) {
	s.mu.Lock()
	s.live[c] = 0
	s.mu.Unlock()
	s.conns.Go(func() {
		defer func() {
			s.mu.Lock()
			if s.live[c] != 0 {
				s.leaving--
			}
			delete(s.live, c)
			s.mu.Unlock()
			if meter != nil {
				meter.closed()
			}
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

// drain ends what is idle. Nothing more comes in; see hand for the lock.
func (s *socket) drain() {
	s.door.mu.Lock()
	s.draining.Store(true)
	s.door.mu.Unlock()
	s.each(connection.drain)
}

// addressOf returns a as netip has it, IPv4 in its short form.
func addressOf(a net.Addr) netip.AddrPort {
	t, ok := a.(interface{ AddrPort() netip.AddrPort }) // TCP and UDP
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
