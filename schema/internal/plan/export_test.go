package plan

import (
	"fmt"
	"io/fs"
)

// Coverage tells what the rules of one schema decided. It is not safe for
// concurrent use, and neither is that schema.
type Coverage struct{ counts *coverage }

// CompileCounted is Compile with a Coverage of every rule.
func CompileCounted(fsys fs.FS) (*Schema, *Coverage, error) {
	counts := &coverage{tallies: map[place]*tally{}}
	s, err := compile(fsys, counts)
	return s, &Coverage{counts}, err
}

// Outcome is one thing that a rule can say about a document: that it holds, or
// that it does not.
type Outcome struct {
	rule  *tally
	Holds bool
}

// Steers reports whether the outcome decides what else is asked of a document,
// and so may be of interest in documents that are refused for that.
func (o Outcome) Steers() bool {
	return o.rule.what == "if" || o.rule.what == "key" || o.rule.what == "written"
}

// At is where the rule is written, and which of the rules there it is.
func (o Outcome) At() (file string, line, column int, what string) {
	return o.rule.file, o.rule.line, o.rule.column, o.rule.what
}

// Place is where the rule is written.
func (o Outcome) Place() (file string, line, column int) {
	return o.rule.file, o.rule.line, o.rule.column
}

func (o Outcome) String() string {
	word := "refuses"
	switch {
	case o.Holds:
		word = "holds"
	case o.Steers():
		word = "does not"
	}
	return fmt.Sprintf("%s:%d:%d: %s %s", o.rule.file, o.rule.line, o.rule.column, o.rule.what, word)
}

// Take returns the outcomes since the last Take, each once.
func (c *Coverage) Take() []Outcome {
	var out []Outcome
	for _, t := range c.counts.touched {
		if t.outcome&held != 0 {
			out = append(out, Outcome{t, true})
		}
		if t.outcome&broke != 0 {
			out = append(out, Outcome{t, false})
		}
		t.outcome = 0
	}
	c.counts.touched = c.counts.touched[:0]
	return out
}

// Outcomes returns everything that the rules about d's documents can say.
func (c *Coverage) Outcomes(d *Definition) []Outcome {
	w := walker{visited: map[any]bool{}}
	w.constraint(d.rule)
	return w.out
}

// walker collects the rules below a definition.
type walker struct {
	out     []Outcome
	visited map[any]bool
}

func (w *walker) add(t *tally, outcomes int) {
	if t == nil || w.visited[t] {
		return
	}
	w.visited[t] = true
	if outcomes&held != 0 {
		w.out = append(w.out, Outcome{t, true})
	}
	if outcomes&broke != 0 {
		w.out = append(w.out, Outcome{t, false})
	}
}

func (w *walker) constraint(c constraint) {
	const both = held | broke
	switch c := c.(type) {
	case *basic:
		if c.set != anyKind {
			w.add(c.seen, both)
		}
	case *scalarLiteral:
		w.add(c.seen, both)
	case *predicate:
		w.add(c.seen, both)
		for _, bound := range c.merged {
			w.add(bound, both)
		}
	case *same:
		w.add(c.seen, both)
	case *bottom:
		w.add(c.seen, broke)
	case *size:
		if c.atLeast > 0 || c.atMost >= 0 { // MinFields(0) refuses nothing
			w.add(c.seen, both)
		}
	case *unique:
		w.add(c.seen, both)
	case *conj:
		w.all(c.parts)
	case *scalarConj:
		w.all(c.parts)
	case *disj:
		w.disjunction(c)
	case *scalarDisj:
		w.disjunction(&c.disj)
	case *checked:
		w.constraint(c.constraint)
	case *outer:
		w.constraint(c.constraint)
	case *definition:
		if !w.visited[c] {
			w.visited[c] = true
			w.constraint(c.rule)
		}
	case *list:
		w.add(c.seen, both)
		w.all(c.first)
		if c.rest != nil {
			w.constraint(c.rest)
		}
	case *structure:
		w.add(c.seen, both)
		// Where patterns match every name, nothing is unknown.
		if c.closed && !c.isOpen() && !(c.knowsAlone("bogus") && c.knowsAlone("\x00")) {
			w.add(c.unknown, both)
		}
		w.body(c)
	default:
		panic(fmt.Sprintf("walker: %T", c))
	}
}

func (w *walker) all(cs []constraint) {
	for _, c := range cs {
		w.constraint(c)
	}
}

func (w *walker) disjunction(d *disj) {
	outcomes := held | broke
	for _, a := range d.arms {
		if b, ok := a.constraint.(*basic); ok && b.set == anyKind {
			outcomes = held
		}
	}
	w.add(d.seen, outcomes)
	for _, a := range d.arms {
		w.constraint(a.constraint)
	}
}

// body is what applies to a struct whether it is embedded or not.
func (w *walker) body(s *structure) {
	if w.visited[s] {
		return
	}
	w.visited[s] = true
	for _, it := range s.items {
		switch it := it.item.(type) {
		case *field:
			w.add(it.seen, held|broke)
			w.constraint(it.value)
		case *pattern:
			outcomes := held | broke
			if _, any := it.key.(*basic); any {
				outcomes = held
			}
			w.add(it.seen, outcomes)
			w.constraint(it.value)
		case *when:
			w.add(it.seen, held|broke)
			w.body(it.body)
		case embed:
			if inner := structureOf(it.constraint); inner != nil {
				w.body(inner)
			} else {
				w.constraint(it.constraint)
			}
		}
	}
}

// Rules is how many rules there are about d's documents.
func (c *Coverage) Rules(d *Definition) int {
	rules := map[*tally]bool{}
	for _, o := range c.Outcomes(d) {
		rules[o.rule] = true
	}
	return len(rules)
}
