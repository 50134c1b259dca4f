package compiler

import (
	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
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
