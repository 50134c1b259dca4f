package compiler

import (
	"cmp"
	"fmt"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/kuma"
)

// balances reports whether a route says how endpoints share the requests.
func balances(route *schema.Document) bool {
	return route != nil && route.Body.(*kuma.TrafficRoute).Conf.LoadBalancer != nil
}

// lowerBalancing sets how the endpoints of a cluster share the requests.
func lowerBalancing(c *snapshot.Cluster, l *kuma.LoadBalancer) {
	c.Balancing = snapshot.RoundRobin
	switch {
	case l.LeastRequest != nil:
		c.Balancing, c.Choices = snapshot.LeastRequest, l.LeastRequest.ChoiceCount
	case l.RingHash != nil:
		c.Balancing = snapshot.RingHash
		c.Ring = snapshot.Ring{Hash: l.RingHash.HashFunction, Min: l.RingHash.MinRingSize, Max: l.RingHash.MaxRingSize}
	case l.Random != nil:
		c.Balancing = snapshot.Random
	case l.Maglev != nil:
		c.Balancing = snapshot.Maglev
	}
}

// checkBalancer reports a ring of d that can have no size.
func (b *build) checkBalancer(d *schema.Document, l *kuma.LoadBalancer) {
	if l == nil || l.RingHash == nil || l.RingHash.MaxRingSize == 0 {
		return
	}
	low := cmp.Or(l.RingHash.MinRingSize, defaultRing)
	if low > l.RingHash.MaxRingSize {
		b.report(diag.CodeInvalid, diag.Error, d, []any{"conf", "loadBalancer", "ringHash", "maxRingSize"},
			fmt.Sprintf("the ring is to have at most %d entries, and at least %d", l.RingHash.MaxRingSize, low),
			fmt.Sprintf("make maxRingSize the larger one; minRingSize is %d where it is not written", defaultRing))
	}
}

// defaultRing is Envoy's own least size of a ring.
const defaultRing = 1024
