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

// united says that all policies of the highest rank apply, not one of them.
func (f family) united() bool { return f == inbound || f == together }

// side is where policies of a kind act, and so where they are explained.
type side int

const (
	// Outbounds, as a whole.
	atOutbound side = iota
	// Each service that the traffic of an outbound is led to.
	atTarget
	// Inbounds, or those who call them.
	atInbound
	// The proxy as a whole.
	atProxy
	// The listeners that the policy itself names.
	atListeners
)

// policyKind is a kind of policies, as "DIALECT/KIND", and all that passes must
// know of it to match, compare and explain its policies.
type policyKind struct {
	kind   string
	family family
	side   side
	// passage says that passages depend on it.
	passage bool
}

// name returns the kind without its dialect.
func (k policyKind) name() string {
	_, name, _ := strings.Cut(k.kind, "/")
	return name
}

// families are the kinds of policies; those of one side in the order in which
// they are explained.
var families = []policyKind{
	{"kuma/TrafficRoute", outbound, atOutbound, true},
	{"kuma/Timeout", outbound, atOutbound, true},
	{"kuma/Retry", outbound, atOutbound, true},
	{"kuma/TrafficLog", outbound, atOutbound, false},
	{"kuma/HealthCheck", outbound, atTarget, true},
	{"kuma/CircuitBreaker", outbound, atTarget, true},
	{"kuma/TrafficPermission", inbound, atInbound, false},
	{"kuma/FaultInjection", inbound, atInbound, false},
	{"kuma/TrafficTrace", proxy, atProxy, false},
	{"kuma/ProxyTemplate", proxy, atProxy, false},
	{"meshc/WasmPlugin", together, atListeners, false},
}

// passThrough is what Kuma calls traffic that leaves the mesh for a service
// that the mesh does not know.
const passThrough = "pass_through"

// policies warns of policies that are in vain: those that select nothing, those
// that another beats wherever they apply, those that are second by name alone,
// permissions without mTLS.
func policies(b *build) {
	b.checkPermissions()
	if !slices.ContainsFunc(families, func(f policyKind) bool { return len(b.byKind[f.kind]) > 0 }) {
		b.c.worlds = worlds{}
		return
	}
	b.c.worlds.update(b)
	for _, f := range families {
		for _, d := range b.byKind[f.kind] {
			if _, ok := b.meshes[d.Mesh]; ok { // else that has been reported
				w := b.c.worlds.in(d.Mesh)
				b.diags = append(b.diags, b.c.selecting.get(d, w.inputs(), func() []diag.Diagnostic { return checkSelectors(d, f.family, w) })...)
			}
		}
	}
	for _, mesh := range slices.Sorted(maps.Keys(b.meshes)) {
		w := b.c.worlds.in(mesh)
		for _, f := range families {
			if r := b.rules(f.kind, mesh); len(r.list()) > 1 {
				b.diags = append(b.diags, b.c.contests.get(rulesetKey{f.kind, mesh}, w.inputs(r), func() []diag.Diagnostic { return newContest(r, w).findings() })...)
			}
		}
	}
}

// checkSelectors returns what is to say of the selectors of d that select nothing.
func checkSelectors(d *schema.Document, f family, w *world) []diag.Diagnostic {
	c := selectorCheck{doc: d}
	service := func(selector map[string]string) bool { return w.hasService(selector[kuma.ServiceTag]) }
	switch body := d.Body.(type) {
	case interface{ Traffic() *kuma.FromTo }:
		c.list("sources", body.Traffic().Sources, w.proxies.holds, w.noProxy)
		if f == inbound {
			c.list("destinations", body.Traffic().Destinations, w.inbounds.holds, w.noInbound)
		} else {
			c.list("destinations", body.Traffic().Destinations, service, w.noService)
		}
	case interface{ Proxies() *kuma.OfProxies }:
		c.list("selectors", body.Proxies().Selectors, w.proxies.holds, w.noProxy)
	case *meshc.WasmPlugin:
		c.list("selectors", body.Selectors, w.proxies.holds, w.noProxy)
		c.list("destinations", body.Destinations, service, w.noService)
	}
	return c.found
}

type selectorCheck struct {
	doc   *schema.Document
	found []diag.Diagnostic
}

// list checks one list of selectors; why says what is not there, and what would be right.
func (c *selectorCheck) list(field string, selectors []kuma.Selector, holds func(map[string]string) bool, why func(mesh string, selector map[string]string) (message, hint string)) {
	var empty []int
	for i, s := range selectors {
		if !holds(s.Match) {
			empty = append(empty, i)
		}
	}
	loss := "so this selector selects nothing"
	if len(empty) == len(selectors) {
		loss = fmt.Sprintf("so %s %s applies to nothing", c.doc.Kind, c.doc.Name)
	}
	for _, i := range empty {
		message, hint := why(c.doc.Mesh, selectors[i].Match)
		d := finding(diag.CodeMatchesNothing, diag.Warning, c.doc, []any{field, i, "match"}, message+", "+loss, hint)
		d.Missing = serviceOf(selectors[i].Match)
		c.found = append(c.found, d)
	}
}

// serviceOf returns the service that a selector names, or "".
func serviceOf(selector map[string]string) string {
	if name := selector[kuma.ServiceTag]; name != "*" {
		return name
	}
	return ""
}

func (w *world) noProxy(mesh string, selector map[string]string) (message, hint string) {
	message = fmt.Sprintf("no proxy of mesh %s has the tags %s", mesh, tagText(selector))
	name := selector[kuma.ServiceTag]
	switch known := w.proxies.services(); {
	case name == "" || name == "*" || known[name] != nil:
		return message, "use tags that one inbound of a Dataplane has together"
	case w.services[name] > 0:
		return fmt.Sprintf("service %s of mesh %s has no Dataplane", name, mesh), "only what has a proxy can be selected here: add a Dataplane, or name another service"
	default:
		return fmt.Sprintf("mesh %s has no service %s", mesh, name), diag.Suggest(name, known) + "name the service of a Dataplane, or * for all"
	}
}

func (w *world) noInbound(mesh string, selector map[string]string) (message, hint string) {
	name := selector[kuma.ServiceTag]
	if name == "" || name == "*" || w.services[name] > 0 {
		return fmt.Sprintf("nothing in mesh %s takes traffic under the tags %s", mesh, tagText(selector)), "use tags that one inbound of a Dataplane has together"
	}
	return w.noService(mesh, selector)
}

func (w *world) noService(mesh string, selector map[string]string) (message, hint string) {
	name := selector[kuma.ServiceTag]
	return fmt.Sprintf("mesh %s has no service %s", mesh, name), diag.Suggest(name, w.services) + "name a service that a document defines, or * for all"
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
