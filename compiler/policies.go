package compiler

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/kuma"
	"github.com/meshc/meshc/schema/meshc"
)

// family is how policies of a kind select, and how they rank (Kuma's rules).
type family int

const (
	// One policy for each proxy and service that it sends traffic to, by the
	// sum of the ranks of source and destination.
	outbound family = iota
	// All policies of the highest rank for each inbound, by its tags alone.
	inbound
	// One policy for each proxy.
	proxy
	// All policies that select a proxy, whatever their rank.
	together
)

var families = []struct {
	kind   string
	family family
}{
	{"kuma/TrafficRoute", outbound}, {"kuma/Timeout", outbound}, {"kuma/TrafficLog", outbound},
	{"kuma/Retry", outbound}, {"kuma/HealthCheck", outbound}, {"kuma/CircuitBreaker", outbound},
	{"kuma/TrafficPermission", inbound}, {"kuma/FaultInjection", inbound},
	{"kuma/TrafficTrace", proxy}, {"kuma/ProxyTemplate", proxy},
	{"meshc/WasmPlugin", together},
}

// passThrough is what Kuma calls traffic that leaves the mesh for a service
// that the mesh does not know.
const passThrough = "pass_through"

// policies warns of policies that are in vain: those that select nothing, those
// that another beats wherever they apply, those that are second by name alone,
// permissions without mTLS.
func policies(b *build) {
	b.checkPermissions()
	k := policyKnowledge{meshes: b.byKind["kuma/Mesh"], externals: b.byKind["kuma/ExternalService"], services: b.sorted}
	for _, f := range families {
		k.policies = append(k.policies, b.byKind[f.kind]...)
	}
	if len(k.policies) == 0 {
		b.c.policies, b.c.members = k, kept[*schema.Document, *dataplaneMembers]{}
		return
	}
	last := &b.c.policies
	k.dataplanes, k.tags = b.dataplanes, last.tags
	if last.tags == nil || !slices.Equal(k.dataplanes, last.dataplanes) {
		k.tags = b.tagSets()
	}
	if k.same(last) {
		k.found = last.found
		b.diags = append(b.diags, k.found...)
	} else {
		before := len(b.diags)
		b.checkPolicies()
		k.found = slices.Clone(b.diags[before:])
	}
	b.c.policies = k
}

// policyKnowledge is all that findings about policies depend on, and what was
// found. Of dataplanes it is what tags there are, wherever they run.
type policyKnowledge struct {
	policies, meshes, externals []*schema.Document
	services                    []*service
	dataplanes                  []*schema.Document
	tags                        map[tagSet]bool // of dataplanes; nil where nobody asked
	found                       []diag.Diagnostic
}

// tagSet is the tags of a dataplane, as the keys of what it adds to the world.
type tagSet struct{ mesh, proxy, inbounds string }

// tagSets returns the tags of all dataplanes.
func (b *build) tagSets() map[tagSet]bool {
	members := b.c.members.update(b.dataplanes, byID, newMembers)
	out := make(map[tagSet]bool, len(b.c.policies.tags))
	for i, d := range b.dataplanes {
		own := members.At(i)
		out[tagSet{d.Mesh, own.proxy.key, own.key}] = true
	}
	return out
}

func (k *policyKnowledge) same(o *policyKnowledge) bool {
	return slices.Equal(k.policies, o.policies) && slices.Equal(k.meshes, o.meshes) && slices.Equal(k.externals, o.externals) && maps.Equal(k.tags, o.tags) &&
		slices.EqualFunc(k.services, o.services, func(a, b *service) bool {
			return a == b || a.serviceKey == b.serviceKey && a.protocol == b.protocol && a.dialect == b.dialect
		})
}

func (b *build) checkPolicies() {
	want := map[string]bool{}
	for _, f := range families {
		for _, d := range b.byKind[f.kind] {
			if _, ok := b.meshes[d.Mesh]; ok { // else that has been reported
				want[d.Mesh] = true
			}
		}
	}
	worlds := b.worlds(want)
	for _, f := range families {
		meshes := map[string]bool{}
		for _, d := range b.byKind[f.kind] {
			if want[d.Mesh] {
				b.checkSelectors(d, f.family, worlds[d.Mesh])
				meshes[d.Mesh] = true
			}
		}
		for _, mesh := range slices.Sorted(maps.Keys(meshes)) {
			if r := b.rules(f.kind, mesh); f.family != together && len(r.policies) > 1 {
				b.reportContest(f.family, newContest(r, f.family, worlds[mesh]))
			}
		}
	}
}

// checkSelectors reports the selectors of d that select nothing.
func (b *build) checkSelectors(d *schema.Document, f family, w *world) {
	switch body := d.Body.(type) {
	case interface{ Traffic() *kuma.FromTo }:
		b.checkList(d, "sources", body.Traffic().Sources, w.proxies.holds, b.noProxy(w))
		if f == inbound {
			b.checkList(d, "destinations", body.Traffic().Destinations, w.inbounds.holds, noInbound(w))
		} else {
			b.checkList(d, "destinations", body.Traffic().Destinations, w.hasService, noService(w))
		}
	case interface{ Proxies() *kuma.OfProxies }:
		b.checkList(d, "selectors", body.Proxies().Selectors, w.proxies.holds, b.noProxy(w))
	case *meshc.WasmPlugin:
		b.checkList(d, "selectors", body.Selectors, w.proxies.holds, b.noProxy(w))
		b.checkList(d, "destinations", body.Destinations, w.hasService, noService(w))
	}
}

