package envoy

import (
	"cmp"
	"fmt"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
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
}

// Bootstrap returns a configuration file that holds all of s and needs no
// xDS server: what came over EDS, ECDS and RDS stands in the clusters and
// listeners that asked for it. `envoy --mode validate` judges it with Envoy's own code.
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
	static := &bootstrapv3.Bootstrap_StaticResources{}
	for _, c := range s.Clusters {
		if c.GetType() == clusterv3.Cluster_EDS {
			c = proto.CloneOf(c)
			c.LoadAssignment = assignments[cmp.Or(c.GetEdsClusterConfig().GetServiceName(), c.GetName())]
			c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
			c.EdsClusterConfig = nil
		}
		static.Clusters = append(static.Clusters, c)
	}
	for _, l := range s.Listeners {
		if l.GetName() == TrialListener {
			continue // there is no update that it would go before
		}
		l, err := whole(l, routes, extensions)
		if err != nil {
			return nil, fmt.Errorf("listener %q: %w", l.GetName(), err)
		}
		static.Listeners = append(static.Listeners, l)
	}
	return &bootstrapv3.Bootstrap{
		Node:            &corev3.Node{Id: nodeID, Cluster: "meshc"},
		StaticResources: static,
	}, nil
}

// whole returns l with the routes that it would ask for over RDS and the
// filters that it would ask for over ECDS.
func whole(l *listenerv3.Listener, routes map[string]*routev3.RouteConfiguration, extensions map[string]*anypb.Any) (*listenerv3.Listener, error) {
	l = proto.CloneOf(l)
	for _, chain := range l.FilterChains {
		for _, f := range chain.Filters {
			if f.GetConfigDiscovery() != nil {
				f.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: extensions[f.Name]}
			}
			hcm := &hcmv3.HttpConnectionManager{}
			if !f.GetTypedConfig().MessageIs(hcm) {
				continue
			}
			if err := f.GetTypedConfig().UnmarshalTo(hcm); err != nil {
				return l, err
			}
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
