package compiler

import (
	"maps"
	"slices"
	"strings"

	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/kuma"
)

// choices returns those of the kinds of one side for whoever has tags, towards a
// service where destinations count, else "".
func (x *Explainer) choices(at side, mesh string, tags []map[string]string, service string) []Choice {
	var out []Choice
	for _, k := range families {
		if k.side == at {
			out = appendChoice(out, k, x.b.rules(k.kind, mesh).of(tags...).contenders(service))
		}
	}
	return out
}

func (x *Explainer) outbound(mesh string, tags []map[string]string, service string, route *schema.Document) []Choice {
	out := x.choices(atOutbound, mesh, tags, service)
	if leadsTo(route, service) {
		return out
	}
	// Retries are those of the services that routes lead to (Kuma's rule).
	return slices.DeleteFunc(out, func(c Choice) bool { return c.Kind == "Retry" })
}

func (x *Explainer) target(mesh string, tags []map[string]string, service string) []Choice {
	return x.choices(atTarget, mesh, tags, service)
}

func (x *Explainer) inbound(mesh string, tags map[string]string) []Choice {
	return x.choices(atInbound, mesh, []map[string]string{tags}, "")
}

func (x *Explainer) proxyWide(mesh string, tags []map[string]string) []Choice {
	return x.choices(atProxy, mesh, tags, "")
}

// United says that several policies of the kind may apply at one place.
func (c Choice) United() bool {
	return slices.ContainsFunc(families, func(k policyKind) bool { return k.name() == c.Kind && k.family.united() })
}

// appendChoice adds the choice among contenders, of which the best is the first.
func appendChoice(out []Choice, kind policyKind, all []contender) []Choice {
	if len(all) == 0 {
		return out
	}
	top := all[0]
	c := Choice{Kind: kind.name()}
	for i, o := range all {
		switch {
		case i == 0, kind.family.united() && o.rank == top.rank:
			c.Applied = append(c.Applied, o.doc)
		case o.rank == top.rank && o.created.Equal(top.created):
			c.Lost = append(c.Lost, Loser{o.doc, top.doc, "its name comes first, and they are equal in all else"})
		default:
			c.Lost = append(c.Lost, Loser{o.doc, top.doc, whyBetter(top.rank, o.rank)})
		}
	}
	slices.SortFunc(c.Applied, func(x, y *schema.Document) int { return strings.Compare(x.Name, y.Name) })
	return append(out, c)
}

// faults are those that whoever has tags injects into what goes to a cluster,
// and those that are for others or lose.
func (x *Explainer) faults(mesh string, tags []map[string]string, u clusterUse) []Choice {
	c := Choice{Kind: "FaultInjection"}
	rules := x.b.rules("kuma/FaultInjection", mesh)
	if rules == nil {
		return nil
	}
	x.b.matchTargets(rules, tags, []arm{{clusterUse: u}}, func(d *schema.Document, _ string) {
		c.Applied = append(c.Applied, d)
	})
	for e := range u.visible() {
		all := rules.of(u.service.tagsOf(e)).contenders("")
		for _, o := range all {
			if o.rank == all[0].rank || !sends(o.doc, tags) || slices.ContainsFunc(c.Lost, func(l Loser) bool { return l.Policy == o.doc }) {
				continue
			}
			c.Lost = append(c.Lost, Loser{o.doc, all[0].doc, whyBetter(all[0].rank, o.rank)})
		}
	}
	if len(c.Applied)+len(c.Lost) == 0 {
		return nil
	}
	return []Choice{c}
}

// sharesOf returns where traffic to an outbound with tags goes by shares, which
// may be nil: then all goes to the outbound itself.
func sharesOf(shares *kuma.Shares, tags map[string]string) []Share {
	if shares == nil {
		return []Share{{Weight: 100, Destination: tags}}
	}
	var out []Share
	for _, part := range shares.Arms() {
		if part.Weight != 0 {
			out = append(out, Share{Weight: part.Weight, Destination: destination(tags, part.Destination)})
		}
	}
	return out
}

// destination returns the tags that a destination of a route means for an
// outbound with tags (Kuma's rule): a wildcard stands for the outbound's own
// value, or for any where it has none, and tags of the outbound that the
// destination does not name are added.
func destination(tags, of map[string]string) map[string]string {
	out := maps.Clone(tags)
	for k, v := range of {
		if v != "*" {
			out[k] = v
		}
	}
	return out
}
