package proxy

import (
	"context"
	"hash/fnv"
	"math"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// split shares requests among clusters by weight.
type split struct {
	arms  []arm
	total uint64
}

// arm is one target; it gets the numbers under below that no arm before it has.
type arm struct {
	cluster *cluster
	below   uint64
	meter   *meter
}

// pick chooses an arm, at random by weight; nil where there is none. An arm
// whose cluster has no endpoint keeps its share, as in Envoy: a split is not
// failover.
func (s *split) pick() *arm {
	switch len(s.arms) {
	case 0:
		return nil
	case 1:
		return &s.arms[0]
	}
	n := rand.Uint64N(s.total)
	for i := range s.arms {
		if n < s.arms[i].below {
			return &s.arms[i]
		}
	}
	return nil // not reached: the last arm's below is the total
}

// cluster is a set of endpoints. A generation takes over the clusters that are
// as they were in the one before.
type cluster struct {
	name           string
	service        string
	clientIP       bool
	connectTimeout time.Duration
	thresholds     snapshot.Thresholds
	endpoints      []*endpoint
	dns            *dnsCluster // in place of endpoints
	http2          bool        // its endpoints speak HTTP/2, to calls of filters
	state          *clusterState
	fresh          bool            // state is of no generation before
	spec, set      snapshot.Digest // what it was made of
}

// size returns how many endpoints c has, as far as names are known.
func (c *cluster) size() int {
	if c.dns == nil {
		return len(c.endpoints)
	}
	if last := c.dns.last.Load(); last != nil {
		return len(last.endpoints)
	}
	return 0
}

// endpoint is one address of a cluster.
type endpoint struct {
	pool     *pool
	hostname string
	hash     uint64
	weight   uint32
	// below is the sum of the weights up to and with this one, where the
	// endpoints of the cluster differ in weight; else 0.
	below uint64
}

func newEndpoint(p *pool, spec snapshot.Endpoint) *endpoint {
	h := fnv.New64a()
	h.Write([]byte(p.text))
	return &endpoint{pool: p, hostname: spec.Hostname, hash: h.Sum64(), weight: max(spec.Weight, 1)}
}

// weigh fills in what the endpoints of a cluster must know of one another.
func weigh(endpoints []*endpoint) {
	if !slices.ContainsFunc(endpoints, func(e *endpoint) bool { return e.weight != endpoints[0].weight }) {
		return
	}
	sum := uint64(0)
	for _, e := range endpoints {
		sum += uint64(e.weight)
		e.below = sum
	}
}

// discard ends the idle connections that c does not share with what serves.
func (c *cluster) discard() {
	for _, e := range c.endpoints {
		if c.state.pool(e.pool.address) != e.pool {
			e.pool.close()
		}
	}
	if c.fresh {
		c.state.close()
	}
}

// pick chooses an endpoint for client, nil where there is none. It waits only
// where names were never resolved.
func (c *cluster) pick(ctx context.Context, client uint64) *endpoint {
	endpoints := c.endpoints
	if c.dns != nil {
		endpoints = c.dns.resolve(ctx)
	}
	switch {
	case len(endpoints) == 0:
		return nil
	case len(endpoints) == 1:
		return endpoints[0]
	case c.clientIP:
		return rendezvous(endpoints, client)
	}
	turn := c.state.next.Add(1) - 1
	if total := endpoints[len(endpoints)-1].below; total > 0 {
		return byTurn(endpoints, total, turn)
	}
	return endpoints[turn%uint64(len(endpoints))]
}

// byTurn is round robin by weight. The multiples of the golden ratio, modulo
// one, fall evenly on every part of the unit interval, however many there have
// been: so each endpoint gets its share all the time, and the number of the
// turn is all there is to remember.
func byTurn(endpoints []*endpoint, total, turn uint64) *endpoint {
	const goldenRatio = 0x9e3779b97f4a7c15 // its fractional part, times 2^64
	point, _ := bits.Mul64(turn*goldenRatio, total)
	i, _ := slices.BinarySearchFunc(endpoints, point, func(e *endpoint, point uint64) int {
		if e.below <= point {
			return -1
		}
		return 1
	})
	return endpoints[i]
}

// rendezvous chooses the endpoint whose hash, mixed with the client's, is
// highest: when an endpoint leaves, only its own clients move. Where weights
// differ, the hash is taken for a random number u and -weight/log(u) counts.
func rendezvous(endpoints []*endpoint, client uint64) *endpoint {
	if endpoints[len(endpoints)-1].below > 0 {
		return weightedRendezvous(endpoints, client)
	}
	var best *endpoint
	var highest uint64
	for _, e := range endpoints {
		if h := mix(e.hash ^ client); best == nil || h > highest {
			best, highest = e, h
		}
	}
	return best
}

func weightedRendezvous(endpoints []*endpoint, client uint64) *endpoint {
	var best *endpoint
	var highest float64
	for _, e := range endpoints {
		u := (float64(mix(e.hash^client)>>11) + 0.5) / (1 << 53) // 0 and 1 excluded
		if score := -float64(e.weight) / math.Log(u); best == nil || score > highest {
			best, highest = e, score
		}
	}
	return best
}

// clientHash is what ClientIP balancing knows a client by.
func clientHash(a netip.Addr) uint64 {
	b := a.Unmap().As16()
	h := fnv.New64a()
	h.Write(b[:])
	return mix(h.Sum64())
}

// mix is the finaliser of SplitMix64.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
