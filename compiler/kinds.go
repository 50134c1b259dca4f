package compiler

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/kuma"
)

// use is what a policy of a kind means somewhere. It is not changed once made,
// and the same pointer means the same content.
type use struct {
	filter snapshot.Filter // without Config where there is nothing to do
	// routed says that at the gateway it is for routes alone, never for what has none.
	routed bool
	calls  []string // host:port
	found  []diag.Diagnostic
}

// useKey is all that a use is made from: kind is an index of Compiler.Kinds,
// policy one of its Policies. The documents stand in the place of their text in at.
type useKey struct {
	kind, policy int
	doc, mesh    *schema.Document // mesh may be nil
	at           Attachment
}

// runKinds gives listeners the filters of the kinds whose documents select
// them, and the routes of the gateway likewise.
func runKinds(b *build) {
	stale := b.staleUses()
	for _, v := range b.views {
		if stale(v) {
			b.matchUses(v)
		}
		if !v.tells {
			continue
		}
		b.addOnce(v.wrong)
		for i := range v.listeners {
			b.note(v.listeners[i].uses)
		}
	}
	b.attachGatewayUses()
}

// eachPolicy calls f for all policies that documents of mesh may be of.
func (b *build) eachPolicy(mesh string, f func(kind, policy int, p *Policy, r *ruleset)) {
	for i := range b.c.Kinds {
		for j := range b.c.Kinds[i].Policies {
			p := &b.c.Kinds[i].Policies[j]
			if r := b.rules(p.Document, mesh); r != nil {
				f(i, j, p, r)
			}
		}
	}
}

// matchUses matches the policies with the listeners of v.
func (b *build) matchUses(v *view) {
	v.matched, v.mesh, v.wrong, v.tells = true, b.meshes[v.doc.Mesh], nil, false
	v.stamp++
	for i := range v.listeners {
		v.listeners[i].uses = nil
	}
	dp := v.doc.Body.(*kuma.Dataplane)
	at := Attachment{Proxy: v.id, MeshName: v.doc.Mesh, Address: dp.Networking.Address}
	if len(v.tags) > 0 {
		at.Service = v.tags[0][kuma.ServiceTag]
	}
	b.eachPolicy(v.doc.Mesh, func(kind, policy int, p *Policy, r *ruleset) {
		o := r.of(v.tags...)
		for i := range v.listeners {
			l := &v.listeners[i]
			if l.ingress || l.metrics != nil || !p.actsOn(l.direction, l.protocol) {
				continue
			}
			at := at
			at.Direction, at.TCP, at.Destination = string(l.direction), l.protocol == snapshot.TCP, l.service
			wrong := b.match(p, r, o, v.tags, l.service, l.targets, func(doc *schema.Document, cluster string) {
				at.Cluster = cluster
				if u := b.makeUse(useKey{kind, policy, doc, v.mesh, at}); u.filter.Config != "" || len(u.found) > 0 {
					l.uses = append(l.uses, u)
					v.tells = v.tells || len(u.found)+len(u.calls) > 0
				}
			})
			v.wrong = append(v.wrong, wrong...)
			v.tells = v.tells || len(wrong) > 0
		}
	})
}

// actsOn reports whether p is for such listeners of a dataplane.
func (p *Policy) actsOn(d snapshot.Direction, protocol snapshot.Protocol) bool {
	if d == snapshot.Inbound && !(p.Side == PerProxy && p.Inbound) {
		return false
	}
	return protocol == snapshot.HTTP && p.HTTP || protocol == snapshot.TCP && p.TCP
}

// match calls f for each policy of r that applies to traffic of whoever has
// tags, and so the outlook o, to service over targets, and with the cluster where
// it is for one alone. It returns what is wrong.
func (b *build) match(p *Policy, r *ruleset, o outlook, tags []map[string]string, service string, targets func() []arm, f func(*schema.Document, string)) []diag.Diagnostic {
	var doc *schema.Document
	switch p.Side {
	case PerTarget:
		return b.matchTargets(r, tags, targets(), f)
	case PerService:
		doc = o.winner(service)
	case PerProxy:
		doc = o.winner("")
	}
	if doc != nil {
		f(doc, "")
	}
	return nil
}

