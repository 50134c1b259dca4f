package compiler

import (
	"cmp"
	"slices"

	"github.com/meshc/meshc/schema/kuma"
)

// news is what differs from the last compile, as far as passages and views
// depend on it.
type news struct {
	// services are those that came, went or changed.
	services map[serviceKey]bool
	// Policies that came, went or changed, by mesh: those that passages depend
	// on, those that become filters, and TrafficPermissions.
	passages, uses, permissions map[string]*policyNews
	// targets says that among uses are policies that are chosen by the target.
	targets bool
}

// policyNews are the policies of one mesh that came, went or changed; nil for none.
type policyNews struct {
	changed []changedPolicy
	all     bool // so much changed that everything is made anew
}

type changedPolicy struct {
	*policy
	family family
}

// manyPolicies is how many changed policies are compared with each proxy; above
// that it is cheaper to look everything up again.
const manyPolicies = 16

// compareWithLast finds the news of this compile.
func (b *build) compareWithLast() {
	n := &news{services: map[serviceKey]bool{}}
	changed := func(s *service) { n.services[s.serviceKey] = true }
	symmetric(b.c.lastServices, b.sorted, func(x, y *service) bool { return x == y }, serviceBefore, changed, changed)
	b.c.lastServices = b.sorted
	var passages, kinds []string
	for _, k := range families {
		if k.passage {
			passages = append(passages, k.kind)
		}
	}
	n.passages = b.changedPolicies(passages)
	n.permissions = b.changedPolicies([]string{"kuma/TrafficPermission"})
	for _, k := range b.c.Kinds {
		for _, p := range k.Policies {
			kinds = append(kinds, p.Document)
		}
	}
	n.uses = b.changedPolicies(kinds)
	aware := map[string]bool{}
	for mesh := range b.meshes {
		if b.localityAware(mesh) {
			aware[mesh] = true
		}
	}
	for _, meshes := range []map[string]bool{aware, b.c.lastAware} { // one that is gone counts as well
		for mesh := range meshes {
			if aware[mesh] == b.c.lastAware[mesh] {
				continue
			}
			if n.passages[mesh] == nil {
				n.passages[mesh] = &policyNews{}
			}
			n.passages[mesh].all = true
		}
	}
	b.c.lastAware = aware
	b.c.lastRulesets = b.rulesets
	b.news = n
	b.stampUses()
}

// changedPolicies returns the news of policies of some kinds, by mesh.
func (b *build) changedPolicies(kinds []string) map[string]*policyNews {
	out := map[string]*policyNews{}
	compare := func(k rulesetKey) {
		before, after := b.c.lastRulesets[k], b.rulesets[k]
		if before == after || !slices.Contains(kinds, k.kind) {
			return
		}
		n := out[k.mesh]
		if n == nil {
			n = &policyNews{}
			out[k.mesh] = n
		}
		family := cmp.Or(after, before).family
		changed := func(p *policy) { n.changed = append(n.changed, changedPolicy{p, family}) }
		symmetric(before.list(), after.list(), func(x, y *policy) bool { return x.doc == y.doc },
			func(x, y *policy) bool { return x.doc.Name < y.doc.Name }, changed, changed)
		n.all = len(n.changed) > manyPolicies
	}
	for k := range b.rulesets {
		compare(k)
	}
	for k := range b.c.lastRulesets {
		if b.rulesets[k] == nil {
			compare(k)
		}
	}
	return out
}

// selects reports whether one of the policies selects a proxy, or for policies
// chosen by the tags of a destination, an inbound, with these tag sets.
func (n *policyNews) selects(tags []map[string]string) bool {
	return n != nil && (n.all || slices.ContainsFunc(n.changed, func(p changedPolicy) bool {
		_, ok := best(p.selectors, tags)
		return ok
	}))
}

// symmetric calls gone for what is in before alone, and come for what is in
// after alone; both lists are in the order of less.
func symmetric[T any](before, after []T, same, less func(x, y T) bool, gone, come func(T)) {
	for len(before) > 0 && len(after) > 0 {
		switch {
		case same(before[0], after[0]):
			before, after = before[1:], after[1:]
		case less(after[0], before[0]):
			come(after[0])
			after = after[1:]
		default:
			gone(before[0])
			before = before[1:]
		}
	}
	for _, x := range before {
		gone(x)
	}
	for _, x := range after {
		come(x)
	}
}

