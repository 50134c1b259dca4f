package compiler

import (
	"slices"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
)

// attachGatewayUses gives the routes of the gateway the filters of the kinds,
// and its listener those that all routes have.
func (b *build) attachGatewayUses() {
	g := gatewayUses{
		b: b, of: map[*gatewayHost][]*use{}, known: map[*use]int{}, proxy: map[*Policy]*schema.Document{},
		outlooks: map[*ruleset]outlook{}, made: map[gatewayUse]*use{},
	}
	if !g.wanted() {
		return
	}
	var routes []func([]*use) // each adds to the plugins of one route
	var uses [][]*use
	add := func(h *gatewayHost, at **routePlugins) {
		uses = append(uses, g.uses(h))
		routes = append(routes, func(some []*use) { *at = (*at).with(some, h.service.name) })
	}
	for _, h := range b.hosts {
		add(h, &h.plugins)
	}
	for _, h := range b.routeHosts {
		for i := range h.routes {
			add(h.routes[i].target, &h.routes[i].plugins)
		}
		if h.owner != nil && !slices.Contains(b.hosts, h.owner) {
			add(h.owner, &h.owner.plugins)
		}
	}
	perRoute := func(u *use) bool { return u.routed || g.known[u] < len(routes) }
	for i, own := range uses {
		if len(own) > 0 {
			routes[i](slices.DeleteFunc(slices.Clone(own), func(u *use) bool { return !perRoute(u) }))
		}
	}
	for _, u := range g.order {
		f := u.filter
		f.PerRoute = perRoute(u)
		b.gatewayFilters = append(b.gatewayFilters, f)
	}
	b.note(g.order)
	b.gatewayFilters = b.c.orderFilters(b.gatewayFilters)
}

// gatewayUses finds the uses of the gateway's routes.
type gatewayUses struct {
	b     *build
	of    map[*gatewayHost][]*use
	known map[*use]int // how many routes have it
	order []*use       // as they were met
	// proxy is the document of each policy of the gateway as a proxy, which
	// takes one, whichever mesh it serves.
	proxy map[*Policy]*schema.Document
	// What has been looked up.
	outlooks map[*ruleset]outlook // of the gateway
	made     map[gatewayUse]*use
}

// wanted reports whether there may be any.
func (g *gatewayUses) wanted() bool {
	any := false
	for mesh := range g.b.meshes {
		g.b.eachPolicy(mesh, func(_, _ int, p *Policy, _ *ruleset) { any = any || p.Gateway && p.HTTP })
	}
	return any
}

// uses returns those of a route to h, and counts them.
func (g *gatewayUses) uses(h *gatewayHost) []*use {
	own, ok := g.of[h]
	if !ok {
		own = g.find(h)
		g.of[h] = own
	}
	for _, u := range own {
		if g.known[u]++; g.known[u] == 1 {
			g.order = append(g.order, u)
		}
	}
	return own
}

func (g *gatewayUses) find(h *gatewayHost) []*use {
	var own []*use
	tags := []map[string]string{gatewayTags}
	g.b.eachPolicy(h.service.mesh, func(kind, policy int, p *Policy, r *ruleset) {
		if !p.Gateway || !p.HTTP {
			return
		}
		o, known := g.outlooks[r]
		if !known {
			o = r.of(tags...)
			g.outlooks[r] = o
		}
		wrong := g.b.match(p, r, o, tags, h.service.name, h.targets, func(doc *schema.Document, cluster string) {
			if first := g.proxy[p]; p.Side == PerProxy && first != nil && first != doc {
				g.b.addOnce([]diag.Diagnostic{finding(diag.CodeNotApplied, diag.Warning, doc, []any{"type"},
					describe(doc)+" does not act at the gateway, which has one for all meshes", "select other proxies, or leave the other one out",
					diag.Related{Place: first.Place("type"), Message: "the one that it has"})})
				return
			} else if p.Side == PerProxy {
				g.proxy[p] = doc
			}
			u := g.use(gatewayUse{kind, policy, doc, cluster})
			if u.filter.Config == "" {
				g.b.note([]*use{u})
				return
			}
			own = append(own, u)
		})
		g.b.addOnce(wrong)
	})
	return own
}

// gatewayUse is a policy and the cluster that it is for alone.
type gatewayUse struct {
	kind, policy int
	doc          *schema.Document
	cluster      string
}

// use returns what k means at the gateway.
func (g *gatewayUses) use(k gatewayUse) *use {
	u := g.made[k]
	if u == nil {
		mesh := k.doc.Mesh
		key := useKey{k.kind, k.policy, k.doc, g.b.meshes[mesh], Attachment{
			Proxy: snapshot.GatewayID, MeshName: mesh, Service: snapshot.GatewayID, Direction: string(snapshot.Gateway), Cluster: k.cluster,
		}}
		u = g.b.c.uses.get(key, nil, func() *use { return g.b.makeUse(key) })
		g.made[k] = u
	}
	return u
}

// with returns r and, besides, the filters of uses, which are to know the
// service of the route.
func (r *routePlugins) with(uses []*use, service string) *routePlugins {
	names := r.list().Slice()
	for _, u := range uses {
		names = append(names, u.filter.Ref())
	}
	slices.Sort(names)
	return &routePlugins{names: snapshot.ListOf(names...), service: service, input: strings.Join(names, " ") + "\x00" + service}
}
