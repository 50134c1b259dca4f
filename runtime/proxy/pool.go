package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/proxy/http1"
)

// clusterState is what a cluster keeps from one generation to the next, for as
// long as each has a cluster of that name.
type clusterState struct {
	next       atomic.Uint64 // round robin
	health     atomic.Uint64 // changes whenever an endpoint's does
	meter      upstreamMeter
	handshakes handshakes
	load       load
	detector   detector
	checker    checker

	mu     sync.Mutex
	pools  map[netip.AddrPort]*pool // of the endpoints of the current generation
	closed bool
}

func newClusterState() *clusterState {
	s := &clusterState{}
	s.detector.state, s.checker.state = s, s
	return s
}

// pool returns the pool for an address, or nil.
func (s *clusterState) pool(address netip.AddrPort) *pool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pools[address]
}

// dnsPool returns the pool for an address that a name has resolved to.
func (s *clusterState) dnsPool(p *Proxy, address netip.AddrPort, over *secured) *pool {
	s.mu.Lock()
	defer s.mu.Unlock()
	pl := s.pools[address]
	if pl == nil || !pl.secured.same(over) {
		before := pl
		pl = newPool(p, address, s, over, before)
		if before != nil {
			before.close()
		}
		pl.closed = s.closed
		if s.pools == nil {
			s.pools = map[netip.AddrPort]*pool{}
		}
		s.pools[address] = pl
	}
	pl.named = p.clock.Load()
	return pl
}

// forget lets go the pools of a DNS cluster that have nothing in them, are
// none of current, and were last answered for its names before oldest.
func (s *clusterState) forget(current []*endpoint, oldest int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for address, pl := range s.pools {
		former := pl.named < oldest && !slices.ContainsFunc(current, func(e *endpoint) bool { return e.pool == pl })
		if former && pl.empty() {
			delete(s.pools, address)
			pl.close() // for what streams may yet put back
		}
	}
}

// keep makes c, which has state s, what serves: pools of other endpoints are
// closed. Those of a DNS cluster stay until forget.
func (s *clusterState) keep(c *cluster) {
	s.detector.serve(c)
	s.checker.serve(c)
	if c.dns != nil {
		return
	}
	pools := make(map[netip.AddrPort]*pool, len(c.endpoints))
	for _, e := range c.endpoints {
		pools[e.pool.address] = e.pool
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for address, pl := range s.pools {
		if pools[address] != pl {
			pl.close()
		}
	}
	s.pools = pools
}

// appendPools appends the pools to list.
func (s *clusterState) appendPools(list []*pool) []*pool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, pl := range s.pools {
		list = append(list, pl)
	}
	return list
}

