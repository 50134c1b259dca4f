package proxy

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/proxy/http1"
)

// clusterState is what a cluster keeps from one generation to the next, for as
// long as each has a cluster of that name.
type clusterState struct {
	next  atomic.Uint64 // round robin
	meter upstreamMeter

	mu     sync.Mutex
	pools  map[netip.AddrPort]*pool // of the endpoints of the current generation
	closed bool
}

// pool returns the pool for an address, or nil.
func (s *clusterState) pool(address netip.AddrPort) *pool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pools[address]
}

// dnsPool returns the pool for an address that a name has resolved to.
func (s *clusterState) dnsPool(p *Proxy, address netip.AddrPort) *pool {
	s.mu.Lock()
	defer s.mu.Unlock()
	pl := s.pools[address]
	if pl == nil {
		pl = newPool(p, address, &s.meter)
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
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, pl := range s.pools {
		pl.close()
	}
}

// pool keeps the idle connections to one endpoint of one cluster. The one
// used last is used first, so that the others can grow old.
type pool struct {
	proxy   *Proxy
	address netip.AddrPort
	text    string // of the address
	meter   *upstreamMeter
	named   int64 // last answered for a name, by the clock; clusterState.mu guards it

	mu     sync.Mutex
	idle   []*upstream
	closed bool
}

func newPool(p *Proxy, address netip.AddrPort, meter *upstreamMeter) *pool {
	return &pool{proxy: p, address: address, text: address.String(), meter: meter}
}

// upstream is a connection to an endpoint, in the hands of one stream or of
// its pool.
type upstream struct {
	pool   *pool
	nc     net.Conn
	codec  clientCodec
	reused bool
	since  int64 // idle since, by the clock
	// interim gets the interim responses of the exchange at hand.
	interim func(*filter.Headers)
	closed  atomic.Bool
}

// get returns an idle connection, or nil. With alive, it is one whose server
// has neither closed it nor said anything up to now, which costs a system call.
func (p *pool) get(alive bool) *upstream {
	for {
		p.mu.Lock()
		n := len(p.idle)
		if n == 0 {
			p.mu.Unlock()
			return nil
		}
		u := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		if alive && !u.codec.Idle() {
			u.codec.Close()
			continue
		}
		u.reused = true
		return u
	}
}

// put takes back a connection after its exchange.
func (p *pool) put(u *upstream) {
	if !u.codec.Next() {
		u.codec.Close()
		return
	}
	u.since = p.proxy.clock.Load()
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.idle = append(p.idle, u)
	}
	p.mu.Unlock()
	if closed {
		u.codec.Close()
	}
}

// dial makes a new connection.
func (p *pool) dial(ctx context.Context, c *cluster) (*upstream, error) {
	nc, err := p.connect(ctx, c)
	if err != nil {
		return nil, err
	}
	codec := http1.NewClientConn(nc, p.proxy.cfg.Limits)
	u := &upstream{pool: p, nc: nc, codec: codec}
	codec.Informational = func(h *filter.Headers) {
		if u.interim != nil {
			u.interim(h)
		}
	}
	return u, nil
}

// connect opens a bare connection within the cluster's connect timeout.
func (p *pool) connect(ctx context.Context, c *cluster) (net.Conn, error) {
	d := net.Dialer{Timeout: c.connectTimeout}
	nc, err := d.DialContext(ctx, "tcp", p.text)
	p.meter.connects.Add(1)
	if err != nil {
		p.meter.failures.Add(1)
		return nil, err
	}
	return nc, nil
}

// abort ends the exchange on u while a goroutine may still be using it;
// whoever holds u closes the rest.
func (u *upstream) abort() {
	if !u.closed.Swap(true) {
		u.codec.Abort()
	}
}

// sweep closes what has been idle since before oldest, or was closed by the
// server.
func (p *pool) sweep(oldest int64) {
	p.mu.Lock()
	var stale []*upstream
	kept := p.idle[:0]
	for _, u := range p.idle {
		if u.since < oldest || !u.codec.Idle() {
			stale = append(stale, u)
		} else {
			kept = append(kept, u)
		}
	}
	clear(p.idle[len(kept):])
	p.idle = kept
	p.mu.Unlock()
	for _, u := range stale {
		u.codec.Close()
	}
}

func (p *pool) empty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.idle) == 0
}

// close ends the idle connections; those in use end with their exchange.
func (p *pool) close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, u := range idle {
		u.codec.Close()
	}
}
