package plan

import (
	"slices"
	"strings"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// disj is a disjunction: one arm must hold.
type disj struct {
	arms []arm
	set  kinds
	rule *rule
	seen *tally
}

type arm struct {
	constraint
	marked bool // *: the arm that stands where nothing was written
}

func newDisj(arms []arm, rl *rule) constraint {
	d := &disj{arms: arms, rule: rl}
	scalars := make([]scalar, 0, len(arms))
	for _, a := range arms {
		d.set |= a.kinds()
		if s, ok := a.constraint.(scalar); ok {
			scalars = append(scalars, s)
		}
	}
	if len(scalars) < len(arms) {
		return d
	}
	sd := &scalarDisj{disj: *d, scalars: scalars}
	for _, s := range scalars {
		if l, ok := s.(*scalarLiteral); ok && (l.node.Text == "" || covered(l, scalars)) {
			continue
		}
		sd.meant = append(sd.meant, s)
	}
	return sd
}

// covered reports whether another arm than a literal holds for l.
func covered(l *scalarLiteral, arms []scalar) bool {
	return slices.ContainsFunc(arms, func(s scalar) bool {
		_, isLiteral := s.(*scalarLiteral)
		return !isLiteral && s.holds(l.node)
	})
}

func (d *disj) kinds() kinds { return d.set }

func (d *disj) fill(r *run, e int) *tree.Node {
	for _, a := range d.arms {
		if a.marked {
			return a.fill(r, e)
		}
	}
	return nil
}

func (d *disj) check(r *run, e int, n *tree.Node) *tree.Node {
	out, ok := d.choose(r, e, n)
	if !d.seen.note(ok) {
		d.explain(r, e, n)
	}
	return out
}

// choose applies the first arm that holds.
func (d *disj) choose(r *run, e int, n *tree.Node) (out *tree.Node, ok bool) {
	for _, marked := range [...]bool{true, false} {
		for _, a := range d.arms {
			if a.marked != marked {
				continue
			}
			if !a.kinds().has(n.Kind) {
				noteWrongType(n, a.constraint)
				continue
			}
			switch c := a.constraint.(type) {
			case scalar:
				if c.holds(n) {
					return n, true
				}
			case *same:
				if c.holds(r, e, n) {
					return n, true
				}
			default:
				if out, made := r.try(c, e, n); len(made) == 0 {
					return out, true
				}
			}
		}
	}
	return n, false
}

// explain reports why no arm holds for n.
func (d *disj) explain(r *run, e int, n *tree.Node) {
	if !d.set.has(n.Kind) {
		r.wrongType(n, d.set, d)
		return
	}
	if n.Kind == tree.Map && d.rule == nil && d.explainKey(r, n) {
		return
	}
	var best []Finding
	var values, words []string
	possible := 0
	for _, a := range d.arms {
		if !a.kinds().has(n.Kind) || d.isDefaultList(a) {
			continue
		}
		possible++
		if l, ok := a.constraint.(*scalarLiteral); ok {
			if l.node.Text != "" {
				values, words = append(values, l.node.Text), append(words, l.wants())
			}
			continue
		}
		if _, made := r.try(a.constraint, e, n); best == nil || weight(made) < weight(best) {
			best = made
		}
	}
	switch {
	case best == nil:
		d.notOneOf(r, n, values, words)
	case possible > 1 && d.rule != nil && d.rule.text != "":
		r.fail(n, diag.CodeInvalid, "", d.rule)
	default:
		// The arm with the least against it is the one that was meant.
		r.findings = append(r.findings, best...)
	}
}

// isDefaultList reports whether a is the list that stands where nothing was
// written, as in *[200, 302] | [...int]: nobody who writes a list means that one.
func (d *disj) isDefaultList(a arm) bool {
	l, ok := a.constraint.(*list)
	return ok && a.marked && l.rest == nil && slices.ContainsFunc(d.arms, func(o arm) bool {
		return !o.marked && o.kinds().has(tree.List)
	})
}

// explainKey reports a wrong value of the field that tells the arms apart: the
// one that every arm gives another literal. With a right value there, the
// faults of that arm are what to report.
func (d *disj) explainKey(r *run, n *tree.Node) bool {
	for _, f := range n.Fields {
		var values, words []string
		for _, a := range d.arms {
			if l := literalField(structureOf(a.constraint), f.Key); l != nil && l.node.Kind == f.Value.Kind {
				values, words = append(values, l.node.Text), append(words, l.wants())
			}
		}
		if len(values) == len(d.arms) && !slices.Contains(values, f.Value.Text) {
			r.enterKey(f.Key, f.KeyPos, nil)
			d.notOneOf(r, f.Value, values, words)
			r.leave()
			return true
		}
	}
	return false
}

// literalField is the literal that s wants of a field, or nil.
func literalField(s *structure, name string) *scalarLiteral {
	if s == nil {
		return nil
	}
	for _, it := range s.items {
		if f, ok := it.item.(*field); ok && f.name == name {
			l, _ := f.value.(*scalarLiteral)
			return l
		}
	}
	return nil
}

// notOneOf reports that n is none of an enumeration's values.
func (d *disj) notOneOf(r *run, n *tree.Node, values, words []string) {
	hint := ""
	switch {
	case isUnfilled(n):
		hint = unfilledHint
	case n.Kind == tree.String: // numbers that look alike are no nearer for it
		hint = didYouMean(n.Text, values)
	}
	r.add(Finding{Code: diag.CodeNotSupported, Pos: r.place(n), Message: show(n) + " is not one of " + strings.Join(words, ", "), Hint: hint}, d.rule)
}

// weight ranks what speaks against an arm. A value that contradicts a literal
// (kind: "A") tells the arms apart, so it counts most.
func weight(fs []Finding) int {
	w := 0
	for _, f := range fs {
		w++
		if f.Code == diag.CodeInvalid || f.Code == diag.CodeNotSupported || f.Code == diag.CodeType {
			w += 3
		}
	}
	return w
}

// scalarDisj is a disjunction of scalars: an enumeration, or "" | =~"…".
type scalarDisj struct {
	disj
	scalars []scalar
	// meant leaves out what no message needs to name: "", and a default that
	// another arm allows anyway.
	meant []scalar
}

func (d *scalarDisj) holds(n *tree.Node) bool {
	for _, s := range d.scalars {
		if s.holds(n) {
			return d.seen.note(true)
		}
	}
	return d.seen.note(false)
}

func (d *scalarDisj) wants() string {
	words := make([]string, len(d.scalars))
	for i, s := range d.scalars {
		words[i] = s.wants()
	}
	return orList(words)
}

func (d *scalarDisj) check(r *run, e int, n *tree.Node) *tree.Node {
	if d.holds(n) {
		return n
	}
	if !d.set.has(n.Kind) {
		r.wrongType(n, d.set, d)
		return n
	}
	// Only arms of n's kind can have been meant.
	var meant []scalar
	var words, values []string
	for _, s := range d.meant {
		if !s.kinds().has(n.Kind) {
			continue
		}
		if l, ok := s.(*scalarLiteral); ok {
			values = append(values, l.node.Text)
		}
		meant, words = append(meant, s), append(words, s.wants())
	}
	switch {
	case len(meant) == 1:
		return meant[0].check(r, e, n)
	case len(meant) == len(values):
		d.notOneOf(r, n, values, words)
	default:
		r.fail(n, diag.CodeInvalid, show(n)+" is not "+orList(words), d.rule)
	}
	return n
}