// makeUse finds out what a policy means at a place.
func (b *build) makeUse(k useKey) *use {
	kind := &b.c.Kinds[k.kind]
	p := &kind.Policies[k.policy]
	k.at.Policy = k.doc.JSON
	if k.mesh != nil {
		k.at.Mesh = k.mesh.JSON
	}
	r := p.Resolve(k.at)
	u := &use{calls: r.Calls, routed: p.Side == PerTarget}
	for _, w := range r.Wrong {
		doc, code, severity := k.doc, diag.CodeInvalid, diag.Error
		if w.InMesh && k.mesh != nil {
			doc = k.mesh
		}
		if w.Warning {
			code, severity = diag.CodeNotApplied, diag.Warning
		}
		u.found = append(u.found, finding(code, severity, doc, w.Path, w.Message, w.Hint))
	}
	if r.Config == "" {
		return u
	}
	from := []*schema.Document{k.doc}
	if k.mesh != nil {
		from = append(from, k.mesh)
	}
	u.filter = snapshot.Filter{Name: k.doc.Mesh + "/" + k.doc.Name, Kind: kind.Name, Config: r.Config, Sources: sources(nil, from...)}
	if k.at.Cluster != "" {
		u.filter.Name += "@" + k.at.Cluster
	}
	var clusters []string
	for _, c := range r.Calls {
		clusters = append(clusters, callName(c))
	}
	slices.Sort(clusters)
	u.filter.Clusters = snapshot.ListOf(slices.Compact(clusters)...)
	if check := b.c.Check; check != nil {
		for _, wrong := range check(u.filter, k.at.TCP, "") {
			u.found = append(u.found, finding(diag.CodeInvalid, diag.Error, k.doc, nil, fmt.Sprintf("%s cannot work: %s", describe(k.doc), wrong), ""))
		}
	}
	return u
}

// note reports what uses have found, each once, and remembers what they call.
func (b *build) note(uses []*use) {
	for _, u := range uses {
		if len(u.found) > 0 {
			b.addOnce(u.found)
		}
		for _, c := range u.calls {
			b.calls = append(b.calls, call{c, u.filter.Sources})
		}
	}
}

// addOnce reports what has not been reported before: one document may be wrong
// in the same way wherever it applies.
func (b *build) addOnce(found []diag.Diagnostic) {
	for _, d := range found {
		if b.reported == nil {
			b.reported = map[once]bool{}
		}
		if k := (once{d.Code, d.Place, d.Message}); !b.reported[k] {
			b.reported[k] = true
			b.diags = append(b.diags, d)
		}
	}
}

type once struct {
	code    string
	place   diag.Place
	message string
}

// orderFilters puts filters in the order in which they run: that of their kinds.
func (c *Compiler) orderFilters(filters []snapshot.Filter) []snapshot.Filter {
	slices.SortStableFunc(filters, func(x, y snapshot.Filter) int {
		if x.Kind == y.Kind {
			return 0
		}
		return cmp.Compare(c.kindIndex(x.Kind), c.kindIndex(y.Kind))
	})
	return filters
}

func (c *Compiler) kindIndex(name string) int {
	return slices.IndexFunc(c.Kinds, func(k Kind) bool { return k.Name == name })
}

// filters returns the filters of l, in the order in which they run.
func (c *Compiler) filters(l *listener) snapshot.List[snapshot.Filter] {
	if len(l.plugins) == 0 && len(l.uses) == 0 {
		return snapshot.List[snapshot.Filter]{}
	}
	out := make([]snapshot.Filter, 0, len(l.plugins)+len(l.uses))
	for _, p := range l.plugins {
		out = append(out, p.filter)
	}
	for _, u := range l.uses {
		if u.filter.Config != "" {
			out = append(out, u.filter)
		}
	}
	return snapshot.ListOf(c.orderFilters(out)...)
}
