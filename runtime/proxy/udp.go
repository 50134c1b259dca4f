package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/meshc/meshc/runtime/filter"
)

const (
	// udpIdleTimeout ends a session, as Envoy's udp_proxy does.
	udpIdleTimeout = time.Minute
	// maxSessions bounds the sessions of one listener, by Envoy's default of
	// max_connections: a sender can make up addresses, and each costs a socket and
	// two goroutines, but no buffer while it waits. Datagrams of others are dropped.
	maxSessions = 1024
	// sessionQueue is how many datagrams of a client may wait, each in as much
	// memory as it is long; more are dropped, as a network does.
	sessionQueue = 16
	maxDatagram  = 64 << 10
)

// datagrams is a UDP socket as a listener: a client address that was not heard
// of, or not for a while, is a new connection.
type datagrams struct {
	pc      net.PacketConn
	control controlConn

	mu       sync.Mutex
	closed   bool
	sessions map[sessionKey]*session
}

// sessionKey is a client, and the address of ours that it talks to.
type sessionKey struct{ client, own netip.AddrPort }

// controlConn reads and writes datagrams with the address of ours: a socket on
// all addresses would answer from another one than was asked.
type controlConn interface {
	read(p []byte) (n int, from net.Addr, to net.IP, err error)
	write(p []byte, to net.Addr, from net.IP) error
}

// bindUDP listens on address: on that of one family, for a socket of both does
// not tell which address of ours an IPv4 client has asked.
func bindUDP(ctx context.Context, address string) (net.Listener, error) {
	network := "udp6"
	if ap, err := netip.ParseAddrPort(address); err == nil && ap.Addr().Is4() {
		network = "udp4"
	}
	var lc net.ListenConfig
	pc, err := lc.ListenPacket(ctx, network, address)
	if err != nil {
		return nil, err
	}
	d := &datagrams{pc: pc, sessions: map[sessionKey]*session{}}
	if d.control, err = controlOf(pc); err != nil {
		pc.Close()
		return nil, err
	}
	return d, nil
}

func controlOf(pc net.PacketConn) (controlConn, error) {
	local := pc.LocalAddr().(*net.UDPAddr)
	if local.IP.To4() != nil {
		c := ipv4.NewPacketConn(pc)
		return control4{c}, c.SetControlMessage(ipv4.FlagDst, true)
	}
	c := ipv6.NewPacketConn(pc)
	return control6{c}, c.SetControlMessage(ipv6.FlagDst, true)
}

type control4 struct{ *ipv4.PacketConn }

func (c control4) read(p []byte) (int, net.Addr, net.IP, error) {
	n, cm, from, err := c.ReadFrom(p)
	if err != nil || cm == nil {
		return n, from, nil, err
	}
	return n, from, cm.Dst, nil
}

func (c control4) write(p []byte, to net.Addr, from net.IP) error {
	_, err := c.WriteTo(p, &ipv4.ControlMessage{Src: from}, to)
	return err
}

type control6 struct{ *ipv6.PacketConn }

func (c control6) read(p []byte) (int, net.Addr, net.IP, error) {
	n, cm, from, err := c.ReadFrom(p)
	if err != nil || cm == nil {
		return n, from, nil, err
	}
	return n, from, cm.Dst, nil
}

func (c control6) write(p []byte, to net.Addr, from net.IP) error {
	_, err := c.WriteTo(p, &ipv6.ControlMessage{Src: from}, to)
	return err
}

// Accept reads datagrams, and returns when one is of a client that has no session.
func (d *datagrams) Accept() (net.Conn, error) {
	buf := make([]byte, maxDatagram)
	for {
		n, from, own, err := d.control.read(buf)
		if err != nil {
			if errors.Is(err, syscall.ECONNREFUSED) { // of an answer, to a client that has gone
				continue
			}
			d.mu.Lock()
			closed := d.closed
			d.mu.Unlock()
			if closed {
				err = net.ErrClosed
			}
			return nil, err
		}
		if s := d.deliver(from.(*net.UDPAddr), own, buf[:n]); s != nil {
			return s, nil
		}
	}
}

// deliver hands a datagram to its session, and returns that if it is a new one.
func (d *datagrams) deliver(from *net.UDPAddr, own net.IP, p []byte) *session {
	client := addressOf(from)
	local := addressOf(d.pc.LocalAddr())
	if ip, ok := netip.AddrFromSlice(own); ok {
		local = netip.AddrPortFrom(ip.Unmap(), local.Port())
	}
	key := sessionKey{client, local}
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.sessions[key]
	if s != nil {
		s.offer(p)
		return nil
	}
	if d.closed || len(d.sessions) >= maxSessions {
		return nil
	}
	s = &session{from: d, key: key, addr: from, own: own, in: make(chan []byte, sessionQueue), done: make(chan struct{})}
	d.sessions[key] = s
	s.offer(p)
	return s
}

// Close ends the listener and all sessions.
func (d *datagrams) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return net.ErrClosed
	}
	d.closed = true
	var all []*session
	for _, s := range d.sessions {
		all = append(all, s)
	}
	d.mu.Unlock()
	for _, s := range all {
		s.Close()
	}
	return d.pc.Close()
}

