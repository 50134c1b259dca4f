package plan

import (
	"slices"
	"strconv"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// structure is a struct: the rules about a map's fields.
type structure struct {
	items []item // in an order in which no item needs a later one's result
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
	for _, it := range s.items {
		it.apply(r, e)
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
		switch it := it.(type) {
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

// presence says whether a field must be there.
type presence uint8

const (
	regular  presence = iota // must be there or have a default
	optional                 // ?
	required                 // !
)

// field is a declared field.
type field struct {
	name     string
	presence presence
	value    constraint
	attributes
	seen *tally
}

func (f *field) apply(r *run, e int) {
	n := r.envs[e].node
	i := 0
	for i < len(n.Fields) && n.Fields[i].Key != f.name {
		i++
	}
	if !f.seen.note(i < len(n.Fields)) {
		if f.presence == regular && r.faults.doubt(n, f.name) == "" {
			r.setDefault(e, f)
		}
		return
	}
	r.know(e, i)
	x := n.Fields[i]
	switch {
	case f.drop, x.Value.Kind == tree.Null && r.nullAbsent && !f.value.kinds().has(tree.Null):
		r.remove(e, i)
		if !f.drop && f.presence == regular {
			r.setDefault(e, f)
		}
		return
	case f.isAbsent(x.Value):
		if f.presence == regular {
			if d := f.value.fill(r, e); d != nil {
				r.remove(e, i)
				r.setDefault(e, f)
			}
		}
		return
	}
	r.enterKey(x.Key, x.KeyPos, f.how)
	v := f.value.check(r, e, x.Value)
	r.leave()
	if v != x.Value {
		r.own(e).Fields[i].Value = v
	}
}

// setDefault gives an absent field its default, if it has one.
func (r *run) setDefault(e int, f *field) {
	r.doubt = ""
	d := f.value.fill(r, e)
	if d == nil {
		return
	}
	pos := r.inside()
	r.enterKey(f.name, pos, f.how)
	defer r.leave()
	before, unreadable := len(r.findings), isUnreadable(r.doubt)
	d = f.value.check(r, e, d)
	if unreadable { // what it was copied from is the mistake
		r.findings = r.findings[:before]
	}
	n := r.own(e)
	r.know(e, len(n.Fields))
	n.Fields = append(n.Fields, tree.Field{Key: f.name, KeyPos: pos, Value: d})
}

// copiesDoubt reports whether the default of f would be a copy of what is
// misspelt or of a wrong type.
func (r *run) copiesDoubt(e int, f *field) bool {
	if r.faults == nil {
		return false
	}
	r.doubt = ""
	f.value.fill(r, e)
	return isUnreadable(r.doubt)
}

// own returns the node of env e as a copy that may be changed.
func (r *run) own(e int) *tree.Node {
	v := &r.envs[e]
	if !v.owned {
		n := r.slab.node(*v.node)
		n.Fields = r.slab.copyFields(n.Fields, v.room)
		v.node, v.owned = n, true
	}
	return v.node
}

func (r *run) remove(e, i int) {
	n := r.own(e)
	n.Fields = slices.Delete(n.Fields, i, i+1)
	r.envs[e].known, r.envs[e].shifted = 0, true
}

// finish reports that f is missing, and runs its checks on the value with all
// its defaults.
func (f *field) finish(r *run, e int) {
	n := r.envs[e].node
	x := n.Field(f.name)
	if x == nil || f.presence != optional && f.isAbsent(x.Value) {
		if f.presence != optional && r.faults.doubt(n, f.name) == "" && !r.copiesDoubt(e, f) {
			r.missing(f, x)
		}
		return
	}
	if len(f.checks) > 0 && !f.isAbsent(x.Value) {
		r.enterKey(f.name, x.KeyPos, f.how)
		r.runChecks(f.checks, x.Value, f.rule)
		r.leave()
	}
}

// missing reports that f is not there, or holds a zero that counts as that.
func (r *run) missing(f *field, x *tree.Field) {
	pos := r.inside()
	if x != nil {
		pos = x.Value.Pos
	}
	r.enterKey(f.name, pos, f.how)
	var rl *rule
	message := "missing required field " + strconv.Quote(f.name)
	if x != nil && !x.Value.Default {
		message = f.name + " is required, and " + show(x.Value) + " counts as not set"
	}
	if f.rule != nil {
		rl = &rule{class: f.rule.class, hint: f.rule.hint}
		if f.rule.missing != "" {
			rl.hint, message = "", f.name+" "+f.rule.missing
		}
	}
	r.add(Finding{Code: diag.CodeRequired, Message: message, Pos: pos}, rl)
	r.leave()
}

// isAbsent reports whether n counts as not written.
func (f *field) isAbsent(n *tree.Node) bool {
	return f.zeroAbsent && isZero(n) && f.value.kinds().has(n.Kind)
}

func isZero(n *tree.Node) bool {
	switch n.Kind {
	case tree.String:
		return n.Text == ""
	case tree.Int:
		return parseNumber(n.Text) == number{isInt: true}
	case tree.Bool:
		return n.Text == "false"
	}
	return false
}

// pattern is [KEY]: VALUE, the rule about every field whose name matches.
type pattern struct {
	key   scalar
	value constraint
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
		after.shifted = after.node != n
	}
	v := &r.envs[e]
	if after.node != n {
		v.node, v.owned = after.node, true
	}
	if v.known |= after.known; after.shifted || v.shifted {
		v.known, v.shifted = 0, true
	}
}
