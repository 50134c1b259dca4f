package xds

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/identity"
	"github.com/meshc/meshc/runtime/xds/envoy"
)

// generation is one snapshot in the form that streams serve. It does not
// change once it serves; generations form a list, each with what differs from
// the one before, so that a stream that was busy adds up what it missed.
type generation struct {
	snap snapshot.Snapshot
	// ready is false of the generation before the first snapshot: an Envoy
	// that outlived the server must not be told that it has nothing.
	ready       bool
	views       map[string]*view // by proxy ID
	entries     []entry          // one a cluster of the snapshot, in its order
	clusters    []*resource      // sorted by name
	users       []users          // of the snapshot's endpoint sets, in their order
	assignments []entry          // one an endpoint set with users
	endpoints   []*resource      // sorted by name, of assignments
	filters     map[snapshot.Digest]*filterConfig
	// identities hold the secrets of snap; nil where there are none.
	identities *identity.View
	// meant is what a view means by the names of secrets, by name, of the views
	// whose clients have asked: *view to map[string]envoy.Secret.
	meant sync.Map

	superseded chan struct{} // closed when there is a next
	// Both are set before superseded is closed and before the next one serves.
	next    *generation
	changed [2][]string // by kind: clusters, endpoints that next has anew or otherwise
}

// entry remembers what a resource was made from: a cluster, with its endpoints
// where they stand in it, or an endpoint set.
type entry struct {
	cluster, endpoints snapshot.Digest // zero for what it is not made from
	inline             bool
	resource           *resource
}

func (e entry) madeFrom(o entry) bool {
	return e.cluster == o.cluster && e.endpoints == o.endpoints && e.inline == o.inline &&
		!(e.cluster.IsZero() && e.endpoints.IsZero())
}

// users are the names of the clusters that ask for an endpoint set over EDS.
// Most sets have one.
type users struct {
	first string
	more  []string
}

