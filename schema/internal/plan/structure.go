package plan

import (
	"slices"
	"strconv"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// structure is a struct: the rules about a map's fields.
type structure struct {
	items  []item // in an order in which no item needs a later one's result
	checks []Check
	// What belongs to the struct. A closed struct refuses every other field.
	closed   bool
	names    map[string]bool // fields declared outside any if
	patterns []*pattern
	embedded []constraint // structures, or disjunctions of them
	whens    []*when
	also     []*structure // of the same value: what they know belongs, too
	open     bool         // ...
	owner    *structure   // of the body of an if: the struct that it stands in
}

// item is one declaration of a struct, applied to the struct in env e.
type item interface{ apply(r *run, e int) }

func (s *structure) kinds() kinds { return kindSet(tree.Map) }

func (s *structure) fill(r *run, _ int) *tree.Node {
	return &tree.Node{Kind: tree.Map, Pos: r.inside(), Default: true}
}

func (s *structure) check(r *run, up int, n *tree.Node) *tree.Node {
	if n.Kind != tree.Map {
		r.wrongType(n, s.kinds())
		return n
	}
	e := r.push(up, n)
	s.body(r, e)
	if s.closed && !s.isOpen() {
		s.refuseUnknown(r, e)
	}
	return r.pop(e)
}

// body applies every rule of s to the struct in env e, except that it is closed.
func (s *structure) body(r *run, e int) {
	for _, it := range s.items {
		it.apply(r, e)
	}
	for _, it := range s.items {
		if f, ok := it.(*field); ok {
			f.finish(r, e, s)
		}
	}
	if len(s.checks) > 0 {
		r.runChecks(s.checks, r.envs[e].node, nil)
	}
}

func (s *structure) refuseUnknown(r *run, e int) {
	n := r.envs[e].node
	for i := range n.Fields {
		f := &n.Fields[i]
		if s.names[f.Key] || s.knows(r, e, f.Key) {
			continue
		}
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
}

func (f *field) apply(r *run, e int) {
	n := r.envs[e].node
	i := slices.IndexFunc(n.Fields, func(x tree.Field) bool { return x.Key == f.name })
	if i < 0 {
		if f.presence == regular {
			r.setDefault(e, f)
		}
		return
	}
	x := n.Fields[i]
	switch {
	case f.drop, x.Value.Kind == tree.Null && r.nullAbsent && !f.value.kinds().has(tree.Null):
		r.remove(e, i)
		if !f.drop && f.presence == regular {
			r.setDefault(e, f)
		}
		return
	case f.zeroAbsent && isZero(x.Value):
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
	pos := r.inside()
	r.enterKey(f.name, pos, f.how)
	defer r.leave()
	r.copied = tree.Pos{}
	d := f.value.fill(r, e)
	if d == nil {
		return
	}
	before := len(r.findings)
	d = f.value.check(r, e, d)
	if len(r.findings) > before && r.mistyped(r.copied) {
		r.findings = r.findings[:before] // the value that it was copied from is the mistake
	}
	n := r.own(e)
	n.Fields = append(n.Fields, tree.Field{Key: f.name, KeyPos: pos, Value: d})
}

// mistyped reports whether the value at pos is known to have a wrong type.
func (r *run) mistyped(pos tree.Pos) bool {
	return pos != tree.Pos{} && slices.ContainsFunc(r.findings, func(f Finding) bool { return f.Code == diag.CodeType && f.Pos == pos })
}

// own returns the node of env e as a copy that may be changed.
func (r *run) own(e int) *tree.Node {
	v := &r.envs[e]
	if !v.owned {
		v.node, v.owned = copyNode(v.node), true
	}
	return v.node
}

func (r *run) remove(e, i int) {
	n := r.own(e)
	n.Fields = slices.Delete(n.Fields, i, i+1)
}

// finish reports that f is missing, and runs its checks on the value with all
// its defaults.
func (f *field) finish(r *run, e int, s *structure) {
	if f.presence == optional && len(f.checks) == 0 {
		return
	}
	n := r.envs[e].node
	x := n.Field(f.name)
	if x == nil || f.zeroAbsent && f.presence != optional && isZero(x.Value) {
		if f.presence != optional && !s.misspelt(n, f.name) {
			r.missing(f, x)
		}
		return
	}
	if len(f.checks) > 0 && !(f.zeroAbsent && isZero(x.Value)) {
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

// misspelt reports whether n has an unknown field that is nearly name: then the
// unknown field alone is the mistake.
func (s *structure) misspelt(n *tree.Node, name string) bool {
	for s.owner != nil {
		s = s.owner
	}
	return s.closed && slices.ContainsFunc(n.Fields, func(f tree.Field) bool {
		return f.Key != name && nearest(f.Key, []string{name}) != "" && !s.knows(nil, noEnv, f.Key)
	})
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
		if !p.matches(x.Key) {
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

// when is if COND { … }.
type when struct {
	conditions []expr
	body       *structure // of the same struct and env
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
	if w.holds(r, e) {
		w.body.body(r, e)
	}
}

// embed is a rule about the whole struct, written as a declaration in it.
type embed struct{ constraint }

func (m embed) apply(r *run, e int) {
	n := r.envs[e].node
	var out *tree.Node
	if s := structureOf(m.constraint); s != nil {
		inner := r.push(noEnv, n)
		s.body(r, inner)
		out = r.pop(inner)
	} else {
		out = m.check(r, e, n)
	}
	if out != n {
		r.envs[e].node, r.envs[e].owned = out, true
	}
}

// minFields is struct.MinFields.
type minFields struct {
	atLeast int
	rule    *rule
}

func (m *minFields) kinds() kinds              { return kindSet(tree.Map) }
func (m *minFields) fill(*run, int) *tree.Node { return nil }

func (m *minFields) check(r *run, _ int, n *tree.Node) *tree.Node {
	switch count := len(n.Fields); {
	case n.Kind != tree.Map:
		r.wrongType(n, m.kinds())
	case count < m.atLeast:
		r.fail(n, diag.CodeInvalid, "has "+plural(count, "field")+", want at least "+strconv.Itoa(m.atLeast), m.rule)
	}
	return n
}
