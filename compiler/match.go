package compiler

import (
	"cmp"
	"time"

	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/kuma"
)

// rank is how closely a selector fits: more tags win, of as many the one with
// more exact values (Kuma's rule).
type rank struct{ total, exact int }

func (r rank) plus(o rank) rank { return rank{r.total + o.total, r.exact + o.exact} }

func (r rank) compare(o rank) int {
	return cmp.Or(cmp.Compare(r.total, o.total), cmp.Compare(r.exact, o.exact))
}

// matches reports whether every tag of selector is among tags, with the same
// value or any where it says "*", and how closely it fits.
func matches(selector, tags map[string]string) (rank, bool) {
	var r rank
	for k, v := range selector {
		have, ok := tags[k]
		if !ok || v != "*" && v != have {
			return rank{}, false
		}
		r.total++
		if v != "*" {
			r.exact++
		}
	}
	return r, true
}

// best returns the highest rank of the selectors that match any of the tag sets.
func best(selectors []kuma.Selector, sets []map[string]string) (rank, bool) {
	var top rank
	found := false
	for _, s := range selectors {
		for _, tags := range sets {
			if r, ok := matches(s.Match, tags); ok && (!found || r.compare(top) > 0) {
				top, found = r, true
			}
		}
	}
	return top, found
}

// identity is whom a proxy's policies match: its mesh, and a tag set an
// inbound (tags of two inbounds are not joined), or the tags of a gateway.
type identity struct {
	mesh string
	tags []map[string]string
}

// candidate is a policy whose sources match an identity.
type candidate struct {
	doc    *schema.Document
	route  *kuma.TrafficRoute
	source rank
}

// routesFrom returns the TrafficRoutes with a source that matches id.
func (b *build) routesFrom(id identity) []candidate {
	var out []candidate
	for _, d := range b.routes {
		if d.Mesh != id.mesh {
			continue
		}
		r := d.Body.(*kuma.TrafficRoute)
		if src, ok := best(r.Sources, id.tags); ok {
			out = append(out, candidate{d, r, src})
		}
	}
	return out
}

// choose returns the TrafficRoute that applies to service: the one with the
// highest sum of source and destination rank; of equals the one created later,
// else the first by name. It returns nil where none matches.
func choose(candidates []candidate, service string) *schema.Document {
	destination := []map[string]string{{kuma.ServiceTag: service}}
	var won *candidate
	var top rank
	for i := range candidates {
		c := &candidates[i]
		dst, ok := best(c.route.Destinations, destination)
		if !ok {
			continue
		}
		r := c.source.plus(dst)
		order := 1
		if won != nil {
			order = cmp.Or(r.compare(top), creation(c.route.CreationTime).Compare(creation(won.route.CreationTime)))
		}
		if order > 0 {
			won, top = c, r
		}
	}
	if won == nil {
		return nil
	}
	return won.doc
}

// creation is the time that a document says it was created at; the zero time,
// which is the earliest, where it says none.
func creation(text string) time.Time {
	t, _ := time.Parse(time.RFC3339Nano, text)
	return t
}
