package proxy

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/proxy/http1"
)

// poolKey names a pool for as long as the endpoint is there.
type poolKey struct {
	cluster string
	address netip.AddrPort
}

// pool keeps the idle connections to one endpoint of one cluster. The one
// used last is used first, so that the others can grow old.
type pool struct {
	proxy *Proxy
	key   poolKey
	text  string // of the address
	meter *upstreamMeter

	mu     sync.Mutex
	idle   []*upstream
	closed bool
}

func newPool(p *Proxy, key poolKey, meter *upstreamMeter) *pool {
	return &pool{proxy: p, key: key, text: key.address.String(), meter: meter}
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
// has not closed it up to now, which costs a system call.
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

// abort closes the socket under u while a goroutine may still be using it;
// whoever holds u closes the rest.
func (u *upstream) abort() {
	if !u.closed.Swap(true) {
		u.nc.Close()
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
