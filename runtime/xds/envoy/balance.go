package envoy

import (
	"fmt"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshc/meshc/compiler/snapshot"
)

// defaultRingSize is the smallest ring that Envoy makes where nobody says more.
const defaultRingSize = 1024

// balance fills in how out chooses among its endpoints.
func balance(out *clusterv3.Cluster, c snapshot.Cluster) error {
	switch c.Balancing {
	case snapshot.RoundRobin:
		out.LbPolicy = clusterv3.Cluster_ROUND_ROBIN
	case snapshot.LeastRequest:
		out.LbPolicy = clusterv3.Cluster_LEAST_REQUEST
		if c.Choices > 0 {
			out.LbConfig = &clusterv3.Cluster_LeastRequestLbConfig_{LeastRequestLbConfig: &clusterv3.Cluster_LeastRequestLbConfig{
				ChoiceCount: wrapperspb.UInt32(c.Choices),
			}}
		}
	case snapshot.Random:
		out.LbPolicy = clusterv3.Cluster_RANDOM
	case snapshot.Maglev:
		out.LbPolicy = clusterv3.Cluster_MAGLEV
	case snapshot.ClientIP:
		out.LbPolicy = clusterv3.Cluster_RING_HASH
	case snapshot.RingHash:
		out.LbPolicy = clusterv3.Cluster_RING_HASH
		ring, err := ringHash(c.Ring)
		if err != nil || ring == nil {
			return err
		}
		out.LbConfig = &clusterv3.Cluster_RingHashLbConfig_{RingHashLbConfig: ring}
	default:
		return fmt.Errorf("balancing %q has no form in Envoy", c.Balancing)
	}
	return nil
}

// ringHash returns nil for the zero Ring, which is Envoy's own.
func ringHash(r snapshot.Ring) (*clusterv3.Cluster_RingHashLbConfig, error) {
	if r == (snapshot.Ring{}) {
		return nil, nil
	}
	out := &clusterv3.Cluster_RingHashLbConfig{}
	switch r.Hash {
	case "", "XX_HASH":
	case "MURMUR_HASH_2":
		out.HashFunction = clusterv3.Cluster_RingHashLbConfig_MURMUR_HASH_2
	default:
		return nil, fmt.Errorf("hash function %q has no form in Envoy", r.Hash)
	}
	least := uint64(defaultRingSize)
	if r.Min > 0 {
		least = r.Min
		out.MinimumRingSize = wrapperspb.UInt64(r.Min)
	}
	if r.Max > 0 {
		out.MaximumRingSize = wrapperspb.UInt64(r.Max)
		// No field rule sees this, and Envoy refuses the cluster.
		if least > r.Max {
			return nil, fmt.Errorf("the ring's smallest size, %d, is larger than its largest, %d", least, r.Max)
		}
	}
	return out, nil
}

// panicMode says what becomes of requests when few endpoints are healthy: left
// alone, Envoy looks at health no more below 50 %.
func panicMode(c snapshot.Cluster) *clusterv3.Cluster_CommonLbConfig {
	if c.Checks.Len() == 0 && c.Outliers == (snapshot.Outliers{}) {
		return nil
	}
	out := &clusterv3.Cluster_CommonLbConfig{
		HealthyPanicThreshold: &typev3.Percent{Value: float64(c.Panic)},
	}
	if c.FailOnPanic {
		out.LocalityConfigSpecifier = &clusterv3.Cluster_CommonLbConfig_ZoneAwareLbConfig_{
			ZoneAwareLbConfig: &clusterv3.Cluster_CommonLbConfig_ZoneAwareLbConfig{FailTrafficOnPanic: true},
		}
	}
	return out
}