func (u *users) add(cluster string) {
	if u.first == "" {
		u.first = cluster
	} else {
		u.more = append(u.more, cluster)
	}
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
func build(ctx context.Context, snap snapshot.Snapshot, gateway envoy.Gateway, filter FilterFunc, old *generation) (*generation, error) {
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
	for _, step := range []func() error{
		func() error { return g.buildClusters(ctx, inline, old) },
		func() error { return g.buildEndpoints(ctx, old) },
	} {
		if err := step(); err != nil {
			errs = append(errs, err)
		}
	}
	for _, p := range snap.Proxies.All() {
		if v := g.views[p.ID]; v != old.views[p.ID] || !sameNames(g.clusters, old.clusters) {
			errs = append(errs, g.checkReferences(p.ID, v))
		}
	}
	return g, errors.Join(errs...)
}

// buildClusters fills entries, clusters and users. inline names the clusters
// whose endpoints stand in them though they could come over EDS.
func (g *generation) buildClusters(ctx context.Context, inline map[string]bool, old *generation) error {
	var errs []error
	n := g.snap.Clusters.Len()
	g.entries = make([]entry, 0, n)
	g.clusters = make([]*resource, 0, n)
	g.users = make([]users, g.snap.Endpoints.Len())
	before, next := 0, 0 // how far old's clusters and the endpoint sets have been read
	for i, c := range g.snap.Clusters.All() {
		if i%256 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if i > 0 && c.Name <= g.snap.Clusters.At(i-1).Name {
			return fmt.Errorf("the snapshot's clusters are not sorted: %q", c.Name)
		}
		set, ok := 0, false
		if c.Endpoints != "" {
			set, ok = g.endpointSet(c.Endpoints)
		} else {
			for next < g.snap.Endpoints.Len() && g.snap.Endpoints.At(next).Name < c.Name {
				next++
			}
			set, ok = next, next < g.snap.Endpoints.Len() && g.snap.Endpoints.At(next).Name == c.Name
		}
		if !ok {
			errs = append(errs, place(&g.snap, c.Sources, fmt.Errorf("cluster %q has no endpoint set %q", c.Name, c.EndpointsName())))
			continue
		}
		eps := g.snap.Endpoints.At(set)
		e := entry{cluster: c.Digest, inline: inline[c.Name] || c.Discovery == snapshot.DNS}
		if e.inline {
			e.endpoints = eps.Digest
		} else {
			g.users[set].add(c.Name)
		}
		for before < len(old.entries) && old.entries[before].resource.name < c.Name {
			before++
		}
		var prior entry
		if before < len(old.entries) && old.entries[before].resource.name == c.Name {
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
		g.clusters = append(g.clusters, e.resource)
	}
	return errors.Join(errs...)
}

// make fills in the resource of e, which says what it is made from. That of
// prior is kept where it is the same.
func (e *entry) make(c snapshot.Cluster, eps snapshot.EndpointSet, prior entry) error {
	if e.madeFrom(prior) {
		*e = prior
		return nil
	}
	var inline *endpointv3.ClusterLoadAssignment
	var asks []reference
	var err error
	if !e.inline {
		asks = []reference{{endpoint, c.EndpointsName()}}
	} else if inline, err = envoy.ClusterLoadAssignment(eps, c.Discovery); err != nil {
		return err
	}
	m, err := envoy.Cluster(c, inline)
	if err != nil {
		return err
	}
	if e.resource, err = encode(cluster, c.Name, asks, m); err != nil {
		return err
	}
	for _, h := range c.Checks.All() {
		// Envoy answers when each endpoint has been checked once.
		e.resource.slow = max(e.resource.slow, time.Duration(h.Timeout+h.InitialJitter))
	}
	for _, t := range c.Transports.All() {
		e.resource.needs(envoy.TransportSecrets(t))
	}
	e.resource = kept(e.resource, prior.resource)
	return nil
}

// buildEndpoints fills assignments and endpoints: of the sets that a cluster
// asks for over EDS.
func (g *generation) buildEndpoints(ctx context.Context, old *generation) error {
	var errs []error
	n := g.snap.Endpoints.Len()
	g.assignments = make([]entry, 0, n)
	g.endpoints = make([]*resource, 0, n)
	before := 0
	for i, set := range g.snap.Endpoints.All() {
		if i%256 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if g.users[i].first == "" {
			continue
		}
		e := entry{endpoints: set.Digest}
		for before < len(old.assignments) && old.assignments[before].resource.name < set.Name {
			before++
		}
		var prior entry
		if before < len(old.assignments) && old.assignments[before].resource.name == set.Name {
			prior = old.assignments[before]
		}
		if e.madeFrom(prior) {
			e = prior
		} else if m, err := envoy.ClusterLoadAssignment(set, snapshot.Static); err != nil {
			errs = append(errs, place(&g.snap, set.Sources, fmt.Errorf("cluster %q: %w", set.Name, err)))
			continue
		} else if e.resource, err = encode(endpoint, set.Name, nil, m); err != nil {
			errs = append(errs, err)
			continue
		} else {
			e.resource = kept(e.resource, prior.resource)
		}
		g.assignments = append(g.assignments, e)
		g.endpoints = append(g.endpoints, e.resource)
	}
	return errors.Join(errs...)
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
		if g.clusterOf(v, name) == nil {
			errs = append(errs, place(&g.snap, referrer(&g.snap, proxy, name),
				fmt.Errorf("proxy %s leads to cluster %q, which does not exist or has a mistake", proxy, name)))
		}
	}
	return errors.Join(errs...)
}

// clusterOf is cluster for a proxy with view v, which may have its own.
func (g *generation) clusterOf(v *view, name string) *resource {
	if r := find(v.raw[cluster], name); r != nil {
		return r
	}
	return g.cluster(name)
}

func (g *generation) cluster(name string) *resource {
	if name == envoy.NoEndpoints {
		return noEndpoints()
	}
	return find(g.clusters, name)
}

// secret returns what v's listeners and clusters mean by the name of a secret.
func (g *generation) secret(v *view, name string) (envoy.Secret, bool) {
	if v == nil {
		return envoy.Secret{}, false
	}
	index, ok := g.meant.Load(v)
	if !ok {
		index, _ = g.meant.LoadOrStore(v, g.meanings(v))
	}
	of, ok := index.(map[string]envoy.Secret)[name]
	return of, ok
}

// meanings returns the secrets that v's listeners and clusters name, by name.
// Of two meanings the first counts.
func (g *generation) meanings(v *view) map[string]envoy.Secret {
	out := map[string]envoy.Secret{}
	add := func(r *resource) {
		if r == nil {
			return
		}
		for _, s := range r.secrets {
			if _, known := out[s.Name]; !known {
				out[s.Name] = s
			}
		}
	}
	for _, l := range v.listeners {
		add(l)
	}
	for _, c := range v.clusters {
		add(g.clusterOf(v, c))
	}
	return out
}

// lookup returns the resource that a proxy with view v has under name, or nil.
// Secrets are not the generation's: they change without it.
func (g *generation) lookup(v *view, k kind, name string) *resource {
	if v == nil {
		return nil
	}
	switch k {
	case cluster:
		if v.has(name) {
			return g.clusterOf(v, name)
		}
	case endpoint:
		if r := find(v.raw[endpoint], name); r != nil {
			return r
		}
		if g.uses(v, name) {
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

// uses reports whether one of v's clusters asks for the endpoint set.
func (g *generation) uses(v *view, set string) bool {
	i, ok := g.endpointSet(set)
	return ok && (v.has(g.users[i].first) || slices.ContainsFunc(g.users[i].more, v.has))
}

// endpointSet returns the index of an endpoint set in the snapshot.
func (g *generation) endpointSet(name string) (int, bool) {
	return indexOf(g.snap.Endpoints, name, func(e snapshot.EndpointSet) string { return e.Name })
}

// names returns what a wildcard of kind k means to a proxy with view v, in
// order. lookup has nothing for some of them.
func (g *generation) names(v *view, k kind) []string {
	if v == nil {
		return nil
	}
	var from []*resource
	switch k {
	case endpoint:
		var out []string
		for _, name := range v.clusters {
			if c := g.clusterOf(v, name); c != nil {
				for _, child := range c.asks {
					if child.kind == endpoint {
						out = append(out, child.name)
					}
				}
			}
		}
		for _, r := range v.raw[endpoint] {
			out = append(out, r.name)
		}
		slices.Sort(out)
		return slices.Compact(out)
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
