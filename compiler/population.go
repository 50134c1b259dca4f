package compiler

import (
	"maps"
	"slices"
	"strconv"
	"strings"

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
	// count is how often it was added.
	count int
}

func newMember(tags ...map[string]string) *member {
	keys, shapes := make([]string, len(tags)), make([]string, len(tags))
	for i, set := range tags {
		names := slices.Sorted(maps.Keys(set))
		shapes[i] = strings.Join(names, " ")
		for j, k := range names {
			names[j] = k + "=" + set[k]
		}
		keys[i] = strings.Join(names, " ")
	}
	return &member{key: lines(keys), tags: tags, shape: lines(shapes)}
}

// lines joins texts, each once, in order.
func lines(texts []string) string {
	if len(texts) == 1 {
		return texts[0]
	}
	slices.Sort(texts)
	return strings.Join(slices.Compact(texts), "\n")
}

// stranger is what a selector that names no service selects, with the tags of
// the selector and no others; nil for a selector that names one. It stands for
// those that may come: a policy that is for whatever there is and will be is not
// in vain while there is little.
func stranger(selector map[string]string) *member {
	const value = "\x00" // no tag may hold it
	if name, named := selector[kuma.ServiceTag]; named && name != "*" {
		return nil
	}
	tags := maps.Clone(selector)
	for k, v := range tags {
		if v == "*" {
			tags[k] = value
		}
	}
	return newMember(tags)
}

// population is distinct members, with indexes that find the few that a
// selector may select without a look at all of them. The indexes are in no
// order, so that one member can come or go at little cost.
type population struct {
	members map[string]*member              // by key
	byTag   map[string]map[string][]*member // by key and value of a tag
	byKey   map[string][]*member            // by key of a tag
	byShape map[string][]*member
}

func newPopulation() *population {
	return &population{map[string]*member{}, map[string]map[string][]*member{}, map[string][]*member{}, map[string][]*member{}}
}

// add adds m and reports whether none like it was there.
func (p *population) add(m *member) bool {
	if known := p.members[m.key]; known != nil {
		known.count++
		return false
	}
	m.count = 1
	p.members[m.key] = m
	for _, set := range m.tags {
		for k, v := range set {
			values := p.byTag[k]
			if values == nil {
				values = map[string][]*member{}
				p.byTag[k] = values
			}
			values[v] = appendOnce(values[v], m)
			p.byKey[k] = appendOnce(p.byKey[k], m)
		}
	}
	p.byShape[m.shape] = append(p.byShape[m.shape], m)
	return true
}

// remove takes back one add of a member like m, and reports whether none is left.
func (p *population) remove(m *member) bool {
	m = p.members[m.key]
	if m.count--; m.count > 0 {
		return false
	}
	delete(p.members, m.key)
	for _, set := range m.tags {
		for k, v := range set {
			without(p.byTag[k], v, m)
			without(p.byKey, k, m)
		}
	}
	without(p.byShape, m.shape, m)
	return true
}

// without takes m out of an index, once.
func without(index map[string][]*member, at string, m *member) {
	list := index[at]
	i := slices.Index(list, m)
	if i < 0 {
		return
	}
	last := len(list) - 1
	list[i], list[last] = list[last], nil
	if index[at] = list[:last]; last == 0 {
		delete(index, at)
	}
}

func appendOnce[T comparable](list []T, n T) []T {
	if len(list) > 0 && list[len(list)-1] == n {
		return list
	}
	return append(list, n)
}

// candidates returns the members that have the rarest tag of a selector; all
// that it selects are among them.
func (p *population) candidates(selector map[string]string) []*member {
	var rarest []*member
	for i, k := range slices.Sorted(maps.Keys(selector)) {
		list := p.byKey[k]
		if v := selector[k]; v != "*" {
			list = p.byTag[k][v]
		}
		if i == 0 || len(list) < len(rarest) {
			rarest = list
		}
	}
	return rarest
}

// holds reports whether selector selects a member. That for all services always does.
func (p *population) holds(selector map[string]string) bool {
	if len(selector) == 1 && selector[kuma.ServiceTag] == "*" {
		return true
	}
	return slices.ContainsFunc(p.candidates(selector), func(m *member) bool {
		return slices.ContainsFunc(m.tags, func(set map[string]string) bool {
			_, ok := matches(selector, set)
			return ok
		})
	})
}

// services returns the members by the names of their services.
func (p *population) services() map[string][]*member { return p.byTag[kuma.ServiceTag] }

// tagText writes the tags of a selector for a message.
func tagText(selector map[string]string) string {
	pairs := make([]string, 0, len(selector))
	for _, k := range slices.Sorted(maps.Keys(selector)) {
		pairs = append(pairs, k+": "+strconv.Quote(selector[k]))
	}
	return strings.Join(pairs, ", ")
}
