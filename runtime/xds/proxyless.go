package xds

import (
	"fmt"
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/xds/envoy"
)

// isProxyless reports whether a client is a gRPC library by what it calls
// itself, such as "gRPC Go" or "gRPC Java". It wants listeners without a socket.
func isProxyless(userAgent string) bool {
	return len(userAgent) >= 4 && strings.EqualFold(userAgent[:4], "gRPC")
}

// proxyless returns what a gRPC client without a proxy gets as the node id: the
// HTTP outbounds of that proxy, each as a listener called after its service, and
// after SERVICE:PORT. Of two outbounds of one service the first has the bare name.
// It is old where that is still right, and nil where no proxy has this id.
func (g *generation) proxyless(id string, old *view) (*view, error) {
	p, ok := byName(g.snap.Proxies, id, func(p snapshot.Proxy) string { return p.ID })
	if !ok {
		return nil, nil
	}
	if old == nil || !old.proxyless {
		old = &view{}
	}
	v := &view{digest: p.Digest, proxyless: true}
	for _, name := range clustersOf(p) {
		r, err := g.proxylessCluster(name)
		if err != nil {
			return nil, fmt.Errorf("cluster %q: %w", name, err)
		}
		if r == nil {
			v.unusable = append(v.unusable, name)
			continue
		}
		v.clusters = append(v.clusters, name)
		v.raw[cluster] = append(v.raw[cluster], r)
	}
	if old.digest != p.Digest || p.Digest.IsZero() || !slices.Equal(v.unusable, old.unusable) {
		if err := v.outbounds(p); err != nil {
			return nil, fmt.Errorf("proxy %s: %w", id, err)
		}
		return v, nil
	}
	v.listeners, v.routes = old.listeners, old.routes
	if slices.EqualFunc(v.raw[cluster], old.raw[cluster], func(a, b *resource) bool { return a.name == b.name && a.version == b.version }) {
		return old, nil
	}
	return v, nil
}

// outbounds fills in the listeners and routes of p.
func (v *view) outbounds(p snapshot.Proxy) error {
	usable := func(t snapshot.Target) bool {
		_, not := slices.BinarySearch(v.unusable, t.Cluster)
		return !not
	}
	for _, l := range p.Listeners.All() {
		if l.Direction != snapshot.Outbound || l.Protocol != snapshot.HTTP || l.Service == "" {
			continue
		}
		routes := &routev3.RouteConfiguration{Name: l.Name}
		for _, h := range l.VirtualHosts.All() {
			host, err := envoy.ProxylessHost(h, usable)
			if err != nil {
				return fmt.Errorf("listener %q: %w", l.Name, err)
			}
			routes.VirtualHosts = append(routes.VirtualHosts, host)
		}
		r, err := encode(route, l.Name, nil, routes)
		if err != nil {
			return err
		}
		v.routes = append(v.routes, r)
		for _, name := range []string{l.Service, fmt.Sprintf("%s:%d", l.Service, l.Port)} {
			m, err := envoy.APIListener(name, l.Name)
			if err != nil {
				return err
			}
			r, err := encode(listener, name, []reference{{route, l.Name}}, m)
			if err != nil {
				return err
			}
			v.listeners = append(v.listeners, r)
		}
	}
	byName := func(a, b *resource) int { return strings.Compare(a.name, b.name) }
	slices.SortStableFunc(v.listeners, byName)
	v.listeners = slices.CompactFunc(v.listeners, func(a, b *resource) bool { return a.name == b.name })
	slices.SortFunc(v.routes, byName)
	return nil
}

// clustersOf returns the clusters that p's HTTP outbounds lead to, sorted.
func clustersOf(p snapshot.Proxy) []string {
	var out []string
	for _, l := range p.Listeners.All() {
		if l.Direction != snapshot.Outbound || l.Protocol != snapshot.HTTP {
			continue
		}
		for _, h := range l.VirtualHosts.All() {
			for _, r := range h.Routes.All() {
				for _, t := range r.Targets.All() {
					out = append(out, t.Cluster)
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// proxylessCluster returns the cluster as gRPC takes it; nil where it cannot.
func (g *generation) proxylessCluster(name string) (*resource, error) {
	c, ok := byName(g.snap.Clusters, name, func(c snapshot.Cluster) string { return c.Name })
	if !ok {
		return nil, nil
	}
	var set snapshot.EndpointSet
	if i, ok := g.endpointSet(c.EndpointsName()); ok {
		set = g.snap.Endpoints.At(i)
	}
	m, err := envoy.ProxylessCluster(c, set)
	if m == nil || err != nil {
		return nil, err
	}
	var asks []reference
	if m.EdsClusterConfig != nil {
		asks = []reference{{endpoint, c.EndpointsName()}}
	}
	return encode(cluster, name, asks, proto.Message(m))
}