// Addr returns the address that it is bound to.
func (d *datagrams) Addr() net.Addr { return d.pc.LocalAddr() }

// session is what goes on with one client. It is a net.Conn of which each Read
// and Write is one datagram.
type session struct {
	from *datagrams
	key  sessionKey
	addr net.Addr
	own  net.IP
	in   chan []byte
	done chan struct{}
	once sync.Once
}

func (s *session) offer(p []byte) {
	select {
	case s.in <- append([]byte(nil), p...):
	default:
	}
}

func (s *session) Read(p []byte) (int, error) {
	select {
	case b := <-s.in:
		return copy(p, b), nil
	case <-s.done:
		return 0, io.EOF
	}
}

// next waits for the next datagram, and has use take it as it lies in the queue.
func (s *session) next(use func(datagram []byte)) error {
	select {
	case b := <-s.in:
		use(b)
		return nil
	case <-s.done:
		return io.EOF
	}
}

func (s *session) Write(p []byte) (int, error) { return len(p), s.from.control.write(p, s.addr, s.own) }

func (s *session) Close() error {
	s.once.Do(func() {
		close(s.done)
		s.from.mu.Lock()
		defer s.from.mu.Unlock()
		delete(s.from.sessions, s.key)
	})
	return nil
}

func (s *session) LocalAddr() net.Addr              { return net.UDPAddrFromAddrPort(s.key.own) }
func (s *session) RemoteAddr() net.Addr             { return s.addr }
func (s *session) SetDeadline(time.Time) error      { return nil }
func (s *session) SetReadDeadline(time.Time) error  { return nil }
func (s *session) SetWriteDeadline(time.Time) error { return nil }

// relay is a session and the upstream socket behind it.
type relay struct {
	proxy *Proxy
	l     *listener
	nc    *session
	since atomic.Int64 // the last datagram, by the clock

	mu       sync.Mutex
	ended    bool
	up       net.Conn
	endpoint *endpoint
	cancel   context.CancelFunc
}

// newRelay takes over the reference to l's generation.
func newRelay(s *socket, l *listener, nc *session) *relay {
	x := &relay{proxy: s.proxy, l: l, nc: nc}
	x.since.Store(s.proxy.clock.Load())
	return x
}

func (x *relay) serve() {
	start := time.Now()
	meter := x.l.meter
	defer func() {
		x.kill()
		meter.done(0, time.Since(start), 0, 0) // what moves is counted as it does
		x.l.gen.release()
	}()
	a := x.l.split.pick()
	if a == nil {
		return
	}
	meter = a.meter
	done, ok := x.connect(a)
	if !ok {
		return
	}
	defer done()
	back, err := newDatagramReader(x.up, x.carrier(x.nc, meter, filter.Response))
	if err != nil {
		return
	}
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		x.carry(back.next)
		x.kill()
	}()
	use := x.carrier(x.up, meter, filter.Request)
	x.carry(func() error { return x.nc.next(use) })
	x.kill()
	<-answered
}

// connect chooses an endpoint. Without one the datagrams go nowhere.
func (x *relay) connect(a *arm) (done func(), ok bool) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	x.mu.Lock()
	x.cancel = cancel
	ended := x.ended
	x.mu.Unlock()
	if ended {
		return nil, false
	}
	e := a.cluster.pick(ctx, clientHash(addressOf(x.nc.RemoteAddr()).Addr()))
	if e == nil {
		return nil, false
	}
	up, done, err := e.pool.tcp(ctx, a.cluster)
	if err != nil {
		x.proxy.log.Debug("upstream not connected", "listener", x.l.name, "upstream", e.pool.text, "error", err)
		return nil, false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.up, x.endpoint = up, e
	if x.ended {
		up.Close()
		done()
		return nil, false
	}
	return done, true
}

// carry has next called until it fails. That nobody listened a moment ago does
// not end it: a datagram is lost, no more.
func (x *relay) carry(next func() error) {
	for {
		if err := next(); err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
			return
		}
	}
}

// carrier returns what sends a datagram of direction d on to dst, and counts it.
func (x *relay) carrier(dst net.Conn, m *meter, d filter.Direction) func(datagram []byte) {
	bytes := &m.received
	if d == filter.Response {
		bytes = &m.sent
	}
	return func(b []byte) {
		x.since.Store(x.proxy.clock.Load())
		if _, err := dst.Write(b); err == nil {
			bytes.Add(uint64(len(b)))
			m.datagrams[d].Add(1)
		}
	}
}

func (x *relay) drain() {} // it ends when nothing comes any more, or with its listener

func (x *relay) from() net.Conn { return nil }

func (x *relay) kill() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ended = true
	if x.cancel != nil {
		x.cancel()
	}
	x.nc.Close()
	if x.up != nil {
		x.up.Close()
	}
}

// check ends a session that is idle, or whose endpoint has gone: the next
// datagram begins another one.
func (x *relay) check(now int64) {
	x.mu.Lock()
	e := x.endpoint
	x.mu.Unlock()
	if time.Duration(now-x.since.Load()) > udpIdleTimeout || e != nil && e.pool.retired() {
		x.kill()
	}
}
