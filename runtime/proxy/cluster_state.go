package proxy

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
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
