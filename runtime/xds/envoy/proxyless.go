package envoy

import (
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/meshc/meshc/compiler/snapshot"
)

// What a gRPC client that has no proxy gets: resources of the same types, of
// which it knows a part (gRPC proposal A27 and those that extend it).

// APIListener returns the LDS resource that a gRPC client asks for by the name
// it dials; its routes come over RDS as routes.
func APIListener(name, routes string) (*listenerv3.Listener, error) {
	filters, err := httpFilters(nil)
	if err != nil {
		return nil, err
	}
	manager, err := pack(&hcmv3.HttpConnectionManager{
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{ConfigSource: overADS(), RouteConfigName: routes}},
		StatPrefix:     statPrefix.Replace(name),
		HttpFilters:    filters,
	})
	if err != nil {
		return nil, err
	}
	return checked(&listenerv3.Listener{Name: name, ApiListener: &listenerv3.ApiListener{ApiListener: manager}})
}

// ProxylessHost returns v without what gRPC does not have, the filters of its
// routes and most ways to hash, with the targets that are usable, and with its time-outs where gRPC looks
// for them. A route without targets fails at once.
func ProxylessHost(v snapshot.VirtualHost, usable func(snapshot.Target) bool) (*routev3.VirtualHost, error) {
	routes := v.Routes.Slice()
	for i := range routes {
		routes[i].Filters = snapshot.List[string]{}
		routes[i].Hash = snapshot.ListOf(slices.DeleteFunc(routes[i].Hash.Slice(), func(k snapshot.HashKey) bool { return k.Header == "" })...)
		var targets []snapshot.Target
		for _, t := range routes[i].Targets.All() {
			if usable(t) {
				targets = append(targets, t)
			}
		}
		routes[i].Targets = snapshot.ListOf(targets...)
	}
	v.Routes = snapshot.ListOf(routes...)
	out, err := VirtualHost(v, nil)
	if err != nil {
		return nil, err
	}
	for _, r := range out.Routes {
		if action := r.GetRoute(); action.GetTimeout().AsDuration() > 0 {
			action.MaxStreamDuration = &routev3.RouteAction_MaxStreamDuration{MaxStreamDuration: action.Timeout}
		}
	}
	return checked(out)
}

// ProxylessCluster returns c as gRPC takes it, or nil where it cannot: with TLS,
// for which gRPC wants certificates of its own configuration, or with several
// names to look up. It balances by turns where it does not know the way.
func ProxylessCluster(c snapshot.Cluster, set snapshot.EndpointSet) (*clusterv3.Cluster, error) {
	if c.Transports.Len() > 0 || c.Discovery == snapshot.DNS && set.Endpoints.Len() != 1 {
		return nil, nil
	}
	switch {
	case c.Balancing == snapshot.Random, c.Balancing == snapshot.Maglev, c.Ring.Hash == "MURMUR_HASH_2":
		c.Balancing, c.Ring = snapshot.RoundRobin, snapshot.Ring{}
	}
	if c.Discovery != snapshot.DNS {
		return Cluster(c, nil)
	}
	assignment, err := ClusterLoadAssignment(set, c.Discovery)
	if err != nil {
		return nil, err
	}
	out, err := Cluster(c, assignment)
	if err != nil {
		return nil, err
	}
	out.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_LOGICAL_DNS}
	out.LbPolicy, out.LbConfig = clusterv3.Cluster_ROUND_ROBIN, nil
	return checked(out)
}
