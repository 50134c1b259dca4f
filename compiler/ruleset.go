package compiler

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/kuma"
)

// ruleset is the policies of one kind in one mesh, indexed by what they select
// by. Selectors of one shape, which is the keys that they name and those of
// them that have a value, are of one rank, and which of them match a tag set is
// one look into a map (tuple space search). So what a lookup costs depends on
// how many shapes there are, and not on how many policies. A nil ruleset is
// empty. It is not changed once made.
type ruleset struct {
	policyKind
	policies []*policy // by name
	shapes   []*selectorShape
	any      *bucket // policies that select all, or nil
}

// policy is one of a ruleset.
type policy struct {
	doc     *schema.Document
	created time.Time
	// selectors are those that are matched with tag sets: of the sources, or of
	// the destinations where these decide alone, or of the proxies.
	selectors []kuma.Selector
	// services are those that the destinations name where these are services as
	// a whole, "*" among them; else "" alone.
	services []string
}

// selectorShape is the selectors that name the same keys.
type selectorShape struct {
	values, wild []string // keys, sorted: with a value, and with "*"
	rank         rank
	buckets      map[string]*bucket // by the values
}

// bucket is the policies with a selector that matches the same tag sets.
type bucket struct {
	rank     rank
	policies map[string][]*policy // by service; the best first
}

// newRuleset indexes docs, which are of one kind and mesh and sorted by name.
func newRuleset(docs []*schema.Document, kind policyKind) *ruleset {
	r := &ruleset{policyKind: kind}
	byShape := map[string]*selectorShape{}
	for _, d := range docs {
		p := newPolicy(d, kind.family)
		r.policies = append(r.policies, p)
		if len(p.selectors) == 0 { // as a ProxyTemplate may
			if r.any == nil {
				r.any = newBucket(rank{})
			}
			r.any.add(p)
		}
		for _, s := range p.selectors {
			r.shape(byShape, s.Match).bucket(s.Match).add(p)
		}
	}
	for _, s := range r.shapes {
		for _, b := range s.buckets {
			b.sort()
		}
	}
	if r.any != nil {
		r.any.sort()
	}
	slices.SortStableFunc(r.shapes, func(x, y *selectorShape) int { return y.rank.compare(x.rank) })
	return r
}

func newPolicy(d *schema.Document, f family) *policy {
	p := &policy{doc: d, services: []string{""}}
	switch body := d.Body.(type) {
	case interface{ Traffic() *kuma.FromTo }:
		t := body.Traffic()
		p.created, p.selectors = creation(t.CreationTime), t.Sources
		if f == inbound {
			p.selectors = t.Destinations
		} else {
			p.services = destinations(t.Destinations)
		}
	case interface{ Proxies() *kuma.OfProxies }:
		o := body.Proxies()
		p.created, p.selectors = creation(o.CreationTime), o.Selectors
	}
	return p
}

func (r *ruleset) shape(byShape map[string]*selectorShape, selector map[string]string) *selectorShape {
	s := &selectorShape{buckets: map[string]*bucket{}}
	for _, k := range slices.Sorted(maps.Keys(selector)) {
		if selector[k] == "*" {
			s.wild = append(s.wild, k)
		} else {
			s.values = append(s.values, k)
		}
	}
	key := strings.Join(s.values, "\x00") + "\x00*\x00" + strings.Join(s.wild, "\x00") // no key holds a NUL
	if known := byShape[key]; known != nil {
		return known
	}
	s.rank = rank{total: len(selector), exact: len(s.values)}
	byShape[key] = s
	r.shapes = append(r.shapes, s)
	return s
}

// valuesIn returns the values that set has for the keys of s as one text; ok is
// false where it lacks a key. Two texts are the same only if the values are,
// for no value holds a NUL.
func (s *selectorShape) valuesIn(set map[string]string) (text string, ok bool) {
	for _, k := range s.wild {
		if _, ok := set[k]; !ok {
			return "", false
		}
	}
	if len(s.values) == 1 { // nearly always
		text, ok = set[s.values[0]]
		return text, ok
	}
	values := make([]string, len(s.values))
	for i, k := range s.values {
		if values[i], ok = set[k]; !ok {
			return "", false
		}
	}
	return strings.Join(values, "\x00"), true
}

func (s *selectorShape) bucket(selector map[string]string) *bucket {
	values, _ := s.valuesIn(selector)
	b := s.buckets[values]
	if b == nil {
		b = newBucket(s.rank)
		s.buckets[values] = b
	}
	return b
}

func newBucket(r rank) *bucket { return &bucket{rank: r, policies: map[string][]*policy{}} }

func (b *bucket) add(p *policy) {
	for _, name := range p.services {
		b.policies[name] = appendOnce(b.policies[name], p)
	}
}

