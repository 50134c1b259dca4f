package envoy

import (
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meshc/meshc/compiler/snapshot"
)

// NoEndpoints is the name of the cluster that stands for no target at all. A
// service cannot have it, for it holds a slash.
const NoEndpoints = "meshc/no-endpoints"

// httpOptions is the key and the type of a cluster's HTTP settings.
const httpOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

// Cluster returns the CDS resource of c. Its endpoints come over EDS under
// c.EndpointsName, or stand in the cluster when assignment is set, as they
// must where they are host names.
func Cluster(c snapshot.Cluster, assignment *endpointv3.ClusterLoadAssignment) (*clusterv3.Cluster, error) {
	out := &clusterv3.Cluster{
		Name:           c.Name,
		ConnectTimeout: durationpb.New(time.Duration(c.ConnectTimeout)),
		CircuitBreakers: &clusterv3.CircuitBreakers{
			Thresholds: []*clusterv3.CircuitBreakers_Thresholds{thresholds(c.Thresholds)},
		},
		OutlierDetection: outlierDetection(c.Outliers),
		CommonLbConfig:   panicMode(c),
		// Left alone, Envoy keeps an endpoint that is gone while its checks hold.
		IgnoreHealthOnHostRemoval: c.Checks.Len() > 0,
	}
	if c.WriteTimeout > 0 {
		out.UpstreamBindConfig = &corev3.BindConfig{SocketOptions: []*corev3.SocketOption{writeTimeout(c.WriteTimeout)}}
	}
	if err := balance(out, c); err != nil {
		return nil, err
	}
	switch {
	case assignment == nil:
		out.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS}
		out.EdsClusterConfig = &clusterv3.Cluster_EdsClusterConfig{EdsConfig: overADS(), ServiceName: c.Endpoints}
	case c.Discovery == snapshot.DNS:
		out.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STRICT_DNS}
		// A name with both kinds of address, as localhost has, is more often
		// served on the IPv4 one.
		out.DnsLookupFamily = clusterv3.Cluster_V4_PREFERRED
		out.RespectDnsTtl = true
		out.LoadAssignment = assignment
	default:
		out.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
		out.LoadAssignment = assignment
	}
	var err error
	if out.TransportSocketMatches, err = transportSockets(c); err != nil {
		return nil, err
	}
	for i, check := range c.Checks.All() {
		h, err := healthCheck(c, i, check)
		if err != nil {
			return nil, err
		}
		out.HealthChecks = append(out.HealthChecks, h)
	}
	if c.HTTP2 || c.Protocol == snapshot.HTTP {
		options, err := pack(httpProtocol(c))
		if err != nil {
			return nil, err
		}
		out.TypedExtensionProtocolOptions = map[string]*anypb.Any{httpOptions: options}
	}
	return checked(out)
}

// writeTimeout is TCP_USER_TIMEOUT of Linux (tcp(7)), which counts in milliseconds.
func writeTimeout(limit snapshot.Duration) *corev3.SocketOption {
	const ipprotoTCP, tcpUserTimeout = 6, 18
	return &corev3.SocketOption{
		Description: "write timeout", Level: ipprotoTCP, Name: tcpUserTimeout, State: corev3.SocketOption_STATE_PREBIND,
		Value: &corev3.SocketOption_IntValue{IntValue: time.Duration(limit).Milliseconds()},
	}
}

// EmptyCluster returns the NoEndpoints cluster: a connection to it is closed.
func EmptyCluster() (*clusterv3.Cluster, error) {
	return Cluster(snapshot.Cluster{
		Name: NoEndpoints, Protocol: snapshot.TCP, Discovery: snapshot.Static,
		Balancing: snapshot.RoundRobin, ConnectTimeout: snapshot.Duration(time.Second),
	}, &endpointv3.ClusterLoadAssignment{ClusterName: NoEndpoints})
}

// httpProtocol returns what requests to c speak. Where c is TCP they are
// filters' own calls; bytes that a TCP listener forwards are not touched by it.
func httpProtocol(c snapshot.Cluster) *httpv3.HttpProtocolOptions {
	speaks := &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
		ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{
			HttpProtocolOptions: &corev3.Http1ProtocolOptions{EnableTrailers: true},
		},
	}
	if c.HTTP2 {
		speaks.ProtocolConfig = &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
			Http2ProtocolOptions: &corev3.Http2ProtocolOptions{},
		}
	}
	out := &httpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: speaks},
	}
	if c.IdleTimeout > 0 || c.MaxDuration > 0 {
		out.CommonHttpProtocolOptions = &corev3.HttpProtocolOptions{
			IdleTimeout:       given(c.IdleTimeout),
			MaxStreamDuration: given(c.MaxDuration),
		}
	}
	if c.Errors.Len() > 0 {
		out.OutlierDetection = &httpv3.HttpProtocolOptions_OutlierDetection{ErrorMatcher: statusIn(c.Errors)}
	}
	return out
}