// close ends the idle connections to all endpoints; nothing is pooled any more.
func (s *clusterState) close() {
	s.detector.serve(nil)
	s.checker.serve(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, pl := range s.pools {
		pl.close()
	}
}

// pool keeps the connections to one endpoint of one cluster. Of the idle ones
// that used last is used first, so that the others can grow old.
type pool struct {
	proxy    *Proxy
	address  netip.AddrPort
	text     string // of the address
	state    *clusterState
	standing *standing
	secured  *secured // nil for the clear
	named    int64    // last answered for a name, by the clock; clusterState.mu guards it

	mu     sync.Mutex
	idle   []*upstream
	open   int // connections that are open or being opened
	closed bool
	// waiting are those who would have a connection and may not open one,
	// first come first. Each gets one, or nil: it may try again.
	waiting []chan *upstream
	// Connections of HTTP/2, and the one that is being opened.
	shared  []*shared
	opening *opening
}

// newPool returns a pool whose connections are made over TLS or, with nil, in
// the clear; before is the one of this address until now, or nil.
func newPool(p *Proxy, address netip.AddrPort, state *clusterState, over *secured, before *pool) *pool {
	pl := &pool{proxy: p, address: address, text: address.String(), state: state, secured: over}
	if before != nil {
		pl.standing = before.standing
	} else {
		pl.standing = &standing{}
	}
	return pl
}

// upstream is a connection to an endpoint, in the hands of one stream or of
// its pool; or, of HTTP/2, one stream on a shared connection.
type upstream struct {
	pool   *pool
	nc     net.Conn
	codec  clientCodec
	reused bool
	terms  terms
	since  int64 // idle since, by the clock
	// interim gets the interim responses of the exchange at hand.
	interim func(*filter.Headers)
	closed  atomic.Bool
	left    bool // the exchange counts no more

	// For a stream on a shared connection.
	shared bool
	inform func(*filter.Headers) // calls interim
	ending sync.Mutex            // an abort is going on, or none will be
	ended  bool
}

// get returns an idle connection for a request of c, or nil. With alive, it is
// one whose server has neither closed it nor said anything up to now, which
// costs a system call. The error is errOverflow.
func (p *pool) get(c *cluster, alive bool) (*upstream, error) {
	if c.http2 {
		return p.getStream(c)
	}
	for {
		p.mu.Lock()
		n := len(p.idle)
		if n == 0 {
			p.mu.Unlock()
			return nil, nil
		}
		u := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		if p.outdated(u) || (alive || p.secured != nil) && !u.codec.Idle() {
			u.close()
			continue
		}
		if !p.enter(c) {
			p.put(u)
			return nil, errOverflow
		}
		u.reused = true
		c.report(p.standing, connected)
		return u, nil
	}
}

// release ends the exchange that u was taken for. With reuse, it went to its
// end on both sides, and the connection may serve another.
func (u *upstream) release(reuse bool) {
	p := u.pool
	u.leave()
	u.left = false
	if u.shared {
		u.end(reuse && !u.closed.Load())
		return
	}
	if !reuse || u.closed.Load() || !u.codec.Next() {
		u.close()
		return
	}
	u.since = p.proxy.clock.Load()
	p.put(u)
}

// leave ends the counting of the exchange, before the release of u or with it.
func (u *upstream) leave() {
	if !u.left {
		u.left = true
		u.pool.leave()
	}
}

// put hands u to whoever waits for a connection, or keeps it.
func (p *pool) put(u *upstream) {
	if u.shared {
		u.end(false)
		return
	}
	p.mu.Lock()
	if w := p.first(); w != nil {
		w <- u
		p.mu.Unlock()
		return
	}
	closed := p.closed
	if !closed {
		p.idle = append(p.idle, u)
	}
	p.mu.Unlock()
	if closed {
		u.close()
	}
}

// first takes the first of those who wait; nil where nobody does. p.mu is held.
func (p *pool) first() chan *upstream {
	if len(p.waiting) == 0 {
		return nil
	}
	w := p.waiting[0]
	p.waiting = slices.Delete(p.waiting, 0, 1)
	return w
}

// close closes a connection that its pool does not hold.
func (u *upstream) close() {
	u.codec.Close()
	u.pool.gone()
}

// dial returns a connection for a request of c: a new one, or, where c may
// open no more, the first one that another request is done with. The error is
// errOverflow where c has too much in flight.
func (p *pool) dial(ctx context.Context, c *cluster) (*upstream, error) {
	if !p.state.load.pending.take(c.thresholds.MaxPendingRequests) {
		return nil, errOverflow
	}
	u, err := p.obtain(ctx, c)
	p.state.load.pending.give()
	if err != nil {
		if ctx.Err() == nil {
			c.report(p.standing, broke)
		}
		return nil, err
	}
	c.report(p.standing, connected)
	if !p.enter(c) {
		p.put(u)
		return nil, errOverflow
	}
	return u, nil
}

func (p *pool) obtain(ctx context.Context, c *cluster) (*upstream, error) {
	if c.http2 {
		return p.obtainStream(ctx, c)
	}
	for {
		w := p.slot(c)
		if w == nil {
			break
		}
		u, err := p.await(ctx, w)
		if err != nil {
			return nil, err
		}
		if u != nil && p.outdated(u) {
			u.close()
			continue
		}
		if u != nil {
			u.reused = true
			return u, nil
		}
	}
	nc, err := p.reach(ctx, c)
	if err != nil {
		p.gone()
		return nil, err
	}
	codec := http1.NewClientConn(nc, p.proxy.cfg.Limits)
	u := &upstream{pool: p, nc: nc, codec: codec, terms: termsOf(nc)}
	codec.Informational = func(h *filter.Headers) {
		if u.interim != nil {
			u.interim(h)
		}
	}
	return u, nil
}

// slot counts a connection of c that is about to be opened, until gone. Where
// c has MaxConnections it returns a place in the queue for one of p's instead;
// a pool without any may open one in any case, as in Envoy.
func (p *pool) slot(c *cluster) (wait chan *upstream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	connections := &p.state.load.connections
	if !connections.take(c.thresholds.MaxConnections) {
		if p.open > 0 {
			wait = make(chan *upstream, 1)
			p.waiting = append(p.waiting, wait)
			return wait
		}
		connections.take(0)
	}
	p.open++
	return nil
}

// gone uncounts a connection: it is closed, or could not be opened.
func (p *pool) gone() {
	p.state.load.connections.give()
	p.mu.Lock()
	p.open--
	if w := p.first(); w != nil {
		w <- nil
	}
	p.mu.Unlock()
}

// await waits in the queue.
func (p *pool) await(ctx context.Context, w chan *upstream) (*upstream, error) {
	select {
	case u := <-w:
		return u, nil
	case <-ctx.Done():
		p.renounce(w)
		return nil, ctx.Err()
	}
}

// renounce leaves the queue.
func (p *pool) renounce(w chan *upstream) {
	p.mu.Lock()
	i := slices.Index(p.waiting, w)
	if i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
	}
	p.mu.Unlock()
	if i < 0 { // its turn had come: to the next
		if u := <-w; u != nil {
			p.put(u)
		} else {
			p.mu.Lock()
			if next := p.first(); next != nil {
				next <- nil
			}
			p.mu.Unlock()
		}
	}
}

