package envoy

import (
	"cmp"
	"net/netip"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
)

// The clusters of an Envoy that come from nowhere but its own configuration,
// and that what it is served may name.
const (
	// ServerCluster leads to the xDS server, which takes access logs as well.
	ServerCluster = "meshc"
	// AdminCluster leads to Envoy's own admin interface, for its metrics.
	AdminCluster = "envoy-admin"
)

// Connection says how an Envoy finds its xDS server.
type Connection struct {
	NodeID string
	// Service is what the Envoy calls itself in spans; the NodeID where it is empty.
	Service string
	// Host is an IP address or a DNS name.
	Host string
	Port uint16
	// Admin is where Envoy's admin interface listens.
	Admin netip.AddrPort
	// ServerCA, a file in PEM, holds the authority of the server's certificate,
	// which is for ServerName, or for Host where that is empty; empty for no TLS.
	ServerCA, ServerName string
	// Certificate and Key, files in PEM, are what the Envoy shows; empty for none.
	Certificate, Key string
	// StateOfTheWorld has it speak that protocol and not the delta one.
	StateOfTheWorld bool
}

// Bootstrap returns all that the Envoy has to be configured with by hand.
func (c Connection) Bootstrap() (*bootstrapv3.Bootstrap, error) {
	server, err := c.server()
	if err != nil {
		return nil, err
	}
	api := corev3.ApiConfigSource_DELTA_GRPC
	if c.StateOfTheWorld {
		api = corev3.ApiConfigSource_GRPC
	}
	admin := socketAddress(c.Admin.Addr().String(), c.Admin.Port())
	return &bootstrapv3.Bootstrap{
		Node:  &corev3.Node{Id: c.NodeID, Cluster: cmp.Or(c.Service, c.NodeID)},
		Admin: &bootstrapv3.Admin{Address: admin},
		DynamicResources: &bootstrapv3.Bootstrap_DynamicResources{
			AdsConfig: &corev3.ApiConfigSource{
				ApiType: api, TransportApiVersion: corev3.ApiVersion_V3, SetNodeOnFirstMessageOnly: true,
				GrpcServices: []*corev3.GrpcService{{
					TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: ServerCluster}},
				}},
			},
			LdsConfig: overADS(), CdsConfig: overADS(),
		},
		StaticResources: &bootstrapv3.Bootstrap_StaticResources{Clusters: []*clusterv3.Cluster{server, adminCluster(admin)}},
	}, nil
}

// adminCluster returns the AdminCluster, for an admin interface at this address.
func adminCluster(at *corev3.Address) *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name:                 AdminCluster,
		ConnectTimeout:       durationpb.New(time.Second),
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		LoadAssignment:       alone(AdminCluster, at),
	}
}

// server returns the cluster of the xDS server.
func (c Connection) server() (*clusterv3.Cluster, error) {
	options, err := pack(&httpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
			ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{Http2ProtocolOptions: &corev3.Http2ProtocolOptions{
				// Else a server that went without a word is waited for until TCP gives up.
				ConnectionKeepalive: &corev3.KeepaliveSettings{Interval: durationpb.New(30 * time.Second), Timeout: durationpb.New(10 * time.Second)},
			}},
		}},
	})
	if err != nil {
		return nil, err
	}
	out := &clusterv3.Cluster{
		Name:                          ServerCluster,
		ConnectTimeout:                durationpb.New(5 * time.Second),
		ClusterDiscoveryType:          &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STRICT_DNS},
		TypedExtensionProtocolOptions: map[string]*anypb.Any{httpOptions: options},
		LoadAssignment:                alone(ServerCluster, socketAddress(c.Host, c.Port)),
		// As for clusters: localhost has both kinds of address, and is served on this one.
		DnsLookupFamily: clusterv3.Cluster_V4_PREFERRED,
	}
	if _, err := netip.ParseAddr(c.Host); err == nil {
		out.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
	}
	if c.ServerCA == "" {
		return out, nil
	}
	out.TransportSocket, err = c.socket(cmp.Or(c.ServerName, c.Host))
	return out, err
}

// socket returns the TLS that leads to the server of this name.
func (c Connection) socket(name string) (*corev3.TransportSocket, error) {
	sni := name
	if _, err := netip.ParseAddr(name); err == nil {
		sni = "" // RFC 6066, 3: no addresses
	}
	common := &tlsv3.CommonTlsContext{
		AlpnProtocols: []string{"h2"},
		TlsParams:     tlsVersions(),
		ValidationContextType: &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{
			TrustedCa:                 inFile(c.ServerCA),
			MatchTypedSubjectAltNames: []*tlsv3.SubjectAltNameMatcher{serverName(name)},
		}},
	}
	if c.Certificate != "" {
		common.TlsCertificates = []*tlsv3.TlsCertificate{{CertificateChain: inFile(c.Certificate), PrivateKey: inFile(c.Key)}}
	}
	return overTLS(&tlsv3.UpstreamTlsContext{CommonTlsContext: common, Sni: sni})
}

func inFile(path string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: path}}
}

// alone returns the endpoints of a cluster with one.
func alone(cluster string, at *corev3.Address) *endpointv3.ClusterLoadAssignment {
	return &endpointv3.ClusterLoadAssignment{ClusterName: cluster, Endpoints: []*endpointv3.LocalityLbEndpoints{{
		LbEndpoints: []*endpointv3.LbEndpoint{{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{
			Endpoint: &endpointv3.Endpoint{Address: at},
		}}},
	}}}
}
