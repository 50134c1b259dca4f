package proxy

import (
	"cmp"
	"context"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/cespare/xxhash/v2"

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
	// key is the name or, where one proxy's certificate is shown on its
	// connections, that and the proxy.
	key            string
	owner          string // that proxy, else ""
	transports     map[string]*secured
	name           string
	service        string
	connectTimeout time.Duration
	maxDuration    time.Duration // of each try; 0 for no bound
	writeTimeout   time.Duration // of connections of HTTP/1.1; 0 for no bound
	thresholds     snapshot.Thresholds
	balancing      balancing
	idleTimeout    time.Duration // of pooled connections
	outliers       snapshot.Outliers
	errors         []uint32 // statuses that count as errors; nil for those from 500 on
	checks         []check
	checksDigest   snapshot.Digest
	members
	dns       *dnsCluster // in place of members
	udp       bool        // its endpoints take datagrams
	http2     bool        // its endpoints speak HTTP/2
	state     *clusterState
	fresh     bool            // state is of no generation before
	inherited bool            // state is that of a cluster of another name, which goes
	spec, set snapshot.Digest // what it was made of
	setName   string
}

// known returns the endpoints that c has, as far as names are resolved.
func (c *cluster) known() []*endpoint {
	if c.dns == nil {
		return c.endpoints
	}
	if last := c.dns.last.Load(); last != nil {
		return last.endpoints
	}
	return nil
}

// endpoint is one address of a cluster.
type endpoint struct {
	pool     *pool
	standing *standing
	hostname string
	hash     uint64
	weight   uint32
	priority uint32
}

func newEndpoint(p *pool, spec snapshot.Endpoint) *endpoint {
	h := fnv.New64a()
	h.Write([]byte(p.text))
	return &endpoint{pool: p, standing: p.standing, hostname: spec.Hostname, hash: h.Sum64(), weight: max(spec.Weight, 1), priority: spec.Priority}
}

// discard ends the idle connections that c does not share with what serves.
func (c *cluster) discard() {
	for _, e := range c.endpoints {
		if !c.state.has(e.pool) {
			e.pool.close()
		}
	}
	if c.fresh {
		c.state.close()
	}
}

// balancing is how a cluster chooses.
type balancing struct {
	snapshot.Balancing
	choices     int
	ring        snapshot.Ring
	panic       uint32
	failOnPanic bool
}

func newBalancing(spec snapshot.Cluster) balancing {
	return balancing{
		spec.Balancing, int(cmp.Or(spec.Choices, 2)), spec.Ring, min(spec.Panic, 100), spec.FailOnPanic,
	}
}

// mayWait reports whether pick waits for the first checks of endpoints: of a
// cluster's first endpoints for all, as Envoy's clusters warm, later only where
// there is nothing else to choose.
func (c *cluster) mayWait() bool { return c.state.checker.unjudged.Load() > 0 }

func (c *cluster) await(ctx context.Context, m *members, v *view) *view {
	for c.mayWait() && (len(v.endpoints) == 0 || !c.state.checker.ready.Load()) && c.state.checker.wait(ctx) {
		v = m.view(c)
	}
	return v
}

// pick chooses an endpoint for client, nil where there is none. It waits only
// where names were never resolved, or mayWait.
func (c *cluster) pick(ctx context.Context, client uint64) *endpoint {
	m := &c.members
	if c.dns != nil {
		m = c.dns.resolve(ctx)
	}
	v := m.view(c)
	if c.mayWait() {
		v = c.await(ctx, m, v)
	}
	if v.levels != nil {
		v = v.levels.choose(c.balancing.hashes(), client)
	}
	switch len(v.endpoints) {
	case 0:
		return nil
	case 1:
		return v.endpoints[0]
	}
	switch c.balancing.Balancing {
	case snapshot.ClientIP:
		return rendezvous(v.endpoints, client, v.below != nil)
	case snapshot.RingHash:
		return v.endpoints[v.ring.choose(client)]
	case snapshot.Maglev:
		return v.endpoints[v.maglev.choose(client)]
	case snapshot.Random:
		return v.endpoints[rand.IntN(len(v.endpoints))]
	case snapshot.LeastRequest:
		return v.leastRequest(c)
	}
	return v.inTurn(c.state.next.Add(1) - 1)
}

// rendezvous chooses the endpoint whose hash, mixed with the client's, is
// highest: when an endpoint leaves, only its own clients move. Where weights
// differ, the hash is taken for a random number u and -weight/log(u) counts.
func rendezvous(endpoints []*endpoint, client uint64, weighted bool) *endpoint {
	if weighted {
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

// clientHash is what a client is known by: Envoy's hash of a source address.
func clientHash(a netip.Addr) uint64 {
	var b [64]byte
	return xxhash.Sum64(a.Unmap().AppendTo(b[:0]))
}

// mix is the finaliser of SplitMix64.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
