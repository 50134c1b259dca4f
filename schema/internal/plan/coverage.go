package plan

import (
	"cuelang.org/go/cue/ast"

	"github.com/meshc/meshc/schema/tree"
)

// place names one rule: a piece of CUE, and which of its rules where it has
// more than one.
type place struct {
	file         string
	line, column int
	what         string
}

// coverage has the tallies of the rules that were compiled with it.
type coverage struct {
	tallies map[place]*tally
	touched []*tally // since the last document
}

// tally notes for one rule what it decided about a document. A nil tally, which
// is what a rule has outside of tests, notes nothing.
type tally struct {
	place
	of      *coverage
	outcome uint8 // of the document being checked: a set of held and broke
}

// What a rule can say about a value, and a document can get to hear of it.
const (
	held  = 1 << iota // it holds, the if applies, the field is written
	broke             // it does not
)

// note passes on whether a rule holds.
func (t *tally) note(holds bool) bool {
	if t != nil {
		t.add(holds)
	}
	return holds
}

func (t *tally) add(holds bool) {
	if t.outcome == 0 {
		t.of.touched = append(t.of.touched, t)
	}
	if holds {
		t.outcome |= held
	} else {
		t.outcome |= broke
	}
}

// tally returns the tally of a rule, the same for every use of that rule, or
// nil where none is asked for.
func (c *compiler) tally(x ast.Node, what string) *tally {
	if c.coverage == nil {
		return nil
	}
	pos := x.Pos()
	at := place{pos.Filename(), pos.Line(), pos.Column(), what}
	t := c.coverage.tallies[at]
	if t == nil {
		t = &tally{place: at, of: c.coverage}
		c.coverage.tallies[at] = t
	}
	return t
}

// count gives p, the rule that x became, its tally.
func (c *compiler) count(p constraint, x ast.Expr) {
	switch p := p.(type) {
	case *basic:
		p.seen = c.tallyOnce(p.seen, x, "type")
	case *scalarLiteral:
		p.seen = c.tallyOnce(p.seen, x, "value")
	case *predicate:
		if _, merged := unparen(x).(*ast.BinaryExpr); !merged { // its two bounds have their own
			p.seen = c.tallyOnce(p.seen, x, "test")
		}
	case *same:
		p.seen = c.tallyOnce(p.seen, x, "same")
	case *bottom:
		p.seen = c.tallyOnce(p.seen, x, "never")
	case *list:
		p.seen = c.tallyOnce(p.seen, x, "list")
	case *size:
		p.seen = c.tallyOnce(p.seen, x, "size")
	case *unique:
		p.seen = c.tallyOnce(p.seen, x, "unique")
	case *disj:
		p.seen = c.tallyOnce(p.seen, x, "one of")
	case *scalarDisj:
		p.seen = c.tallyOnce(p.seen, x, "one of")
	case *structure:
		p.seen = c.tallyOnce(p.seen, x, "struct")
		p.unknown = c.tallyOnce(p.unknown, x, "closed")
	}
}

func (c *compiler) tallyOnce(has *tally, x ast.Node, what string) *tally {
	if has != nil || c.coverage == nil {
		return has
	}
	return c.tally(x, what)
}

// noteWrongType notes which of parts refuse n for its type alone, where that was
// seen without asking each of them.
func noteWrongType(n *tree.Node, parts ...constraint) {
	for _, p := range parts {
		if p.kinds().has(n.Kind) {
			continue
		}
		switch p := p.(type) {
		case *scalarConj:
			noteWrongType(n, p.parts...)
		case *checked:
			noteWrongType(n, p.constraint)
		case *basic:
			p.seen.note(false)
		case *list:
			p.seen.note(false)
		case *structure, *definition:
			if s := structureOf(p); s != nil {
				s.seen.note(false)
			}
		}
	}
}
