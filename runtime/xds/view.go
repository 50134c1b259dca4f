package xds

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/xds/envoy"
)

// view is what one proxy gets. Of clusters it holds the names alone: their
// content belongs to the generation, and changes far more often.
type view struct {
	digest     snapshot.Digest
	proxyless  bool        // for a gRPC client, which has no proxy
	unusable   []string    // clusters that such a client cannot use, sorted
	parts      []*part     // one a listener, sorted by name
	extensions []*resource // sorted by name
	listeners  []*resource // sorted by name
	routes     []*resource // sorted by name
	clusters   []string    // sorted, every cluster that a listener, filter or route names
	// raw are resources as their author wrote them. Those of extensions,
	// listeners and routes stand among the others too.
	raw [kinds][]*resource
}

// part is a listener and what hangs on it.
type part struct {
	digest    snapshot.Digest
	name      string
	direction snapshot.Direction
	listener  *resource
	routes    *resource       // nil for TCP
	clusters  []string        // of targets, with duplicates
	filters   []*filterConfig // in the order in which they run
	attached  envoy.Attached  // what filters come to in the listener
	calls     []string        // clusters that filters call, with duplicates
	perRoute  map[string]envoy.RouteFilter
	// hosts holds each virtual host on the wire, so that one that changes
	// among ten thousand costs one.
	hosts map[snapshot.Digest][]byte
}

// newView builds p's view, with the parts of old, p's view until now or nil,
// that are still right. It returns every mistake, each with its place.
func newView(snap *snapshot.Snapshot, p snapshot.Proxy, gateway envoy.Gateway, configs *filterConfigs, old *view) (*view, error) {
	v := &view{digest: p.Digest}
	var errs []error
	type socket struct {
		netip.AddrPort
		udp bool
	}
	bound := map[socket]string{}
	versions := map[string]string{} // of extensions, by name
	listeners := p.Listeners
	if p.RawOnly {
		listeners = snapshot.List[snapshot.Listener]{}
	}
	for _, l := range listeners.All() {
		if l.Name == snapshot.GatewayTLS && !gateway.TLSAddr.IsValid() {
			continue
		}
		part, err := newPart(snap, p.ID, l, gateway, configs, old.part(l.Name))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if ip, err := netip.ParseAddr(l.Address); err == nil {
			at := socket{netip.AddrPortFrom(ip, l.Port), l.Protocol == snapshot.UDP}
			if other, ok := bound[at]; ok {
				errs = append(errs, place(snap, l.Sources, fmt.Errorf("proxy %s: listener %q: %s is taken by listener %q", p.ID, l.Name, at.AddrPort, other)))
			}
			bound[at] = l.Name
		}
		v.parts = append(v.parts, part)
		v.listeners = append(v.listeners, part.listener)
		if part.routes != nil {
			v.routes = append(v.routes, part.routes)
		}
		v.clusters = append(append(v.clusters, part.clusters...), part.calls...)
		for i, c := range part.filters {
			if c.resource == nil {
				continue
			}
			switch versions[c.name] {
			case "":
				versions[c.name] = c.version
				v.extensions = append(v.extensions, c.resource)
			case c.version:
			default:
				errs = append(errs, place(snap, l.Filters.At(i).Sources, fmt.Errorf("proxy %s: listener %q: filter %q is configured otherwise in another listener", p.ID, l.Name, l.Filters.At(i).Name)))
			}
		}
	}
	slices.SortFunc(v.parts, func(a, b *part) int { return strings.Compare(a.name, b.name) })
	if trial, err := v.trial(); err != nil {
		errs = append(errs, fmt.Errorf("proxy %s: %w", p.ID, err))
	} else if trial != nil {
		v.listeners = append(v.listeners, trial)
	}
	for _, list := range [][]*resource{v.extensions, v.listeners, v.routes} {
		slices.SortFunc(list, func(a, b *resource) int { return strings.Compare(a.name, b.name) })
	}
	var err error
	if v.raw, err = rawOf(p); err != nil {
		errs = append(errs, place(snap, p.Raw.At(0).Sources, err))
	}
	for _, c := range v.raw[cluster] {
		v.clusters = append(v.clusters, c.name)
	}
	v.extensions = overlaid(v.extensions, v.raw[extension])
	v.listeners = overlaid(v.listeners, v.raw[listener])
	v.routes = overlaid(v.routes, v.raw[route])
	slices.Sort(v.clusters)
	v.clusters = slices.Compact(v.clusters)
	return v, errors.Join(errs...)
}

