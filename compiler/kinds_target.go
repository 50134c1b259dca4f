package compiler

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/kuma"
)

// targetKey is a target of a route and the kind of policies that may be for it.
type targetKey struct {
	service *service
	name    string
	kind    string
}

// stampUses counts the changes of policies that are chosen by the target, by
// the service that they name, "*" for those that name none: what policies are to
// a target stays while its counts do. Of the others it counts those that select
// the gateway, by mesh.
func (b *build) stampUses() {
	for mesh, n := range b.news.uses {
		for _, p := range n.changed {
			if p.family != inbound {
				if _, ok := best(p.selectors, []map[string]string{gatewayTags}); ok || len(p.selectors) == 0 {
					b.c.gatewayStamps[mesh]++
				}
				continue
			}
			b.news.targets = true
			for _, name := range destinations(p.selectors) {
				b.c.targetStamps[serviceKey{mesh, cmp.Or(name, "*")}]++
			}
		}
	}
}

// targeted is what policies chosen by the tags of endpoints are to a target.
type targeted struct {
	docs []*schema.Document // those for all of its endpoints, by name
	// parts are those for some of them alone.
	parts []part
}

// part is a policy that is for only some endpoints of a target: with a tag set
// that it is for, and one that it is not for.
type part struct {
	doc     *schema.Document
	in, out map[string]string
}

// matchTargets is match for policies that are chosen by the target.
func (b *build) matchTargets(r *ruleset, tags []map[string]string, arms []arm, f func(*schema.Document, string)) (wrong []diag.Diagnostic) {
	if r == nil {
		return nil // no document of the kind is in the mesh
	}
	count := map[*schema.Document]int{}
	each := make([][]*schema.Document, len(arms))
	for i, a := range arms {
		k := targetKey{a.service, a.name, r.kind}
		stamps := [2]int{b.c.targetStamps[a.service.serviceKey], b.c.targetStamps[serviceKey{a.service.mesh, "*"}]}
		t := b.c.targets.get(k, []any{stamps}, func() *targeted { return newTargeted(a.clusterUse, r) })
		for _, doc := range t.docs {
			if sends(doc, tags) {
				each[i] = append(each[i], doc)
				count[doc]++
			}
		}
		for _, p := range t.parts {
			if sends(p.doc, tags) {
				wrong = append(wrong, partly(p, a.clusterUse))
			}
		}
	}
	whole := map[*schema.Document]bool{}
	for i, a := range arms {
		for _, doc := range each[i] {
			switch {
			case count[doc] < len(arms):
				f(doc, a.name)
			case !whole[doc]:
				whole[doc] = true
				f(doc, "")
			}
		}
	}
	return wrong
}

// targets returns the clusters that p leads to, each once.
func (p *passage) targets() []arm {
	var out []arm
	for a := range p.everywhere() {
		if !slices.ContainsFunc(out, func(o arm) bool { return o.name == a.name }) {
			out = append(out, a)
		}
	}
	return out
}

// sends reports whether whoever has tags is among the sources of doc.
func sends(doc *schema.Document, tags []map[string]string) bool {
	_, ok := best(doc.Body.(interface{ Traffic() *kuma.FromTo }).Traffic().Sources, tags)
	return ok
}

func newTargeted(u clusterUse, r *ruleset) *targeted {
	out := &targeted{}
	var sets []map[string]string
	for e := range u.visible() {
		set := u.service.tagsOf(e)
		if !slices.ContainsFunc(sets, func(s map[string]string) bool { return maps.Equal(s, set) }) {
			sets = append(sets, set)
		}
	}
	chosen := make([][]*schema.Document, len(sets))
	seen := map[*schema.Document]int{}
	for i, set := range sets {
		chosen[i] = r.of(set).united()
		for _, doc := range chosen[i] {
			seen[doc]++
		}
	}
	for doc, n := range seen {
		if n == len(sets) {
			out.docs = append(out.docs, doc)
			continue
		}
		p := part{doc: doc}
		for i, set := range sets {
			if slices.Contains(chosen[i], doc) {
				p.in = set
			} else {
				p.out = set
			}
		}
		out.parts = append(out.parts, p)
	}
	slices.SortFunc(out.docs, func(x, y *schema.Document) int { return cmp.Compare(x.Name, y.Name) })
	slices.SortFunc(out.parts, func(x, y part) int { return cmp.Compare(x.doc.Name, y.doc.Name) })
	return out
}

// tagsOf returns what policies see of an endpoint.
func (s *service) tagsOf(e endpoint) map[string]string {
	if s.dialect == schema.Kuma {
		return e.tags
	}
	return map[string]string{kuma.ServiceTag: s.name, kuma.ProtocolTag: cmp.Or(s.protocol, "http")}
}

// partly reports a policy that is for only some endpoints of a target: the
// caller cannot tell which of them a request is going to.
func partly(p part, u clusterUse) diag.Diagnostic {
	selectors := p.doc.Body.(interface{ Traffic() *kuma.FromTo }).Traffic().Destinations
	path := []any{"destinations"}
	var top rank
	for i, s := range selectors {
		if r, ok := matches(s.Match, p.in); ok && (len(path) == 1 || r.compare(top) > 0) {
			top, path = r, []any{"destinations", i, "match"}
		}
	}
	var related []diag.Related
	if doc, at := u.service.written(p.out); doc != nil {
		related = []diag.Related{{Place: doc.Place(at...), Message: "one that it is not for"}}
	}
	return finding(diag.CodeInvalid, diag.Error, p.doc, path,
		fmt.Sprintf("%s is for only some endpoints of %s, and it acts on the caller's side, before one is chosen", describe(p.doc), u.endpointsName()),
		"split the traffic by these tags with a TrafficRoute, or select all endpoints of the service", related...)
}

// written returns where an endpoint with tags is defined.
func (s *service) written(tags map[string]string) (*schema.Document, []any) {
	for _, d := range s.docs {
		switch r := d.Body.(type) {
		case *kuma.Dataplane:
			for i, in := range r.Networking.Inbound {
				if maps.Equal(in.Tags, tags) {
					return d, []any{"networking", "inbound", i, "tags"}
				}
			}
		case *kuma.ExternalService:
			if maps.Equal(r.Tags, tags) {
				return d, []any{"tags"}
			}
		}
	}
	return nil, nil
}
