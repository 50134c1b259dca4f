package envoy

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	grpcv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// Set is everything that one Envoy gets, each part sorted by name.
type Set struct {
	Clusters   []*clusterv3.Cluster
	Endpoints  []*endpointv3.ClusterLoadAssignment
	Extensions []*corev3.TypedExtensionConfig
	Listeners  []*listenerv3.Listener
	Routes     []*routev3.RouteConfiguration
	// Secrets are what comes over SDS. The content is in no Set.
	Secrets []Secret
	// Admin is where Envoy's admin interface is to listen, if ShowsMetrics.
	Admin netip.AddrPort
}

// ShowsMetrics reports whether a route leads to the AdminCluster.
func (s Set) ShowsMetrics() bool {
	for _, c := range s.Routes {
		for _, h := range c.VirtualHosts {
			for _, r := range h.Routes {
				if r.GetRoute().GetCluster() == AdminCluster {
					return true
				}
			}
		}
	}
	return false
}

// Bootstrap returns a configuration file that holds all of s and needs no
// xDS server: what came over EDS, ECDS and RDS stands in the clusters and
// listeners that asked for it, and secrets are files (Secret.Files) that are
// not there. `envoy --mode validate` judges it with Envoy's own code.
func (s Set) Bootstrap(nodeID string) (*bootstrapv3.Bootstrap, error) {
	assignments := map[string]*endpointv3.ClusterLoadAssignment{}
	for _, a := range s.Endpoints {
		assignments[a.ClusterName] = a
	}
	routes := map[string]*routev3.RouteConfiguration{}
	for _, r := range s.Routes {
		routes[r.Name] = r
	}
	extensions := map[string]*anypb.Any{}
	for _, e := range s.Extensions {
		extensions[e.Name] = e.TypedConfig
	}
	resources := &bootstrapv3.Bootstrap_StaticResources{}
	for _, c := range s.Clusters {
		if c.GetType() == clusterv3.Cluster_EDS {
			c = proto.CloneOf(c)
			c.LoadAssignment = assignments[cmp.Or(c.GetEdsClusterConfig().GetServiceName(), c.GetName())]
			c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
			c.EdsClusterConfig = nil
		}
		if len(c.TransportSocketMatches) > 0 {
			c = proto.CloneOf(c)
			for _, m := range c.TransportSocketMatches {
				if err := static(m.TransportSocket, &tlsv3.UpstreamTlsContext{}); err != nil {
					return nil, fmt.Errorf("cluster %q: %w", c.GetName(), err)
				}
			}
		}
		resources.Clusters = append(resources.Clusters, c)
	}
	for _, l := range s.Listeners {
		if l.GetName() == TrialListener {
			continue // there is no update that it would go before
		}
		l, err := whole(l, routes, extensions)
		if err != nil {
			return nil, fmt.Errorf("listener %q: %w", l.GetName(), err)
		}
		resources.Listeners = append(resources.Listeners, l)
	}
	for _, secret := range s.Secrets {
		if !secret.Raw {
			resources.Secrets = append(resources.Secrets, secret.inFiles())
		}
	}
	out := &bootstrapv3.Bootstrap{
		Node:            &corev3.Node{Id: nodeID, Cluster: "meshc"},
		StaticResources: resources,
	}
	if s.ShowsMetrics() {
		if !s.Admin.IsValid() {
			return nil, errors.New("the metrics need an admin interface, and there is no address for it")
		}
		admin := socketAddress(s.Admin.Addr().String(), s.Admin.Port())
		out.Admin = &bootstrapv3.Admin{Address: admin}
		resources.Clusters = append(resources.Clusters, adminCluster(admin))
	}
	return out, nil
}

