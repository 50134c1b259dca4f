package xds

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/xds/envoy"
)

// generation is one snapshot in the form that streams serve. It does not
// change once it serves; generations form a list, each with what differs from
// the one before, so that a stream that was busy adds up what it missed.
type generation struct {
	snap snapshot.Snapshot
	// ready is false of the generation before the first snapshot: an Envoy
	// that outlived the server must not be told that it has nothing.
	ready     bool
	views     map[string]*view // by proxy ID
	entries   []entry          // one a cluster of the snapshot, in its order
	clusters  []*resource      // sorted by name
	endpoints []*resource      // sorted by name, of clusters that use EDS
	filters   map[snapshot.Digest]*filterConfig

	superseded chan struct{} // closed when there is a next
	// Both are set before superseded is closed and before the next one serves.
	next    *generation
	changed [2][]string // by kind: clusters, endpoints that next has anew or otherwise
}

// entry remembers what a cluster's resources were made from.
type entry struct {
	cluster, endpoints   snapshot.Digest
	inline               bool
	clusterRes, assigned *resource // assigned is nil when inline
}

func (e entry) madeFrom(o entry) bool {
	return e.cluster == o.cluster && e.endpoints == o.endpoints && e.inline == o.inline &&
		!e.cluster.IsZero() && !e.endpoints.IsZero()
}

// noEndpoints is the cluster of listeners without targets.
var noEndpoints = sync.OnceValue(func() *resource {
	m, err := envoy.EmptyCluster()
	if err != nil {
		panic(fmt.Sprintf("xds: the empty cluster: %v", err)) // a constant of ours
	}
	r, err := encode(cluster, envoy.NoEndpoints, nil, m)
	if err != nil {
		panic(fmt.Sprintf("xds: the empty cluster: %v", err))
	}
	return r
})

// build makes a generation of snap. What has the digest that it has in old is
// taken from there. It returns every mistake, each with its place.
func build(ctx context.Context, snap snapshot.Snapshot, gateway netip.AddrPort, filter FilterFunc, old *generation) (*generation, error) {
	g := &generation{snap: snap, ready: true, views: map[string]*view{}, superseded: make(chan struct{})}
	var errs []error
	inline := map[string]bool{}
	configs := &filterConfigs{snap: &snap, make: filter, known: maps.Clone(old.filters)}
	if configs.known == nil {
		configs.known = map[snapshot.Digest]*filterConfig{}
	}
	g.filters = map[snapshot.Digest]*filterConfig{}
	for _, p := range snap.Proxies.All() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		v := old.views[p.ID]
		if v == nil || v.digest != p.Digest || p.Digest.IsZero() {
			var err error
			if v, err = newView(&snap, p, gateway, configs, v); err != nil {
				errs = append(errs, err)
			}
		}
		g.views[p.ID] = v
		for _, part := range v.parts {
			for _, name := range part.clusters {
				if part.direction == snapshot.Inbound {
					inline[name] = true
				}
			}
			for _, c := range part.filters {
				g.filters[c.from] = c
			}
		}
	}
	if err := g.buildClusters(ctx, inline, old); err != nil {
		errs = append(errs, err)
	}
	for _, p := range snap.Proxies.All() {
		if v := g.views[p.ID]; v != old.views[p.ID] || !sameNames(g.clusters, old.clusters) {
			errs = append(errs, g.checkReferences(p.ID, v))
		}
	}
	return g, errors.Join(errs...)
}

// buildClusters fills entries, clusters and endpoints. inline names the
// clusters whose endpoints stand in them though they could come over EDS.
func (g *generation) buildClusters(ctx context.Context, inline map[string]bool, old *generation) error {
	var errs []error
	n := g.snap.Clusters.Len()
	g.entries = make([]entry, 0, n)
	g.clusters = make([]*resource, 0, n)
	g.endpoints = make([]*resource, 0, n)
	before, sets := 0, 0 // how far old's clusters and the endpoint sets have been read
	for i, c := range g.snap.Clusters.All() {
		if i%256 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if i > 0 && c.Name <= g.snap.Clusters.At(i-1).Name {
			return fmt.Errorf("the snapshot's clusters are not sorted: %q", c.Name)
		}
		for sets < g.snap.Endpoints.Len() && g.snap.Endpoints.At(sets).Name < c.Name {
			sets++
		}
		if sets == g.snap.Endpoints.Len() || g.snap.Endpoints.At(sets).Name != c.Name {
			errs = append(errs, place(&g.snap, c.Sources, fmt.Errorf("cluster %q has no endpoint set", c.Name)))
			continue
		}
		eps := g.snap.Endpoints.At(sets)
		e := entry{cluster: c.Digest, endpoints: eps.Digest, inline: inline[c.Name] || c.Discovery == snapshot.DNS}
		for before < len(old.entries) && old.entries[before].clusterRes.name < c.Name {
			before++
		}
		var prior entry
		if before < len(old.entries) && old.entries[before].clusterRes.name == c.Name {
			prior = old.entries[before]
		}
		if err := e.make(c, eps, prior); err != nil {
			sources := c.Sources
			if sources.Len() == 0 {
				sources = eps.Sources
			}
			errs = append(errs, place(&g.snap, sources, fmt.Errorf("cluster %q: %w", c.Name, err)))
			continue
		}
		g.entries = append(g.entries, e)
		g.clusters = append(g.clusters, e.clusterRes)
		if e.assigned != nil {
			g.endpoints = append(g.endpoints, e.assigned)
		}
	}
	return errors.Join(errs...)
}

