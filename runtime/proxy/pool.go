package proxy

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// pool keeps the connections to one endpoint of one cluster. Of the idle ones
// that used last is used first, so that the others can grow old.
type pool struct {
	proxy    *Proxy
	address  netip.AddrPort
	text     string // of the address
	state    *clusterState
	standing *standing
	secured  *secured // nil for the clear
	// clusterState.mu guards named, when it was last answered for a name, by the clock,
	// and beside, a pool to the same address over another transport, or nil.
	named  int64
	beside *pool

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
		if p.outdated(u) || u.writeTimeout != c.writeTimeout || (alive || p.secured != nil) && !u.codec.Idle() {
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
