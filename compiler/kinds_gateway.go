package compiler

import (
	"slices"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
)

// gatewayUses finds the uses of the gateway's routes.
type gatewayUses struct {
	b      *build
	routes []gatewayRouteUses
	order  []*gatewayUse // those that a route has, as they were met
	// proxy is the document of each policy of the gateway as a proxy, which
	// takes one, whichever mesh it serves.
	proxy    map[*Policy]*schema.Document
	outlooks map[*ruleset]outlook // of the gateway, that have been looked up
}

// gatewayRouteUses are those of one route.
type gatewayRouteUses struct {
	at      **routePlugins
	service string
	match   *gatewayMatch
	own     []*gatewayUse
}

// gatewayMatch is which policies apply to a passage of the gateway. It is kept
// from compile to compile, as the passage is, and found anew when its mesh or
// what its stamps count changed.
type gatewayMatch struct {
	mesh           *schema.Document
	stamp, targets int
	matched        []*gatewayUse // in order
	wrong          []diag.Diagnostic
	// filters are what base, which may be nil, became with those of routed.
	base, filters *routePlugins
	routed        []*gatewayUse
}

// gatewayUse is a use of the gateway, the same for all routes that have it.
type gatewayUse struct {
	*use
	policy *Policy
	doc    *schema.Document
	// The compile that asked for it last, and how many routes had it then.
	round  uint64
	routes int
}

// attachGatewayUses gives the routes of the gateway the filters of the kinds,
// and its listener those that all routes have.
func (b *build) attachGatewayUses() {
	g := gatewayUses{b: b, proxy: map[*Policy]*schema.Document{}, outlooks: map[*ruleset]outlook{}}
	if !g.wanted() {
		return
	}
	g.routes = make([]gatewayRouteUses, 0, len(b.hosts))
	for _, h := range b.hosts {
		g.add(h, &h.plugins)
	}
	for _, h := range b.routeHosts {
		for i := range h.routes {
			g.add(h.routes[i].target, &h.routes[i].plugins)
		}
		if h.owner != nil && !slices.Contains(b.hosts, h.owner) {
			g.add(h.owner, &h.owner.plugins)
		}
	}
	for i := range g.routes {
		if r := &g.routes[i]; len(r.own) > 0 {
			*r.at = r.match.with(*r.at, r.own, r.service, g.perRoute)
		}
	}
	uses := make([]*use, len(g.order))
	for i, u := range g.order {
		f := u.filter
		f.PerRoute = g.perRoute(u)
		b.gatewayFilters = append(b.gatewayFilters, f)
		uses[i] = u.use
	}
	b.note(uses)
	b.gatewayFilters = b.c.orderFilters(b.gatewayFilters)
}

// perRoute reports whether u is on the routes that have it, and not on the
// listener as a whole.
func (g *gatewayUses) perRoute(u *gatewayUse) bool { return u.routed || u.routes < len(g.routes) }

// wanted reports whether there may be any.
func (g *gatewayUses) wanted() bool {
	any := false
	for mesh := range g.b.meshes {
		g.b.eachPolicy(mesh, func(_, _ int, p *Policy, _ *ruleset) { any = any || p.Gateway && p.HTTP })
	}
	return any
}

// add adds a route to h, whose plugins are at at.
func (g *gatewayUses) add(h *gatewayHost, at **routePlugins) {
	m := g.b.c.gatewayMatches.get(h.passage, nil, func() *gatewayMatch { return &gatewayMatch{stamp: -1} })
	g.update(m, h)
	if len(m.wrong) > 0 {
		g.b.addOnce(m.wrong)
	}
	own := m.matched
	for i, u := range m.matched {
		if u.round != g.b.c.round {
			u.round, u.routes = g.b.c.round, 0
			if u.filter.Config == "" {
				g.b.note([]*use{u.use})
			}
		}
		if u.filter.Config == "" || u.policy.Side == PerProxy && !g.first(u) {
			if len(own) == len(m.matched) {
				own = slices.Clone(m.matched[:i])
			}
			continue
		}
		if len(own) < len(m.matched) {
			own = append(own, u)
		}
		if u.routes++; u.routes == 1 {
			g.order = append(g.order, u)
		}
	}
	g.routes = append(g.routes, gatewayRouteUses{at, h.service.name, m, own})
}