// make fills in the resources of e, which says what they are made from. Those
// of prior are kept as far as they are the same.
func (e *entry) make(c snapshot.Cluster, eps snapshot.EndpointSet, prior entry) error {
	if e.madeFrom(prior) {
		*e = prior
		return nil
	}
	var inline *endpointv3.ClusterLoadAssignment
	assignment, err := envoy.ClusterLoadAssignment(eps, c.Discovery)
	if err != nil {
		return err
	}
	var asks []reference
	if e.inline {
		inline = assignment
	} else if e.assigned, err = encode(endpoint, c.Name, nil, assignment); err != nil {
		return err
	} else {
		asks = []reference{{endpoint, c.Name}}
	}
	m, err := envoy.Cluster(c, inline)
	if err != nil {
		return err
	}
	if e.clusterRes, err = encode(cluster, c.Name, asks, m); err != nil {
		return err
	}
	e.clusterRes = kept(e.clusterRes, prior.clusterRes)
	e.assigned = kept(e.assigned, prior.assigned)
	return nil
}

// kept returns old where it is the same resource as r: other comments around
// the same content must not look like a change.
func kept(r, old *resource) *resource {
	if r != nil && old != nil && r.version == old.version && slices.Equal(r.asks, old.asks) {
		return old
	}
	return r
}

func sameNames(a, b []*resource) bool {
	return slices.EqualFunc(a, b, func(x, y *resource) bool { return x == y || x.name == y.name })
}

// checkReferences reports the clusters that v names and the snapshot has not.
// Envoy would take such a route and answer 503.
func (g *generation) checkReferences(proxy string, v *view) error {
	var errs []error
	for _, name := range v.clusters {
		if g.cluster(name) == nil {
			errs = append(errs, place(&g.snap, referrer(&g.snap, proxy, name),
				fmt.Errorf("proxy %s leads to cluster %q, which does not exist or has a mistake", proxy, name)))
		}
	}
	return errors.Join(errs...)
}

func (g *generation) cluster(name string) *resource {
	if name == envoy.NoEndpoints {
		return noEndpoints()
	}
	return find(g.clusters, name)
}

// lookup returns the resource that a proxy with view v has under name, or nil.
func (g *generation) lookup(v *view, k kind, name string) *resource {
	if v == nil {
		return nil
	}
	switch k {
	case cluster:
		if v.has(name) {
			return g.cluster(name)
		}
	case endpoint:
		if v.has(name) {
			return find(g.endpoints, name)
		}
	case extension:
		return find(v.extensions, name)
	case listener:
		return find(v.listeners, name)
	case route:
		return find(v.routes, name)
	}
	return nil
}

// names returns what a wildcard of kind k means to a proxy with view v, in
// order. lookup has nothing for some of them.
func (v *view) names(k kind) []string {
	if v == nil {
		return nil
	}
	var from []*resource
	switch k {
	case extension:
		from = v.extensions
	case listener:
		from = v.listeners
	case route:
		from = v.routes
	default:
		return v.clusters
	}
	out := make([]string, len(from))
	for i, r := range from {
		out[i] = r.name
	}
	return out
}

// follow makes next the generation after g.
func (g *generation) follow(next *generation) {
	g.changed = [2][]string{
		cluster:  difference(g.clusters, next.clusters),
		endpoint: difference(g.endpoints, next.endpoints),
	}
	g.next = next
}

// difference returns the names of what b, sorted as a is, has anew or otherwise.
func difference(a, b []*resource) []string {
	var out []string
	i := 0
	for _, r := range b {
		if i < len(a) && a[i] == r {
			i++
			continue
		}
		for i < len(a) && strings.Compare(a[i].name, r.name) < 0 {
			i++
		}
		if i == len(a) || a[i].name != r.name || a[i].version != r.version {
			out = append(out, r.name)
		}
	}
	return out
}