// whole returns l with the routes that it would ask for over RDS and the
// filters that it would ask for over ECDS.
func whole(l *listenerv3.Listener, routes map[string]*routev3.RouteConfiguration, extensions map[string]*anypb.Any) (*listenerv3.Listener, error) {
	l = proto.CloneOf(l)
	for _, chain := range l.FilterChains {
		if chain.TransportSocket != nil {
			if err := static(chain.TransportSocket, &tlsv3.DownstreamTlsContext{}); err != nil {
				return l, err
			}
		}
		for _, f := range chain.Filters {
			if f.GetConfigDiscovery() != nil {
				f.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: extensions[f.Name]}
			}
			tcp, hcm := &tcpv3.TcpProxy{}, &hcmv3.HttpConnectionManager{}
			if f.GetTypedConfig().MessageIs(tcp) {
				if err := f.GetTypedConfig().UnmarshalTo(tcp); err != nil {
					return l, err
				}
				tcp.AccessLog = ofItsOwn(tcp.AccessLog)
				config, err := pack(tcp)
				if err != nil {
					return l, err
				}
				f.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: config}
			}
			if !f.GetTypedConfig().MessageIs(hcm) {
				continue
			}
			if err := f.GetTypedConfig().UnmarshalTo(hcm); err != nil {
				return l, err
			}
			hcm.AccessLog = ofItsOwn(hcm.AccessLog)
			hcm.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{
				RouteConfig: routes[hcm.GetRds().GetRouteConfigName()],
			}
			for _, h := range hcm.HttpFilters {
				if h.GetConfigDiscovery() != nil {
					h.ConfigType = &hcmv3.HttpFilter_TypedConfig{TypedConfig: extensions[h.Name]}
				}
			}
			config, err := pack(hcm)
			if err != nil {
				return l, err
			}
			f.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: config}
		}
	}
	return l, nil
}

// LeftOut says in sentences what a static configuration of s lacks, or finds
// only where somebody puts it.
func (s Set) LeftOut() []string {
	var out []string
	for _, secret := range s.Secrets {
		if secret.Raw {
			out = append(out, fmt.Sprintf("secret %s: a ProxyTemplate holds it", secret.Name))
			continue
		}
		out = append(out, fmt.Sprintf("secret %s: Envoy reads it from %s", secret.Name, strings.Join(secret.Files(), " and ")))
	}
	for _, l := range s.Listeners {
		for _, chain := range l.FilterChains {
			for _, f := range chain.Filters {
				tcp, hcm := &tcpv3.TcpProxy{}, &hcmv3.HttpConnectionManager{}
				// What is neither has no access log.
				_ = f.GetTypedConfig().UnmarshalTo(tcp)
				_ = f.GetTypedConfig().UnmarshalTo(hcm)
				for _, log := range append(tcp.AccessLog, hcm.AccessLog...) {
					if toServer(log) {
						out = append(out, fmt.Sprintf("access log %s of listener %s: it needs an xDS server", log.Name, l.Name))
					}
				}
			}
		}
	}
	return out
}

// ofItsOwn returns the access loggers that need no xDS server to write.
func ofItsOwn(logs []*accesslogv3.AccessLog) []*accesslogv3.AccessLog {
	return slices.DeleteFunc(logs, func(l *accesslogv3.AccessLog) bool { return toServer(l) })
}

// toServer reports whether l sends what it logs to the xDS server.
func toServer(l *accesslogv3.AccessLog) bool {
	return l.GetTypedConfig().MessageIs(&grpcv3.HttpGrpcAccessLogConfig{}) || l.GetTypedConfig().MessageIs(&grpcv3.TcpGrpcAccessLogConfig{})
}

// static lets a socket, of which context is the type, find its secrets in the
// file that it stands in.
func static(socket *corev3.TransportSocket, context interface {
	message
	GetCommonTlsContext() *tlsv3.CommonTlsContext
}) error {
	if err := socket.GetTypedConfig().UnmarshalTo(context); err != nil {
		return err
	}
	common := context.GetCommonTlsContext()
	for _, s := range common.GetTlsCertificateSdsSecretConfigs() {
		s.SdsConfig = nil
	}
	if s := common.GetCombinedValidationContext().GetValidationContextSdsSecretConfig(); s != nil {
		s.SdsConfig = nil
	}
	config, err := pack(context)
	socket.ConfigType = &corev3.TransportSocket_TypedConfig{TypedConfig: config}
	return err
}
