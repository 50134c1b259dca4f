package xds

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/xds/envoy"
)

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
	gone := namesGone(old.clusters, g.clusters)
	for _, p := range snap.Proxies.All() {
		v := g.views[p.ID]
		if v != old.views[p.ID] || len(gone) > 0 && slices.ContainsFunc(v.clusters, func(name string) bool { return gone[name] }) {
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

// namesGone returns the names that are in before alone; both are sorted.
func namesGone(before, after []*resource) map[string]bool {
	gone := map[string]bool{}
	i := 0
	for _, r := range before {
		for i < len(after) && after[i] != r && after[i].name < r.name {
			i++
		}
		if i == len(after) || after[i] != r && after[i].name != r.name {
			gone[r.name] = true
		}
	}
	return gone
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
