package envoy

import (
	"fmt"
	"math"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshc/meshc/compiler/snapshot"
)

// NoEndpoints is the name of the cluster that stands for no target at all. A
// service cannot have it, for it holds a slash.
const NoEndpoints = "meshc/no-endpoints"

// httpOptions is the key and the type of a cluster's HTTP settings.
const httpOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

// Cluster returns the CDS resource of c. Its endpoints come over EDS under
// the cluster's own name, or stand in the cluster when assignment is set, as
// they must where they are host names.
func Cluster(c snapshot.Cluster, assignment *endpointv3.ClusterLoadAssignment) (*clusterv3.Cluster, error) {
	out := &clusterv3.Cluster{
		Name:           c.Name,
		ConnectTimeout: durationpb.New(time.Duration(c.ConnectTimeout)),
		CircuitBreakers: &clusterv3.CircuitBreakers{
			Thresholds: []*clusterv3.CircuitBreakers_Thresholds{unlimited()},
		},
	}
	switch c.Balancing {
	case snapshot.RoundRobin:
		out.LbPolicy = clusterv3.Cluster_ROUND_ROBIN
	case snapshot.ClientIP:
		out.LbPolicy = clusterv3.Cluster_RING_HASH
	default:
		return nil, fmt.Errorf("balancing %q has no form in Envoy", c.Balancing)
	}
	switch {
	case assignment == nil:
		out.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS}
		out.EdsClusterConfig = &clusterv3.Cluster_EdsClusterConfig{EdsConfig: overADS()}
	case c.Discovery == snapshot.DNS:
		out.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STRICT_DNS}
		// A name with both kinds of address, as localhost has, is more often
		// served on the IPv4 one.
		out.DnsLookupFamily = clusterv3.Cluster_V4_PREFERRED
		out.LoadAssignment = assignment
	default:
		out.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
		out.LoadAssignment = assignment
	}
	if c.HTTP2 || c.Protocol == snapshot.HTTP {
		speaks := http1()
		if c.HTTP2 {
			speaks = http2()
		}
		options, err := pack(speaks)
		if err != nil {
			return nil, err
		}
		out.TypedExtensionProtocolOptions = map[string]*anypb.Any{httpOptions: options}
	}
	return checked(out)
}

// EmptyCluster returns the NoEndpoints cluster: a connection to it is closed.
func EmptyCluster() (*clusterv3.Cluster, error) {
	return Cluster(snapshot.Cluster{
		Name: NoEndpoints, Protocol: snapshot.TCP, Discovery: snapshot.Static,
		Balancing: snapshot.RoundRobin, ConnectTimeout: snapshot.Duration(time.Second),
	}, &endpointv3.ClusterLoadAssignment{ClusterName: NoEndpoints})
}

// unlimited lifts Envoy's circuit breakers. Left alone they allow 1,024
// connections and 3 concurrent retries a cluster, which nobody asked for.
func unlimited() *clusterv3.CircuitBreakers_Thresholds {
	return &clusterv3.CircuitBreakers_Thresholds{
		MaxConnections:     wrapperspb.UInt32(math.MaxUint32),
		MaxPendingRequests: wrapperspb.UInt32(math.MaxUint32),
		MaxRequests:        wrapperspb.UInt32(math.MaxUint32),
		MaxRetries:         wrapperspb.UInt32(math.MaxUint32),
	}
}

func http1() *httpv3.HttpProtocolOptions {
	return &httpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{
					HttpProtocolOptions: &corev3.Http1ProtocolOptions{EnableTrailers: true},
				},
			},
		},
	}
}

// http2 is what filters' own calls speak; bytes that a TCP listener forwards
// are not touched by it.
func http2() *httpv3.HttpProtocolOptions {
	return &httpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
					Http2ProtocolOptions: &corev3.Http2ProtocolOptions{},
				},
			},
		},
	}
}
