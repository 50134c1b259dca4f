package proxy

import (
	"math/bits"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/meshc/meshc/compiler/snapshot"
)

// members are the endpoints of a cluster, and those of them to choose from.
type members struct {
	endpoints []*endpoint

	newest   atomic.Pointer[view] // nil before the first choice
	renewing sync.Mutex
}

// view is what there is to choose from while nobody's health changes.
type view struct {
	version   uint64 // of the health it was made of
	endpoints []*endpoint
	below     []uint64 // sums of the weights up to and with each; nil where all are equal
	ring      ring
	maglev    maglev
	levels    *levels // to choose from in place of them; nil where all have one priority
}

// view returns what c chooses from now. Tables are made by the first who needs
// them; who comes meanwhile has the view before.
func (m *members) view(c *cluster) *view {
	version := c.state.health.Load()
	v := m.newest.Load()
	if v != nil && v.version == version {
		return v
	}
	if v == nil {
		m.renewing.Lock()
	} else if !m.renewing.TryLock() {
		return v
	}
	defer m.renewing.Unlock()
	if v = m.newest.Load(); v == nil || v.version != version {
		v = newView(c, v, m.endpoints, version)
		m.newest.Store(v)
	}
	return v
}

// newView makes the view of version; old may be nil.
func newView(c *cluster, old *view, all []*endpoint, version uint64) *view {
	if prioritised(all) {
		return newLevels(c, old, all, version)
	}
	return newLevel(c, old, c.balancing.eligible(all), version)
}

// newLevel makes a view of endpoints that are all to be chosen from; old may be nil.
func newLevel(c *cluster, old *view, endpoints []*endpoint, version uint64) *view {
	v := &view{version: version, endpoints: endpoints}
	if old != nil && slices.Equal(old.endpoints, v.endpoints) {
		v.below, v.ring, v.maglev = old.below, old.ring, old.maglev
		return v
	}
	v.below = sums(v.endpoints)
	if len(v.endpoints) > 1 {
		switch c.balancing.Balancing {
		case snapshot.RingHash:
			v.ring = newRing(v.endpoints, c.balancing.ring)
		case snapshot.Maglev:
			v.maglev = newMaglev(v.endpoints, maglevSize)
		}
	}
	return v
}

// overprovisioning is the factor, in percent, by which a cluster has more
// endpoints than it needs, as Envoy sees it: it does not panic while the
// healthy ones times the factor make all.
const overprovisioning = 140

// eligible returns those of all that may be chosen: the healthy ones, or all
// where too few are.
func (b *balancing) eligible(all []*endpoint) []*endpoint {
	healthy := 0
	for _, e := range all {
		if e.standing.healthy() {
			healthy++
		}
	}
	n := len(all)
	switch {
	case healthy == n:
		return all
	case healthy*overprovisioning/n < 100 && healthy*100 < int(b.panic)*n:
		if b.failOnPanic && !b.hashes() {
			return nil
		}
		return all
	}
	out := make([]*endpoint, 0, healthy)
	for _, e := range all {
		if e.standing.healthy() {
			out = append(out, e)
		}
	}
	return out
}

// hashes reports whether the client decides. Then Envoy does not know FailOnPanic.
func (b *balancing) hashes() bool {
	return b.Balancing == snapshot.RingHash || b.Balancing == snapshot.Maglev || b.Balancing == snapshot.ClientIP
}

// sums returns the running sums of the weights, or nil where all are equal.
func sums(endpoints []*endpoint) []uint64 {
	if !slices.ContainsFunc(endpoints, func(e *endpoint) bool { return e.weight != endpoints[0].weight }) {
		return nil
	}
	out := make([]uint64, len(endpoints))
	sum := uint64(0)
	for i, e := range endpoints {
		sum += uint64(e.weight)
		out[i] = sum
	}
	return out
}

// goldenRatio is the fractional part of the golden ratio, times 2^64. Its
// multiples, modulo one, fall evenly on every part of the unit interval,
// however many there have been.
const goldenRatio = 0x9e3779b97f4a7c15

// inTurn is round robin, by weight: each endpoint gets its share all the time,
// and the number of the turn is all there is to remember.
func (v *view) inTurn(turn uint64) *endpoint {
	if v.below == nil {
		return v.endpoints[turn%uint64(len(v.endpoints))]
	}
	point, _ := bits.Mul64(turn*goldenRatio, v.below[len(v.below)-1])
	i, _ := slices.BinarySearchFunc(v.below, point, func(below, point uint64) int {
		if below <= point {
			return -1
		}
		return 1
	})
	return v.endpoints[i]
}

// leastRequest chooses the least loaded of a few taken at random, and, where
// weights differ, each by its weight over what it has in flight (Envoy's rules).
func (v *view) leastRequest(c *cluster) *endpoint {
	if v.below != nil {
		return v.byLoad(c.state.next.Add(1) - 1)
	}
	var best *endpoint
	var least int64
	for range c.balancing.choices {
		e := v.endpoints[rand.IntN(len(v.endpoints))]
		if load := e.standing.active.Load(); best == nil || load < least {
			best, least = e, load
		}
	}
	return best
}

// maxLooks bounds how many endpoints byLoad looks at.
const maxLooks = 64

// byLoad is inTurn with each weight divided by the requests in flight plus
// one. Of many endpoints it looks at some: at those of the next turns, which
// come by weight, so that only their load is left to weigh.
func (v *view) byLoad(turn uint64) *endpoint {
	looks := min(len(v.endpoints), maxLooks)
	at := func(i int) (*endpoint, float64) {
		if len(v.endpoints) <= maxLooks {
			e := v.endpoints[i]
			return e, float64(e.weight)
		}
		return v.inTurn(turn*maxLooks + uint64(i)), 1
	}
	var shares [maxLooks]float64
	total := 0.0
	for i := range looks {
		e, share := at(i)
		shares[i] = share / float64(max(e.standing.active.Load(), 0)+1)
		total += shares[i]
	}
	point := float64(turn*goldenRatio>>11) / (1 << 53) * total
	for i := range looks - 1 {
		if point -= shares[i]; point < 0 {
			e, _ := at(i)
			return e
		}
	}
	e, _ := at(looks - 1)
	return e
}
