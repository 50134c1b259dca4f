package plan

import (
	"slices"
	"strconv"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// structure is a struct: the rules about a map's fields.
type structure struct {
	items []entry // in an order in which no item needs a later one's result
	// finishing are the fields among them that have something to say when all
	// defaults are in: that they are missing, or what a check finds.
	finishing []*field
	checks    []Check
	// What belongs to the struct. A closed struct refuses every other field.
	closed   bool
	refuses  bool            // closed, and nothing that belongs to it is open
	room     int             // at most so many fields can get a default
	names    map[string]bool // fields declared outside any if
	patterns []*pattern
	embedded []constraint // structures, or disjunctions of them
	whens    []*when
	also     []*structure // of the same value: what they know belongs, too
	open     bool         // ...
	owner    *structure   // of the body of an if: the struct that it stands in
	seen     *tally
	unknown  *tally // of being closed
}

// entry is an item, with the keyBit of what it says nothing without.
type entry struct {
	item
	bit uint64 // or anyKey
}

// item is one declaration of a struct, applied to the struct in env e.
type item interface{ apply(r *run, e int) }

func (s *structure) kinds() kinds { return kindSet(tree.Map) }

func (s *structure) fill(r *run, _ int) *tree.Node {
	return r.slab.node(tree.Node{Kind: tree.Map, Pos: r.inside(), Default: true})
}

func (s *structure) check(r *run, up int, n *tree.Node) *tree.Node {
	if !s.seen.note(n.Kind == tree.Map) {
		r.wrongType(n, s.kinds())
		return n
	}
	e := r.push(up, n, s.room)
	s.body(r, e)
	if s.refuses {
		s.refuseUnknown(r, e)
	}
	return r.pop(e)
}

// body applies every rule of s to the struct in env e, except that it is closed.
func (s *structure) body(r *run, e int) {
	for i := range s.items {
		if it := &s.items[i]; it.bit&r.envs[e].keys != 0 || it.bit == anyKey {
			it.apply(r, e)
		}
	}
	for _, f := range s.finishing {
		f.finish(r, e)
	}
	if len(s.checks) > 0 {
		r.runChecks(s.checks, r.envs[e].node, nil)
	}
}

func (s *structure) refuseUnknown(r *run, e int) {
	n := r.envs[e].node
	s.unknown.note(true) // as far as the fields that it knows go
	known := r.envs[e].known
	for i := range n.Fields {
		f := &n.Fields[i]
		if known>>i&1 != 0 || s.knows(r, e, f.Key) {
			continue
		}
		s.unknown.note(false)
		r.enterKey(f.Key, f.KeyPos, nil)
		r.add(Finding{
			Code: diag.CodeUnknownField, Pos: f.KeyPos,
			Message: "unknown field " + strconv.Quote(f.Key), Hint: didYouMean(f.Key, s.allNames(nil)),
		}, nil)
		r.leave()
	}
}

func (s *structure) isOpen() bool {
	return s.open || slices.ContainsFunc(s.embedded, embeddedOpen) || slices.ContainsFunc(s.also, func(o *structure) bool { return o.open })
}

// settle computes what needs the whole of s, and of what it refers to.
func (s *structure) settle() {
	s.refuses = s.closed && !s.isOpen()
	s.room = s.defaults()
}

// defaults is at most how many fields can get a default.
func (s *structure) defaults() int {
	n := 0
	for _, it := range s.items {
		switch it := it.item.(type) {
		case *field:
			if it.presence == regular {
				n++
			}
		case *when:
			n += it.body.defaults()
		case embed:
			if inner := structureOf(it.constraint); inner != nil {
				n += inner.defaults()
			}
		}
	}
	return n
}

func embeddedOpen(c constraint) bool {
	s := structureOf(c)
	return s != nil && s.isOpen()
}

// knows reports whether a field of that name belongs to s. With e == noEnv the
// fields of every if count, else only those of the ones that apply.
func (s *structure) knows(r *run, e int, name string) bool {
	if s.names[name] {
		return true
	}
	for _, p := range s.patterns {
		if p.matches(name) {
			return true
		}
	}
	for _, w := range s.whens {
		if (e == noEnv || w.holds(r, e)) && w.body.knows(r, e, name) {
			return true
		}
	}
	for _, c := range s.embedded {
		if inner := structureOf(c); inner != nil && inner.knows(r, noEnv, name) {
			return true
		}
	}
	return slices.ContainsFunc(s.also, func(other *structure) bool { return other.knowsAlone(name) })
}

// knowsAlone is knows without regard to what else describes the same value.
func (s *structure) knowsAlone(name string) bool {
	alone := *s
	alone.also = nil
	return alone.knows(nil, noEnv, name)
}

// allNames adds the names of every field that s knows, for suggestions.
func (s *structure) allNames(names []string) []string {
	for name := range s.names {
		names = append(names, name)
	}
	for _, w := range s.whens {
		names = w.body.allNames(names)
	}
	for _, c := range s.embedded {
		if inner := structureOf(c); inner != nil {
			names = inner.allNames(names)
		}
	}
	slices.Sort(names)
	return names
}

// structureOf returns the struct that c is, or nil.
func structureOf(c constraint) *structure {
	switch c := c.(type) {
	case *structure:
		return c
	case *definition:
		return structureOf(c.rule)
	}
	return nil
}

// pattern is [KEY]: VALUE, the rule about every field whose name matches.
type pattern struct {
	key   scalar
	value constraint
	of    *structure // that it stands in
	attributes
	seen *tally
}

func (p *pattern) matches(name string) bool {
	switch k := p.key.(type) {
	case *basic:
		return k.set.has(tree.String)
	case *predicate:
		if k.matcher != nil {
			return k.matcher.match(name) != k.not
		}
	}
	return p.key.holds(&tree.Node{Kind: tree.String, Text: name})
}

func (p *pattern) apply(r *run, e int) {
	n := r.envs[e].node
	for i := 0; i < len(n.Fields); i++ {
		x := n.Fields[i]
		if !p.seen.note(p.matches(x.Key)) {
			continue
		}
		r.know(e, i)
		if p.misspelt(r, n, x) {
			continue
		}
		v := r.present(x.Value, p.value)
		r.enterKey(x.Key, x.KeyPos, p.how)
		v = p.value.check(r, e, v)
		if len(p.checks) > 0 {
			r.runChecks(p.checks, v, p.rule)
		}
		r.leave()
		if v != x.Value {
			n = r.own(e)
			n.Fields[i].Value = v
		}
	}
}

// misspelt reports x, a field of n, as unknown if p forbids its name, and the
// name is near to that of a field which is not there.
func (p *pattern) misspelt(r *run, n *tree.Node, x tree.Field) bool {
	b, forbids := p.value.(*bottom)
	if !forbids {
		return false
	}
	hint := didYouMean(x.Key, slices.DeleteFunc(p.of.allNames(nil), func(name string) bool { return n.Field(name) != nil }))
	if hint == "" {
		return false
	}
	b.seen.note(false)
	r.enterKey(x.Key, x.KeyPos, p.how)
	r.add(Finding{Code: diag.CodeUnknownField, Pos: x.KeyPos, Message: "unknown field " + strconv.Quote(x.Key), Hint: hint}, nil)
	r.leave()
	return true
}

// when is if COND { … }.
type when struct {
	conditions []expr
	body       *structure // of the same struct and env
	seen       *tally
}

func (w *when) holds(r *run, e int) bool {
	for _, c := range w.conditions {
		if !c(r, e).isTrue() {
			return false
		}
	}
	return true
}

func (w *when) apply(r *run, e int) {
	r.doubt = ""
	if w.seen.note(w.holds(r, e)) && r.doubt == "" {
		w.body.body(r, e)
	}
}

// embed is a rule about the whole struct, written as a declaration in it.
type embed struct{ constraint }

func (m embed) apply(r *run, e int) {
	n := r.envs[e].node
	var after env
	if s := structureOf(m.constraint); s != nil {
		inner := r.push(noEnv, n, s.room)
		s.body(r, inner)
		after = r.envs[inner]
		r.pop(inner)
	} else {
		after.node = m.check(r, e, n)
		after.shifted, after.keys = after.node != n, anyKey
	}
	v := &r.envs[e]
	if after.node != n {
		v.node, v.owned = after.node, true
	}
	v.keys |= after.keys
	if v.known |= after.known; after.shifted || v.shifted {
		v.known, v.shifted = 0, true
	}
}