// first reports whether u is the one that the gateway has as a proxy, and
// reports u where it is not.
func (g *gatewayUses) first(u *gatewayUse) bool {
	first := g.proxy[u.policy]
	if first == nil {
		g.proxy[u.policy] = u.doc
		return true
	}
	if first != u.doc {
		g.b.addOnce([]diag.Diagnostic{finding(diag.CodeNotApplied, diag.Warning, u.doc, []any{"type"},
			describe(u.doc)+" does not act at the gateway, which has one for all meshes", "select other proxies, or leave the other one out",
			diag.Related{Place: first.Place("type"), Message: "the one that it has"})})
	}
	return first == u.doc
}

// update finds anew what is in m, which is for h, where that may have changed.
func (g *gatewayUses) update(m *gatewayMatch, h *gatewayHost) {
	c, mesh := g.b.c, h.service.mesh
	doc, stamp := g.b.meshes[mesh], c.gatewayStamps[mesh]
	same := m.mesh == doc && m.stamp == stamp
	if same && !g.b.news.targets {
		return
	}
	// A sum of counts changes when one of them does, for none goes down.
	targets := c.targetStamps[serviceKey{mesh, "*"}]
	for a := range h.everywhere() {
		targets += c.targetStamps[a.service.serviceKey]
	}
	if same && m.targets == targets {
		return
	}
	m.mesh, m.stamp, m.targets, m.matched, m.wrong = doc, stamp, targets, nil, nil
	tags := []map[string]string{gatewayTags}
	g.b.eachPolicy(mesh, func(kind, policy int, p *Policy, r *ruleset) {
		if !p.Gateway || !p.HTTP {
			return
		}
		o, known := g.outlooks[r]
		if !known {
			o = r.of(tags...)
			g.outlooks[r] = o
		}
		m.wrong = append(m.wrong, g.b.match(p, r, o, tags, h.service.name, h.targets, func(doc *schema.Document, cluster string) {
			m.matched = append(m.matched, g.use(kind, policy, doc, cluster))
		})...)
	})
}

// use returns what a policy means at the gateway, for cluster alone where that
// is not "".
func (g *gatewayUses) use(kind, policy int, doc *schema.Document, cluster string) *gatewayUse {
	mesh := doc.Mesh
	key := useKey{kind, policy, doc, g.b.meshes[mesh], Attachment{
		Proxy: snapshot.GatewayID, MeshName: mesh, Service: snapshot.GatewayID, Direction: string(snapshot.Gateway), Cluster: cluster,
	}}
	u := g.b.c.gatewayUses[key]
	if u == nil {
		u = &gatewayUse{use: g.b.makeUse(key), policy: &g.b.c.Kinds[kind].Policies[policy], doc: doc}
		g.b.c.gatewayUses[key] = u
	}
	return u
}

// with returns base and, besides, the filters of those of uses that are on
// routes, which are to know service. What it made of the same the last time it
// returns again.
func (m *gatewayMatch) with(base *routePlugins, uses []*gatewayUse, service string, perRoute func(*gatewayUse) bool) *routePlugins {
	n, same := 0, m.filters != nil && base.equal(m.base)
	for _, u := range uses {
		if perRoute(u) {
			same = same && n < len(m.routed) && m.routed[n] == u
			n++
		}
	}
	if same && n == len(m.routed) {
		return m.filters
	}
	m.base, m.routed = base, make([]*gatewayUse, 0, n)
	names := base.list().Slice()
	for _, u := range uses {
		if perRoute(u) {
			m.routed = append(m.routed, u)
			names = append(names, u.filter.Ref())
		}
	}
	slices.Sort(names)
	m.filters = &routePlugins{names: snapshot.ListOf(names...), service: service, input: strings.Join(names, " ") + "\x00" + service}
	return m.filters
}