// staleFor returns a function that reports whether a passage of a proxy of mesh
// with these tag sets must be made anew; nil where none must.
func (n *news) staleFor(mesh string, tags ...map[string]string) func(*passage) bool {
	policies := n.passages[mesh]
	var names map[string]bool
	if policies != nil {
		if policies.all {
			return func(*passage) bool { return true }
		}
		for _, p := range policies.changed {
			if _, ok := best(p.selectors, tags); ok {
				if names == nil {
					names = map[string]bool{}
				}
				for _, name := range p.services {
					names[name] = true
				}
			}
		}
	}
	if names == nil && len(n.services) == 0 {
		return nil
	}
	touched := func(k serviceKey) bool { return names["*"] || names[k.name] || n.services[k] }
	return func(p *passage) bool { return touched(p.to) || slices.ContainsFunc(p.asked, touched) }
}

// keepViews takes over the views of the last compile that nothing new is about,
// and attaches the other dataplanes.
func (b *build) keepViews() {
	b.views = make([]*view, 0, len(b.dataplanes))
	old := b.c.views
	for _, d := range b.dataplanes {
		for len(old) > 0 && old[0].doc != d && byID(old[0].doc, d) {
			old = old[1:]
		}
		if len(old) == 0 || old[0].doc != d || b.stale(old[0]) {
			b.views = append(b.views, b.attachDataplane(d))
			continue
		}
		v := old[0]
		v.unplug()
		b.views = append(b.views, v)
	}
}

// unplug takes the plugins from v, for they are attached in each compile.
func (v *view) unplug() {
	if !v.plugged {
		return
	}
	v.plugged = false
	for i := range v.listeners {
		v.listeners[i].plugins = nil
	}
}

// stale reports whether v must be made anew.
func (b *build) stale(v *view) bool {
	if v.found || v.metrics != b.shownBy(v.doc) {
		return true // what was found is to be told again, and may have other reasons
	}
	stale := b.news.staleFor(v.doc.Mesh, v.tags...)
	if stale == nil {
		return false
	}
	for i := range v.listeners { // by index, for they are large
		if p := v.listeners[i].passage; p != nowhere && stale(p) {
			return true
		}
	}
	return false
}

// staleUses returns a function that reports whether the uses of the listeners of
// a view must be found anew.
func (b *build) staleUses() func(*view) bool {
	targets := map[*policy][]string{} // of policies that are for targets, the services
	for _, n := range b.news.uses {
		for _, p := range n.changed {
			if p.family == inbound {
				targets[p.policy] = destinations(p.selectors)
			}
		}
	}
	return func(v *view) bool {
		n := b.news.uses[v.doc.Mesh]
		if !v.matched || v.mesh != b.meshes[v.doc.Mesh] || n != nil && n.all {
			return true
		}
		if n == nil {
			return false
		}
		for _, p := range n.changed {
			names, ok := targets[p.policy]
			if ok { // it is for whoever goes there, or keeps others from acting there
				ok = v.leadsTo(names)
			} else {
				_, ok = best(p.selectors, v.tags)
			}
			if ok {
				return true
			}
		}
		return false
	}
}

// leadsTo reports whether a listener of v leads to one of the services; "" and
// "*" are any.
func (v *view) leadsTo(names []string) bool {
	for i := range v.listeners {
		for a := range v.listeners[i].everywhere() {
			for _, name := range names {
				if name == "" || name == "*" || name == a.service.name {
					return true
				}
			}
		}
	}
	return false
}

// gatewayPassages returns the passages of the gateway to the services that it
// serves, nil for the others, taking over those that nothing new is about.
func (b *build) gatewayPassages() []*passage {
	out := make([]*passage, len(b.sorted))
	old := b.c.gateway
	from := &caller{}
	var stale func(*passage) bool
	for i, s := range b.sorted {
		if len(s.domains) == 0 {
			continue
		}
		if from.mesh != s.mesh { // services are sorted by mesh
			from, stale = b.callerOf(s.mesh, gatewayTags), b.news.staleFor(s.mesh, gatewayTags)
		}
		for len(old) > 0 && (old[0] == nil || old[0].own != s && serviceBefore(old[0].own, s)) {
			old = old[1:]
		}
		if len(old) > 0 && old[0].own == s && (stale == nil || !stale(old[0])) {
			out[i] = old[0]
			continue
		}
		out[i] = b.passage(from, map[string]string{kuma.ServiceTag: s.name})
	}
	b.c.gateway = out
	return out
}

func serviceBefore(x, y *service) bool { return x.mesh < y.mesh || x.mesh == y.mesh && x.name < y.name }

// list returns the policies of r by name.
func (r *ruleset) list() []*policy {
	if r == nil {
		return nil
	}
	return r.policies
}
