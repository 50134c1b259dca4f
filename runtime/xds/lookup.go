package xds

import (
	"slices"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/xds/envoy"
)

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

// uses reports whether one of v's clusters asks for the endpoint set.
func (g *generation) uses(v *view, set string) bool {
	i, ok := g.endpointSet(set)
	return ok && (v.has(g.users[i].first) || slices.ContainsFunc(g.users[i].more, v.has))
}

// endpointSet returns the index of an endpoint set in the snapshot.
func (g *generation) endpointSet(name string) (int, bool) {
	return indexOf(g.snap.Endpoints, name, func(e snapshot.EndpointSet) string { return e.Name })
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
