package envoy

import (
	"fmt"
	"math"
	"net/netip"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshc/meshc/compiler/snapshot"
)

// transportMatch is the metadata of an endpoint by which Envoy finds how to
// speak to it among the transport_socket_matches of its cluster.
const transportMatch = "envoy.transport_socket_match"

// transportLabels is what the metadata says of an endpoint that names a
// Transport, and what the match of that Transport asks for.
func transportLabels(transport string) *structpb.Struct {
	return &structpb.Struct{Fields: map[string]*structpb.Value{"transport": structpb.NewStringValue(transport)}}
}

// ClusterLoadAssignment returns the EDS resource of e, the endpoints of
// clusters with the given discovery. It keeps e's order, which is sorted.
func ClusterLoadAssignment(e snapshot.EndpointSet, d snapshot.Discovery) (*endpointv3.ClusterLoadAssignment, error) {
	var levels []*endpointv3.LocalityLbEndpoints // by priority
	weights := uint64(0)
	for _, ep := range e.Endpoints.All() {
		if _, err := netip.ParseAddr(ep.Address); err != nil && d != snapshot.DNS {
			return nil, fmt.Errorf("endpoint address %q is not an IP address", ep.Address)
		}
		if ep.Port == 0 {
			return nil, fmt.Errorf("endpoint %s: port must be 1 to 65535, not 0", ep.Address)
		}
		lb := &endpointv3.LbEndpoint{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{
				Address:  socketAddress(ep.Address, ep.Port),
				Hostname: ep.Hostname,
			}},
		}
		if ep.Hostname != "" {
			lb.GetEndpoint().HealthCheckConfig = &endpointv3.Endpoint_HealthCheckConfig{Hostname: ep.Hostname}
		}
		if ep.Transport != "" {
			lb.Metadata = &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{transportMatch: transportLabels(ep.Transport)}}
		}
		if ep.Weight > 0 {
			lb.LoadBalancingWeight = wrapperspb.UInt32(ep.Weight)
		}
		weights += uint64(max(ep.Weight, 1))
		if int64(ep.Priority) >= int64(e.Endpoints.Len()) {
			return nil, fmt.Errorf("endpoint %s has priority %d, and there are %d endpoints", ep.Address, ep.Priority, e.Endpoints.Len())
		}
		for uint32(len(levels)) <= ep.Priority {
			levels = append(levels, newLevel(uint32(len(levels))))
		}
		level := levels[ep.Priority]
		level.LbEndpoints = append(level.LbEndpoints, lb)
	}
	if len(levels) == 0 {
		levels = append(levels, newLevel(0))
	}
	if weights > math.MaxUint32 {
		return nil, fmt.Errorf("the weights of the endpoints add up to %d; Envoy takes %d at most", weights, uint32(math.MaxUint32))
	}
	return checked(&endpointv3.ClusterLoadAssignment{
		ClusterName: e.Name,
		Endpoints:   levels,
	})
}

// newLevel returns the endpoints of one priority, none yet. gRPC clients pass
// over a locality that is not set or weighs nothing.
func newLevel(priority uint32) *endpointv3.LocalityLbEndpoints {
	return &endpointv3.LocalityLbEndpoints{
		Locality: &corev3.Locality{}, LoadBalancingWeight: wrapperspb.UInt32(1), Priority: priority,
	}
}
