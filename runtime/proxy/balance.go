package proxy

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
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
	endpoints      []*endpoint
	dns            *dnsCluster // in place of endpoints
	state          *clusterState
	spec, set      snapshot.Digest // what it was made of
}

// endpoint is one address of a cluster.
type endpoint struct {
	pool     *pool
	hostname string
	hash     uint64
}

func newEndpoint(p *pool, hostname string) *endpoint {
	h := fnv.New64a()
	h.Write([]byte(p.text))
	return &endpoint{pool: p, hostname: hostname, hash: h.Sum64()}
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
	return endpoints[(c.state.next.Add(1)-1)%uint64(len(endpoints))]
}

// rendezvous chooses the endpoint whose hash, mixed with the client's, is
// highest: when an endpoint leaves, only its own clients move.
func rendezvous(endpoints []*endpoint, client uint64) *endpoint {
	var best *endpoint
	var highest uint64
	for _, e := range endpoints {
		if h := mix(e.hash ^ client); best == nil || h > highest {
			best, highest = e, h
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
