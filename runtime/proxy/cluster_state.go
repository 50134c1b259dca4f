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
	handshakes failures
	load       load
	detector   detector
	checker    checker

	mu sync.Mutex
	// pools are those of the endpoints of the current generation. Of names there may be
	// several to one address, each over another transport: for what began in the
	// generation before still asks for its own.
	pools  map[netip.AddrPort]*pool
	closed bool
}

func newClusterState() *clusterState {
	s := &clusterState{}
	s.detector.state, s.checker.state = s, s
	return s
}

// pool returns a pool for an address, or nil.
func (s *clusterState) pool(address netip.AddrPort) *pool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pools[address]
}

// has reports whether pl is one of the pools.
func (s *clusterState) has(pl *pool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.pools[pl.address]
	for at != nil && at != pl {
		at = at.beside
	}
	return at != nil
}

// dnsPool returns the pool for an address that a name has resolved to.
func (s *clusterState) dnsPool(p *Proxy, address netip.AddrPort, over *secured) *pool {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.pools[address]
	pl := first
	for pl != nil && !pl.secured.same(over) {
		pl = pl.beside
	}
	if pl == nil {
		pl = newPool(p, address, s, over, first)
		pl.beside, pl.closed = first, s.closed
		if s.pools == nil {
			s.pools = map[netip.AddrPort]*pool{}
		}
		s.pools[address] = pl
	}
	pl.named = p.clock.Load()
	return pl
}

// drop closes the pools that are not wanted any more; s.mu is held.
func (s *clusterState) drop(unwanted func(*pool) bool) {
	for address, first := range s.pools {
		for at := &first; *at != nil; {
			if pl := *at; unwanted(pl) {
				*at, pl.beside = pl.beside, nil
				pl.close()
			} else {
				at = &pl.beside
			}
		}
		if first == nil {
			delete(s.pools, address)
		} else {
			s.pools[address] = first
		}
	}
}

// forget lets go the pools of a DNS cluster that have nothing in them, are
// none of current, and were last answered for its names before oldest. They are closed
// for what streams may yet put back.
func (s *clusterState) forget(current []*endpoint, oldest int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(func(pl *pool) bool {
		return pl.named < oldest && !slices.ContainsFunc(current, func(e *endpoint) bool { return e.pool == pl }) && pl.empty()
	})
}

// keep makes c, which has state s, what serves: pools of other endpoints are
// closed. Those of a DNS cluster stay until forget, unless their transport is gone.
func (s *clusterState) keep(c *cluster) {
	s.detector.serve(c)
	s.checker.serve(c)
	if c.dns != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.drop(func(pl *pool) bool { return !c.dns.speaks(pl.secured) })
		return
	}
	pools := make(map[netip.AddrPort]*pool, len(c.endpoints))
	for _, e := range c.endpoints {
		pools[e.pool.address] = e.pool
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(func(pl *pool) bool { return pools[pl.address] != pl })
	s.pools = pools
}

// appendPools appends the pools to list.
func (s *clusterState) appendPools(list []*pool) []*pool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, pl := range s.pools {
		for ; pl != nil; pl = pl.beside {
			list = append(list, pl)
		}
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
		for ; pl != nil; pl = pl.beside {
			pl.close()
		}
	}
}