func newPart(snap *snapshot.Snapshot, proxy string, l snapshot.Listener, gateway envoy.Gateway, configs *filterConfigs, old *part) (*part, error) {
	if old != nil && old.digest == l.Digest && !l.Digest.IsZero() {
		return old, nil
	}
	fail := func(sources snapshot.List[string], err error) error {
		return place(snap, sources, fmt.Errorf("proxy %s: listener %q: %w", proxy, l.Name, err))
	}
	p := &part{digest: l.Digest, name: l.Name, direction: l.Direction}
	var err error
	if err = p.filtersOf(l, configs, fail); err != nil {
		return nil, err
	}
	m, err := envoy.Listener(l, gateway, p.attached)
	if err != nil {
		return nil, fail(l.Sources, err)
	}
	var asks []reference
	if l.Protocol == snapshot.HTTP {
		asks = append(asks, reference{route, l.Name})
	}
	for _, u := range p.attached.Uses {
		asks = append(asks, reference{extension, u.Name})
	}
	if p.listener, err = encode(listener, l.Name, asks, m); err != nil {
		return nil, fail(l.Sources, err)
	}
	if l.TLS != "" {
		p.listener.needs(envoy.MeshSecrets(l.TLS))
	}
	for _, t := range l.Targets.All() {
		p.clusters = append(p.clusters, t.Cluster)
	}
	for _, c := range l.Chains.All() {
		p.listener.needs(envoy.ChainSecrets(c))
		for _, t := range c.Targets.All() {
			p.clusters = append(p.clusters, t.Cluster)
		}
	}
	if envoy.Guarded(l) {
		p.clusters = append(p.clusters, envoy.NoEndpoints)
	}
	if l.Protocol != snapshot.HTTP {
		if l.Targets.Len() == 0 {
			p.clusters = append(p.clusters, envoy.NoEndpoints)
		}
		return p, nil
	}
	wire, errs := []byte(nil), []error(nil)
	if wire, err = proto.Marshal(&routev3.RouteConfiguration{Name: l.Name}); err != nil {
		return nil, fail(l.Sources, err)
	}
	p.hosts = make(map[snapshot.Digest][]byte, l.VirtualHosts.Len())
	if old != nil && !maps.Equal(old.perRoute, p.perRoute) {
		old = nil // a route's names of filters have another meaning
	}
	domains := map[string]string{}
	for _, h := range l.VirtualHosts.All() {
		b, err := hostBytes(h, p.perRoute, old)
		if err != nil {
			errs = append(errs, fail(h.Sources, fmt.Errorf("virtual host %q: %w", h.Name, err)))
			continue
		}
		for _, d := range h.Domains.All() {
			if other, ok := domains[d]; ok {
				errs = append(errs, fail(h.Sources, fmt.Errorf("virtual host %q: domain %q is also that of virtual host %q", h.Name, d, other)))
			}
			domains[d] = h.Name
		}
		for _, r := range h.Routes.All() {
			for _, t := range r.Targets.All() {
				p.clusters = append(p.clusters, t.Cluster)
			}
		}
		p.hosts[h.Digest] = b
		// Messages of one type, one after the other, are their union.
		wire = appendBytes(wire, routeConfigurationVirtualHosts, b)
	}
	p.routes = newResource(route, l.Name, versionOf(wire), wire)
	return p, errors.Join(errs...)
}

const routeConfigurationVirtualHosts = 2 // the field's number

// hostBytes returns h on the wire, from old where it has not changed.
func hostBytes(h snapshot.VirtualHost, perRoute map[string]envoy.RouteFilter, old *part) ([]byte, error) {
	if old != nil && !h.Digest.IsZero() {
		if b, ok := old.hosts[h.Digest]; ok {
			return b, nil
		}
	}
	m, err := envoy.VirtualHost(h, perRoute)
	if err != nil {
		return nil, err
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

// part returns v's part for a listener, or nil. v may be nil.
func (v *view) part(listener string) *part {
	if v == nil {
		return nil
	}
	i, ok := slices.BinarySearchFunc(v.parts, listener, func(p *part, name string) int {
		return strings.Compare(p.name, name)
	})
	if !ok {
		return nil
	}
	return v.parts[i]
}

// has reports whether v names the cluster. v may be nil.
func (v *view) has(cluster string) bool {
	if v == nil {
		return false
	}
	_, ok := slices.BinarySearch(v.clusters, cluster)
	return ok
}