// tcp opens a connection of c that carries one connection from downstream;
// done is to be called when that has ended. The error is errOverflow where c
// has too much in flight.
func (p *pool) tcp(ctx context.Context, c *cluster) (nc net.Conn, done func(), err error) {
	l := &p.state.load
	if !l.connections.take(c.thresholds.MaxConnections) {
		return nil, nil, errOverflow
	}
	if !l.pending.take(c.thresholds.MaxPendingRequests) {
		l.connections.give()
		return nil, nil, errOverflow
	}
	nc, err = p.reach(ctx, c)
	l.pending.give()
	if err != nil {
		l.connections.give()
		switch {
		case ctx.Err() != nil:
		case isTimeout(err):
			c.report(p.standing, late)
		default:
			c.report(p.standing, broke)
		}
		return nil, nil, err
	}
	c.report(p.standing, carried)
	p.standing.active.Add(1)
	return nc, func() {
		p.standing.active.Add(-1)
		l.connections.give()
	}, nil
}

// outdated reports that what u's two sides have shown each other is not what
// they have to show by now.
func (p *pool) outdated(u *upstream) bool { return p.secured != nil && u.terms != p.terms() }

// terms are those that connections are made on now.
func (p *pool) terms() terms {
	if p.secured == nil {
		return terms{}
	}
	return p.secured.terms()
}

// reach opens a connection for traffic.
func (p *pool) reach(ctx context.Context, c *cluster) (net.Conn, error) {
	p.state.meter.connects.Add(1)
	nc, err := p.connect(ctx, c)
	if err != nil {
		p.state.meter.failures.Add(1)
	}
	return nc, err
}

// connect opens a connection, its TLS handshake included, within the cluster's
// connect timeout.
func (p *pool) connect(ctx context.Context, c *cluster) (net.Conn, error) {
	if p.secured != nil {
		ctx, done := context.WithTimeout(ctx, c.connectTimeout)
		defer done()
		nc, err := p.bare(ctx, c)
		if err != nil {
			return nil, err
		}
		nc, err = p.secured.shake(ctx, nc)
		if failed, ok := errors.AsType[*tlsError](err); ok {
			p.state.handshakes.fail(p.proxy.log, "TLS handshake with an endpoint failed", slog.String("cluster", c.name),
				slog.String("endpoint", p.text), slog.Any("error", failed.err))
		}
		return nc, err
	}
	return p.bare(ctx, c)
}

// bare opens a connection without TLS within the cluster's connect timeout.
func (p *pool) bare(ctx context.Context, c *cluster) (net.Conn, error) {
	d := net.Dialer{Timeout: c.connectTimeout}
	network := "tcp"
	if c.udp {
		network = "udp"
	}
	return d.DialContext(ctx, network, p.text)
}

// abort ends the exchange on u while a goroutine may still be using it;
// whoever holds u closes the rest.
func (u *upstream) abort() {
	u.ending.Lock()
	defer u.ending.Unlock()
	if !u.ended && !u.closed.Swap(true) {
		u.codec.Abort()
	}
}

// sweep closes what has been idle for longer than limit, or was closed by the
// server.
func (p *pool) sweep(now int64, limit time.Duration) {
	oldest := now - int64(limit)
	p.tick(now, limit)
	p.mu.Lock()
	var stale []*upstream
	kept := p.idle[:0]
	for _, u := range p.idle {
		if u.since < oldest || p.outdated(u) || !u.codec.Idle() {
			stale = append(stale, u)
		} else {
			kept = append(kept, u)
		}
	}
	clear(p.idle[len(kept):])
	p.idle = kept
	p.mu.Unlock()
	for _, u := range stale {
		u.close()
	}
}

// retired reports whether no cluster that serves has the endpoint any more.
func (p *pool) retired() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

func (p *pool) empty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.idle) == 0 && len(p.shared) == 0
}

// close ends the idle connections; those in use end with their exchange.
func (p *pool) close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	shared := slices.Clone(p.shared)
	p.mu.Unlock()
	for _, c := range shared {
		c.conn.Drain()
	}
	for _, u := range idle {
		u.close()
	}
}
