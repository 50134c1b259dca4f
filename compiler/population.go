package compiler

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/kuma"
)

// member is something that selectors may select: a proxy, with a tag set for
// each inbound; or a destination, with one. Members of one key are the same to
// any selector.
type member struct {
	key  string
	tags []map[string]string
	// shape is all that a selector of nothing but wildcards can see.
	shape string
	// stranger marks one that no document defines.
	stranger bool
}

// addStranger adds what a selector that names no service selects, with the tags
// of the selector and no others. It stands for those that may come: a policy
// that is for whatever there is and will be is not in vain while there is little.
func (p *population) addStranger(selector map[string]string) {
	const value = "\x00" // no tag may hold it
	if name, named := selector[kuma.ServiceTag]; named && name != "*" {
		return
	}
	tags := maps.Clone(selector)
	for k, v := range tags {
		if v == "*" {
			tags[k] = value
		}
	}
	m := newMember(tags)
	m.stranger = true
	p.add(m)
}

func newMember(tags ...map[string]string) member {
	keys, shapes := make([]string, len(tags)), make([]string, len(tags))
	for i, set := range tags {
		names := slices.Sorted(maps.Keys(set))
		shapes[i] = strings.Join(names, " ")
		for j, k := range names {
			names[j] = k + "=" + set[k]
		}
		keys[i] = strings.Join(names, " ")
	}
	return member{key: lines(keys), tags: tags, shape: lines(shapes)}
}

// lines joins texts, each once, in order.
func lines(texts []string) string {
	slices.Sort(texts)
	return strings.Join(slices.Compact(texts), "\n")
}

// population is distinct members, with indexes that find the few that a
// selector may select without a look at all of them. Whoever lets policies meet
// there goes through the members in their order, so it must not depend on that
// of the documents.
type population struct {
	members []member
	keys    map[string]bool
	byTag   map[tag][]int
	byKey   map[string][]int
	byShape map[string][]int
	shapes  []string // the keys of byShape, in order of appearance
}

type tag struct{ key, value string }

// newPopulation returns a population of members, each once, sorted by key.
func newPopulation(members []member) *population {
	p := &population{keys: map[string]bool{}, byTag: map[tag][]int{}, byKey: map[string][]int{}, byShape: map[string][]int{}}
	for _, m := range slices.SortedFunc(maps.Values(distinct(members)), func(x, y member) int { return strings.Compare(x.key, y.key) }) {
		p.add(m)
	}
	return p
}

func distinct(members []member) map[string]member {
	out := map[string]member{}
	for _, m := range members {
		out[m.key] = m
	}
	return out
}

// add adds m unless one like it is there.
func (p *population) add(m member) {
	if p.keys[m.key] {
		return
	}
	p.keys[m.key] = true
	n := len(p.members)
	p.members = append(p.members, m)
	for _, set := range m.tags {
		for k, v := range set {
			p.byTag[tag{k, v}] = appendOnce(p.byTag[tag{k, v}], n)
			p.byKey[k] = appendOnce(p.byKey[k], n)
		}
	}
	if p.byShape[m.shape] == nil {
		p.shapes = append(p.shapes, m.shape)
	}
	p.byShape[m.shape] = append(p.byShape[m.shape], n)
}

func appendOnce[T comparable](list []T, n T) []T {
	if len(list) > 0 && list[len(list)-1] == n {
		return list
	}
	return append(list, n)
}

// candidates returns the members that have the rarest tag of a selector; all
// that it selects are among them.
func (p *population) candidates(selector map[string]string) []int {
	var rarest []int
	for i, k := range slices.Sorted(maps.Keys(selector)) {
		list := p.byKey[k]
		if v := selector[k]; v != "*" {
			list = p.byTag[tag{k, v}]
		}
		if i == 0 || len(list) < len(rarest) {
			rarest = list
		}
	}
	return rarest
}

// holds reports whether selector selects a member that is no stranger. That for
// all services always does.
func (p *population) holds(selector map[string]string) bool {
	if len(selector) == 1 && selector[kuma.ServiceTag] == "*" {
		return true
	}
	return slices.ContainsFunc(p.candidates(selector), func(n int) bool {
		m := &p.members[n]
		return !m.stranger && slices.ContainsFunc(m.tags, func(set map[string]string) bool {
			_, ok := matches(selector, set)
			return ok
		})
	})
}

// services returns the names of the services among the members.
func (p *population) services() map[string]bool {
	out := map[string]bool{}
	for _, m := range p.members {
		for _, set := range m.tags {
			if !m.stranger {
				out[set[kuma.ServiceTag]] = true
			}
		}
	}
	return out
}

// world is what the policies of one mesh may be about.
type world struct {
	proxies *population
	// inbounds are what takes traffic, each with all its tags: the inbounds of
	// dataplanes, and for what has none, the service itself.
	inbounds *population
	services map[string]bool
}

// worlds returns the worlds of the meshes in want.
func (b *build) worlds(want map[string]bool) map[string]*world {
	gateway := newMember(gatewayTags)
	proxies, inbounds, services := map[string][]member{}, map[string][]member{}, map[string]map[string]bool{} // by mesh
	for mesh := range want {
		proxies[mesh], services[mesh] = []member{gateway}, map[string]bool{}
	}
	for i, d := range b.dataplanes {
		if want[d.Mesh] {
			own := b.c.members.list.At(i)
			proxies[d.Mesh] = append(proxies[d.Mesh], own.proxy)
			inbounds[d.Mesh] = append(inbounds[d.Mesh], own.inbounds...)
		}
	}
	for _, d := range b.byKind["kuma/ExternalService"] {
		if want[d.Mesh] {
			inbounds[d.Mesh] = append(inbounds[d.Mesh], newMember(d.Body.(*kuma.ExternalService).Tags))
		}
	}
	for _, s := range b.sorted {
		if !want[s.mesh] {
			continue
		}
		services[s.mesh][s.name] = true
		if s.dialect != schema.Kuma {
			tags := map[string]string{kuma.ServiceTag: s.name, kuma.ProtocolTag: cmp.Or(s.protocol, "http")}
			inbounds[s.mesh] = append(inbounds[s.mesh], newMember(tags))
		}
	}
	out := map[string]*world{}
	for mesh := range want {
		out[mesh] = &world{newPopulation(proxies[mesh]), newPopulation(inbounds[mesh]), services[mesh]}
	}
	return out
}

// dataplaneMembers is what one dataplane adds to the world.
type dataplaneMembers struct {
	proxy    member
	inbounds []member
	key      string // of the inbounds
}

func newMembers(d *schema.Document) *dataplaneMembers {
	dp := d.Body.(*kuma.Dataplane)
	var out dataplaneMembers
	tags := make([]map[string]string, 0, len(dp.Networking.Inbound)+1)
	for _, in := range dp.Networking.Inbound {
		tags = append(tags, in.Tags)
		out.inbounds = append(out.inbounds, newMember(in.Tags))
	}
	if g := dp.Networking.Gateway; g != nil {
		tags = append(tags, g.Tags)
	}
	out.proxy = newMember(tags...)
	out.key = newMember(tags[:len(out.inbounds)]...).key
	return &out
}

// tagText writes the tags of a selector for a message.
func tagText(selector map[string]string) string {
	pairs := make([]string, 0, len(selector))
	for _, k := range slices.Sorted(maps.Keys(selector)) {
		pairs = append(pairs, k+": "+strconv.Quote(selector[k]))
	}
	return strings.Join(pairs, ", ")
}
