package plan

import (
	"slices"
	"strconv"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// constraint is a compiled CUE expression that a value must satisfy.
type constraint interface {
	// kinds is the set of node kinds that can satisfy it.
	kinds() kinds
	// fill returns the value that stands where none was written, or nil.
	fill(r *run, e int) *tree.Node
	// check reports what is wrong with n and returns n with its defaults.
	check(r *run, e int, n *tree.Node) *tree.Node
}

// scalar is a constraint that looks at nothing but the value itself.
type scalar interface {
	constraint
	holds(n *tree.Node) bool
	// wants completes "want …" in a message.
	wants() string
}

// kinds is a set of tree.Kind.
type kinds uint8

func kindSet(ks ...tree.Kind) kinds {
	var s kinds
	for _, k := range ks {
		s |= 1 << k
	}
	return s
}

const anyKind kinds = 1<<(tree.Map+1) - 1

var numberKinds = kindSet(tree.Int, tree.Float)

func (s kinds) has(k tree.Kind) bool { return s&(1<<k) != 0 }

// conj is a unification: every part must hold.
type conj struct {
	parts []constraint
	set   kinds
}

func newConj(parts []constraint) constraint {
	if len(parts) == 1 {
		return parts[0]
	}
	c := conj{parts: parts, set: anyKind}
	var scalars []scalar
	for _, p := range parts {
		c.set &= p.kinds()
		if s, ok := p.(scalar); ok {
			scalars = append(scalars, s)
		}
	}
	if len(scalars) == len(parts) {
		return &scalarConj{c, scalars}
	}
	return &c
}

func (c *conj) kinds() kinds { return c.set }

func (c *conj) fill(r *run, e int) *tree.Node {
	for _, p := range c.parts {
		if n := p.fill(r, e); n != nil {
			return n
		}
	}
	return nil
}

func (c *conj) check(r *run, e int, n *tree.Node) *tree.Node {
	if !c.set.has(n.Kind) {
		noteWrongType(n, c.parts...)
		r.wrongType(n, c.set, c.parts...)
		return n
	}
	for _, p := range c.parts {
		before := len(r.findings)
		n = p.check(r, e, n)
		// Of a scalar, the first broken rule says enough.
		if len(r.findings) > before && n.Kind != tree.Map && n.Kind != tree.List {
			break
		}
	}
	return n
}

// scalarConj is a conj of scalars.
type scalarConj struct {
	conj
	scalars []scalar
}

func (c *scalarConj) holds(n *tree.Node) bool {
	for _, s := range c.scalars {
		if !s.holds(n) {
			return false
		}
	}
	return true
}

func (c *scalarConj) wants() string {
	out := ""
	for _, s := range c.scalars {
		if _, ok := s.(*basic); ok && len(c.scalars) > 1 {
			continue // the other parts imply the type
		}
		if out != "" {
			out += " and "
		}
		out += s.wants()
	}
	return out
}

// wrongType reports that n has another type. The remedy of a rule about the
// value would not help here, unless n in quotes would break one of the parts,
// or n is text where a number is wanted, or not a whole one.
func (r *run) wrongType(n *tree.Node, want kinds, parts ...constraint) {
	hint := typeHint(n, want)
	if show(n) != "" && n.Kind != tree.Null && n.Kind != tree.String {
		if better, broken := hintInQuotes(&tree.Node{Kind: tree.String, Text: n.Text}, parts); broken {
			hint = better
		}
	}
	if hint == "" && want&numberKinds != 0 && (n.Kind == tree.String || n.Kind == tree.Float) {
		hint = numberHint(parts)
	}
	switch {
	case isUnfilled(n):
		hint = unfilledHint
	case hint == "" && n.Kind != tree.Null && show(n) != "" && len(n.Text) < longest && takesItem(parts, n.Kind):
		hint = "write it as a list: [" + show(n) + "]"
	}
	r.add(Finding{Code: diag.CodeType, Message: "got " + got(n) + ", want " + want.String(), Hint: hint, Pos: r.place(n)}, nil)
}

// hintInQuotes returns the remedy of the first part that a string breaks.
func hintInQuotes(quoted *tree.Node, parts []constraint) (hint string, broken bool) {
	for _, p := range parts {
		switch p := p.(type) {
		case *predicate:
			if p.set.has(tree.String) && !p.test(quoted) {
				if p.rule != nil {
					hint = p.rule.hint
				}
				return hint, true
			}
		case *scalarDisj:
			if p.set.has(tree.String) && !p.holds(quoted) {
				if p.rule != nil && p.rule.hint != "" {
					return p.rule.hint, true
				}
				var words []string
				for _, s := range p.meant {
					if l, ok := s.(*scalarLiteral); ok && l.node.Kind == tree.String {
						words = append(words, s.wants())
					} else if better, _ := hintInQuotes(quoted, []constraint{s}); better != "" {
						return better, true
					}
				}
				if len(words) > 0 {
					hint = "write " + orList(words)
				}
				return hint, true
			}
		case *scalarConj:
			if hint, broken = hintInQuotes(quoted, p.parts); broken {
				return hint, true
			}
		case *conj:
			if hint, broken = hintInQuotes(quoted, p.parts); broken {
				return hint, true
			}
		case *disj:
			if hint, broken = hintForArms(quoted, p.arms); broken {
				return hint, true
			}
		case *checked:
			if hint, broken = hintInQuotes(quoted, []constraint{p.constraint}); broken {
				return hint, true
			}
		}
	}
	return "", false
}

// hintForArms returns the remedy of the last arm, if a string breaks all arms.
func hintForArms(quoted *tree.Node, arms []arm) (hint string, broken bool) {
	for _, a := range arms {
		if l, ok := a.constraint.(*scalarLiteral); ok && l.node.Kind == tree.String && l.node.Text == quoted.Text {
			return "", false
		}
		if !a.kinds().has(tree.String) {
			continue
		}
		if _, ok := a.constraint.(*scalarLiteral); ok {
			continue
		}
		if hint, broken = hintInQuotes(quoted, []constraint{a.constraint}); !broken {
			return "", false
		}
	}
	return hint, broken
}

// takesItem reports whether a list of items of kind k would do for parts.
func takesItem(parts []constraint, k tree.Kind) bool {
	return slices.ContainsFunc(parts, func(p constraint) bool {
		switch p := p.(type) {
		case *list:
			return p.rest != nil && p.rest.kinds().has(k)
		case *conj:
			return takesItem(p.parts, k)
		case *disj:
			return slices.ContainsFunc(p.arms, func(a arm) bool { return takesItem([]constraint{a.constraint}, k) })
		case *checked:
			return takesItem([]constraint{p.constraint}, k)
		}
		return false
	})
}

// numberHint returns the remedy of the first rule in parts about a number.
func numberHint(parts []constraint) string {
	for _, p := range parts {
		hint := ""
		switch p := p.(type) {
		case *predicate:
			if p.set&numberKinds != 0 && p.rule != nil {
				hint = p.rule.hint
			}
		case *scalarConj:
			hint = numberHint(p.parts)
		case *scalarDisj:
			for _, s := range p.meant {
				if hint == "" {
					hint = numberHint([]constraint{s})
				}
			}
		case *checked:
			hint = numberHint([]constraint{p.constraint})
		}
		if hint != "" {
			return hint
		}
	}
	return ""
}

// definition is a named rule that others refer to. It may refer to itself.
type definition struct {
	rule       constraint // nil while it is being compiled
	nullAbsent bool
}

func (d *definition) kinds() kinds {
	if d.rule == nil {
		return kindSet(tree.Map)
	}
	return d.rule.kinds()
}
func (d *definition) fill(r *run, _ int) *tree.Node { return d.rule.fill(r, noEnv) }
func (d *definition) check(r *run, _ int, n *tree.Node) *tree.Node {
	return d.rule.check(r, noEnv, n)
}

// outer is a constraint written in an enclosing scope.
type outer struct {
	constraint
	hops int
}

func (o *outer) fill(r *run, e int) *tree.Node { return o.constraint.fill(r, r.up(e, o.hops)) }
func (o *outer) check(r *run, e int, n *tree.Node) *tree.Node {
	return o.constraint.check(r, r.up(e, o.hops), n)
}

// up returns the env that is hops scopes out of e.
func (r *run) up(e, hops int) int {
	for range hops {
		e = r.envs[e].up
	}
	return e
}

// same wants the value that an expression has: a reference to another field.
type same struct {
	expr expr
	rule *rule
	seen *tally
}

func (s *same) kinds() kinds { return anyKind }

func (s *same) fill(r *run, e int) *tree.Node {
	n := s.expr(r, e).node
	if n == nil {
		return nil
	}
	filled := r.slab.node(*n)
	filled.Default, filled.Pos = true, r.inside()
	return filled
}

func (s *same) holds(r *run, e int, n *tree.Node) bool {
	want := s.expr(r, e).node
	return s.seen.note(want != nil && equal(n, want))
}

func (s *same) check(r *run, e int, n *tree.Node) *tree.Node {
	if !s.holds(r, e, n) {
		r.fail(n, diag.CodeInvalid, show(n)+" is not "+show(s.expr(r, e).node), s.rule)
	}
	return n
}

// bottom is satisfied by no value: the field may not be there.
type bottom struct {
	message string // of error("…"), or empty
	rule    *rule
	seen    *tally
}

func (b *bottom) kinds() kinds              { return anyKind }
func (b *bottom) fill(*run, int) *tree.Node { return nil }
func (b *bottom) check(r *run, _ int, n *tree.Node) *tree.Node {
	b.seen.note(false)
	message := b.message
	if message == "" {
		message = "may not be set here"
	}
	f := Finding{Code: diag.CodeForbidden, Message: message, Pos: r.inside()}
	if b.rule != nil && b.rule.text != "" {
		name := r.path[len(r.path)-1].key
		if r.hiddenKey() != "" || b.message != "" {
			name = strconv.Quote(name) // the user's own word, not a field's name
		}
		f.Message = name + " " + b.rule.text
	}
	r.add(f, b.rule)
	return n
}
