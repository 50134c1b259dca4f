package xds

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/xds/envoy"
)

// Resources returns all that an Envoy with the node id proxyID gets of snap,
// with its gateway's listeners at gatewayAddr and gatewayTLSAddr and its filters
// made by filter, all as in Config. They are read back from the bytes that a Server would send. Of
// secrets there are the names alone.
func Resources(snap snapshot.Snapshot, proxyID, gatewayAddr, gatewayTLSAddr string, filter FilterFunc) (envoy.Set, error) {
	var set envoy.Set
	gateway, err := parseGateway(gatewayAddr, gatewayTLSAddr)
	if err != nil {
		return set, err
	}
	p, ok := byName(snap.Proxies, proxyID, func(p snapshot.Proxy) string { return p.ID })
	if !ok {
		return set, fmt.Errorf("the snapshot has no proxy %q", proxyID)
	}
	snap.Proxies = snapshot.ListOf(p)
	g, err := build(context.Background(), snap, gateway, filter, &generation{})
	if err != nil {
		return set, err
	}
	v := g.views[proxyID]
	var errs [kinds]error
	set.Clusters, errs[cluster] = decode[clusterv3.Cluster](g, v, cluster)
	set.Endpoints, errs[endpoint] = decode[endpointv3.ClusterLoadAssignment](g, v, endpoint)
	set.Extensions, errs[extension] = decode[corev3.TypedExtensionConfig](g, v, extension)
	set.Listeners, errs[listener] = decode[listenerv3.Listener](g, v, listener)
	set.Routes, errs[route] = decode[routev3.RouteConfiguration](g, v, route)
	set.Secrets = g.secrets(v)
	return set, errors.Join(errs[:]...)
}

// secrets returns what all of v's listeners and clusters ask for over SDS,
// sorted by name.
func (g *generation) secrets(v *view) []envoy.Secret {
	var out []envoy.Secret
	for _, l := range v.listeners {
		out = append(out, l.secrets...)
	}
	for _, name := range v.clusters {
		out = append(out, g.clusterOf(v, name).secrets...)
	}
	for _, r := range v.raw[secret] {
		out = append(out, envoy.Secret{Name: r.name, Raw: true})
	}
	slices.SortFunc(out, func(a, b envoy.Secret) int { return strings.Compare(a.Name, b.Name) })
	return slices.Compact(out)
}

// decode returns v's resources of kind k, whose messages are of type M.
func decode[M any, P interface {
	*M
	proto.Message
}](g *generation, v *view, k kind) ([]*M, error) {
	var out []*M
	for _, name := range g.names(v, k) {
		r := g.lookup(v, k, name)
		if r == nil {
			continue // a cluster that holds its endpoints itself
		}
		a, m := &anypb.Any{}, P(new(M))
		if err := proto.Unmarshal(r.any, a); err != nil {
			return nil, err
		}
		if err := a.UnmarshalTo(m); err != nil {
			return nil, err
		}
		out = append(out, (*M)(m))
	}
	return out, nil
}