// sort puts policies of equal rank in order: those created later first, and of
// the same time by name, in which order they came.
func (b *bucket) sort() {
	for _, ps := range b.policies {
		slices.SortStableFunc(ps, func(x, y *policy) int { return y.created.Compare(x.created) })
	}
}

// outlook is what the policies of a ruleset are to one proxy or inbound: the
// buckets that its tag sets fall into, those of the highest rank first.
type outlook []*bucket

// of returns the outlook of whoever has these tag sets; tags of two sets are
// not joined.
func (r *ruleset) of(sets ...map[string]string) outlook {
	if r == nil {
		return nil
	}
	var out outlook
	for _, s := range r.shapes {
		for _, set := range sets {
			values, ok := s.valuesIn(set)
			if !ok {
				continue
			}
			if b := s.buckets[values]; b != nil && !slices.Contains(out, b) {
				out = append(out, b)
			}
		}
	}
	if r.any != nil {
		out = append(out, r.any)
	}
	return out
}

// contender is a policy where it applies, with its rank there.
type contender struct {
	*policy
	rank rank
}

// compare is negative where x wins against y.
func (x contender) compare(y contender) int {
	return cmp.Or(y.rank.compare(x.rank), y.created.Compare(x.created), strings.Compare(x.doc.Name, y.doc.Name))
}

// ranked calls yield with the policies for service, the best of each bucket
// and destination first. Where destinations decide alone and where there are
// none, service is "".
func (o outlook) ranked(service string, yield func(of []*policy, rank rank)) {
	for _, b := range o {
		if service == "" {
			yield(b.policies[""], b.rank)
			continue
		}
		if ps := b.policies[service]; len(ps) > 0 && service != "*" {
			yield(ps, b.rank.plus(rank{1, 1}))
		}
		if ps := b.policies["*"]; len(ps) > 0 {
			yield(ps, b.rank.plus(rank{1, 0}))
		}
	}
}

// winner returns the policy that applies to traffic to service (to the proxy
// itself where service is ""): that of the highest rank; of equals the one
// created later, else the first by name. It returns nil where none applies.
func (o outlook) winner(service string) *schema.Document {
	var top contender
	o.ranked(service, func(of []*policy, r rank) {
		if c := (contender{of[0], r}); top.policy == nil || c.compare(top) < 0 {
			top = c
		}
	})
	if top.policy == nil {
		return nil
	}
	return top.doc
}

// united returns all policies of the highest rank, by name.
func (o outlook) united() []*schema.Document {
	var out []*schema.Document
	for _, c := range o.contenders("") {
		if c.rank != o[0].rank {
			break
		}
		out = append(out, c.doc)
	}
	slices.SortFunc(out, func(x, y *schema.Document) int { return strings.Compare(x.Name, y.Name) })
	return out
}

// contenders returns all policies that match, each once, the winner first and
// then those that would win without it.
func (o outlook) contenders(service string) []contender {
	var out []contender
	o.ranked(service, func(of []*policy, r rank) {
		for _, p := range of {
			out = append(out, contender{p, r})
		}
	})
	slices.SortFunc(out, contender.compare)
	seen := map[*policy]bool{}
	return slices.DeleteFunc(out, func(c contender) bool {
		again := seen[c.policy]
		seen[c.policy] = true
		return again
	})
}

// The one way to find out what applies:
//
//	b.rules("kuma/Timeout", mesh).of(tagSetsOfProxy...).winner(service)   // outbound
//	b.rules("kuma/TrafficPermission", mesh).of(tagsOfInbound).united()    // inbound
//	b.rules("kuma/TrafficTrace", mesh).of(tagSetsOfProxy...).winner("")   // proxy
//
// and contenders in place of winner for all that match, in order. A proxy's
// outlook is worth keeping for all of its services. The same ruleset means the
// same answers, so it is an input of whatever memo keeps one.

// rulesetKey names a ruleset.
type rulesetKey struct{ kind, mesh string }

// indexPolicies makes the rulesets of all kinds and meshes.
func (b *build) indexPolicies() {
	b.rulesets = map[rulesetKey]*ruleset{}
	for _, f := range families {
		if f.family == together {
			continue
		}
		for rest := b.byKind[f.kind]; len(rest) > 0; { // those of a mesh stand together
			n := 1
			for n < len(rest) && rest[n].Mesh == rest[0].Mesh {
				n++
			}
			docs := rest[:n:n]
			rest = rest[n:]
			inputs := make([]any, n)
			for i, d := range docs {
				inputs[i] = d
			}
			key := rulesetKey{f.kind, docs[0].Mesh}
			b.rulesets[key] = b.c.rulesets.get(key, inputs, func() *ruleset { return newRuleset(docs, f) })
		}
	}
}

// rules returns the policies of a kind ("kuma/Timeout") in a mesh; nil for none.
func (b *build) rules(kind, mesh string) *ruleset { return b.rulesets[rulesetKey{kind, mesh}] }