// hasService reports whether a selector of a service as a whole selects one.
// The wildcard also means those that may come.
func (w *world) hasService(selector map[string]string) bool {
	name := selector[kuma.ServiceTag]
	return name == "*" || name == passThrough || w.services[name]
}

// explain says what is not there, and what would be right.
type explain func(mesh string, selector map[string]string) (message, hint string)

func (b *build) checkList(d *schema.Document, field string, selectors []kuma.Selector, holds func(map[string]string) bool, why explain) {
	var empty []int
	for i, s := range selectors {
		if !holds(s.Match) {
			empty = append(empty, i)
		}
	}
	loss := "so this selector selects nothing"
	if len(empty) == len(selectors) {
		loss = fmt.Sprintf("so %s %s applies to nothing", d.Kind, d.Name)
	}
	for _, i := range empty {
		message, hint := why(d.Mesh, selectors[i].Match)
		b.reportMissing(serviceOf(selectors[i].Match), diag.CodeMatchesNothing, diag.Warning, d, []any{field, i, "match"}, message+", "+loss, hint)
	}
}

// serviceOf returns the service that a selector names, or "".
func serviceOf(selector map[string]string) string {
	if name := selector[kuma.ServiceTag]; name != "*" {
		return name
	}
	return ""
}

func (b *build) noProxy(w *world) explain {
	return func(mesh string, selector map[string]string) (string, string) {
		message := fmt.Sprintf("no proxy of mesh %s has the tags %s", mesh, tagText(selector))
		name := selector[kuma.ServiceTag]
		switch known := w.proxies.services(); {
		case name == "" || name == "*" || known[name]:
			return message, "use tags that one inbound of a Dataplane has together"
		case w.services[name]:
			return fmt.Sprintf("service %s of mesh %s has no Dataplane", name, mesh), "only what has a proxy can be selected here: add a Dataplane, or name another service"
		default:
			return fmt.Sprintf("mesh %s has no service %s", mesh, name), diag.Suggest(name, known) + "name the service of a Dataplane, or * for all"
		}
	}
}

func noInbound(w *world) explain {
	return func(mesh string, selector map[string]string) (string, string) {
		name := selector[kuma.ServiceTag]
		if name == "" || name == "*" || w.services[name] {
			return fmt.Sprintf("nothing in mesh %s takes traffic under the tags %s", mesh, tagText(selector)), "use tags that one inbound of a Dataplane has together"
		}
		return noService(w)(mesh, selector)
	}
}

func noService(w *world) explain {
	return func(mesh string, selector map[string]string) (string, string) {
		name := selector[kuma.ServiceTag]
		return fmt.Sprintf("mesh %s has no service %s", mesh, name), diag.Suggest(name, w.services) + "name a service that a document defines, or * for all"
	}
}

// destinations returns the services that selectors of whole services name, each once.
func destinations(selectors []kuma.Selector) []string {
	var out []string
	for _, s := range selectors {
		if name := s.Match[kuma.ServiceTag]; !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// reportContest reports who came second by name alone, and who never wins.
func (b *build) reportContest(f family, c *contest) {
	for _, p := range c.rules.policies {
		fate := c.fates[p]
		for _, t := range fate.tied {
			b.report(diag.CodeTie, diag.Warning, p.doc, []any{"name"},
				fmt.Sprintf("%s %s and %s match %s equally well; %s is used, for %s", p.doc.Kind, t.by.doc.Name, p.doc.Name, ground(f, t.at), t.by.doc.Name, t.why),
				"add a tag to the selectors of the one that should win, or give it a later creationTime",
				diag.Related{Place: t.by.doc.Place("name"), Message: "the one in use"})
		}
		if fate.won || len(fate.tied) > 0 || len(fate.lost) == 0 || c.effort < 0 {
			continue
		}
		slices.SortFunc(fate.lost, func(x, y defeat) int { return strings.Compare(x.by.doc.Name, y.by.doc.Name) })
		const shown = 3
		var related []diag.Related
		for _, l := range fate.lost[:min(len(fate.lost), shown)] {
			related = append(related, diag.Related{Place: l.by.doc.Place("name"), Message: fmt.Sprintf("%s wins, for %s", l.by.doc.Name, l.why)})
		}
		winner := fmt.Sprintf("%s %s is used, for %s", p.doc.Kind, fate.lost[0].by.doc.Name, fate.lost[0].why)
		if n := len(fate.lost); n > 1 {
			winner = fmt.Sprintf("one of %d others is used", n)
		}
		b.report(diag.CodeShadowed, diag.Warning, p.doc, []any{"name"},
			fmt.Sprintf("%s %s never takes effect: wherever it applies, %s", p.doc.Kind, p.doc.Name, winner),
			"remove it, or add tags to its selectors", related...)
	}
}

// ground says where two policies met, for a message.
func ground(f family, at string) string {
	switch {
	case f == proxy:
		return "the same proxies"
	case at == "*":
		return "traffic to services that no other one names"
	}
	return "traffic to " + at
}
