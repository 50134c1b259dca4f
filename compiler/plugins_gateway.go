package compiler

import (
	"slices"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
)

// gatewayPlugins are the plugins that the gateway runs on some of its routes.
type gatewayPlugins struct {
	plugins []*pluginUse
	// plain are, by mesh, what all routes have where no plugin is limited further.
	plain map[string]*routePlugins
}

// routePlugins are the plugins of a route of the gateway; nil for none.
type routePlugins struct {
	names   snapshot.List[string] // sorted
	service string                // that of the route, where filters are to know
	input   any                   // the same for a memo
}

func (r *routePlugins) list() snapshot.List[string] {
	if r == nil {
		return snapshot.List[string]{}
	}
	return r.names
}

// fill says on a route of the gateway what runs on it.
func (r *routePlugins) fill(to *snapshot.Route) {
	if r != nil {
		to.Filters, to.Service = r.names, r.service
	}
}

// equal reports whether r and o are the same plugins for the same service.
func (r *routePlugins) equal(o *routePlugins) bool {
	return r == o || r != nil && o != nil && r.input == o.input
}

// appendInput adds what a memo of something made with r depends on.
func (r *routePlugins) appendInput(inputs []any) []any {
	if r == nil {
		return inputs
	}
	return append(inputs, r.input)
}

// attachGatewayPlugins gives the gateway its plugins: to its listener where all
// that it serves is of their mesh and they are for all of it, else to the routes
// that they are for.
func (b *build) attachGatewayPlugins() {
	var own []*pluginUse
	g := gatewayPlugins{plain: map[string]*routePlugins{}}
	meshes := b.gatewayMeshes()
	whole := func(p *pluginUse) bool {
		return p.services == nil && p.routes == nil && (len(meshes) == 0 || len(meshes) == 1 && meshes[p.doc.Mesh])
	}
	var passed []*pluginUse
	var there []*plugin
	for _, p := range b.plugins {
		switch {
		case !p.listensTo(snapshot.Gateway) || !p.selects([]map[string]string{gatewayTags}):
		case p.speaks(snapshot.HTTP):
			own, there = append(own, p), append(there, p.plugin)
			if !whole(p) {
				g.plugins = append(g.plugins, p)
			}
		case p.guards():
			passed = append(passed, p)
		}
	}
	for _, p := range passed {
		p.leave("the gateway", there)
	}
	if len(g.plugins) > 0 {
		g.attach(b)
	}
	for _, p := range own {
		if f := p.filter; whole(p) || p.routed {
			p.attached = true
			f.PerRoute = p.routed
			b.gatewayFilters = append(b.gatewayFilters, f)
		}
	}
}

// gatewayMeshes returns the meshes of the services that the gateway serves.
func (b *build) gatewayMeshes() map[string]bool {
	meshes := map[string]bool{}
	last := ""
	for _, h := range b.hosts { // sorted by mesh, so that few are looked up
		if h.service.mesh != last {
			last = h.service.mesh
			meshes[last] = true
		}
	}
	for _, h := range b.routeHosts {
		for _, r := range h.routes {
			meshes[r.service.mesh] = true
		}
		if h.owner != nil {
			meshes[h.owner.service.mesh] = true
		}
	}
	return meshes
}

// attach gives every route of the gateway its plugins.
func (g *gatewayPlugins) attach(b *build) {
	for _, h := range b.hosts {
		h.plugins = g.of(h.service, "")
	}
	for _, h := range b.routeHosts {
		for i := range h.routes {
			r := &h.routes[i]
			r.plugins = g.of(r.service, r.doc.Name)
		}
		if h.owner != nil {
			h.owner.plugins = g.of(h.owner.service, "")
		}
	}
}

// of returns the plugins of a route to s, which is the one of Kong's of that
// name, or "" where it is none.
func (g *gatewayPlugins) of(s *service, route string) *routePlugins {
	if r, known := g.plain[s.mesh]; known {
		return r
	}
	var names []string
	plain := true
	for _, p := range g.plugins {
		if p.doc.Mesh != s.mesh {
			continue
		}
		plain = plain && p.services == nil && p.routes == nil
		if (p.services == nil || p.services[s.name]) && (p.routes == nil || p.routes[route]) {
			p.routed = true
			names = append(names, p.filter.Ref())
		}
	}
	var r *routePlugins
	if len(names) > 0 {
		slices.Sort(names)
		r = &routePlugins{names: snapshot.ListOf(names...), input: strings.Join(names, " ")} // no name has a blank
	}
	if plain {
		g.plain[s.mesh] = r
	}
	return r
}
