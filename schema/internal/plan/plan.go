// Package plan compiles the CUE rules about documents into closures over parsed
// documents. CUE stays the language in which the rules are written and read;
// the plan gives the same verdicts and defaults two orders of magnitude faster,
// with every mistake of a document found in one run, each at its own place.
package plan

import (
	"cmp"
	"io/fs"
	"slices"
	"sync"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// Schema is a set of compiled definitions. It is safe for concurrent use.
type Schema struct {
	definitions map[string]*Definition
}

// Compile reads the .cue files at the root of fsys, which form one package, and
// compiles every definition in them. A construct that the plan does not know is
// an error that names its place, never a rule left out.
func Compile(fsys fs.FS) (*Schema, error) { return compile(fsys, nil) }

// compile is Compile, and counts what the rules decide if there is a coverage.
func compile(fsys fs.FS, counts *coverage) (*Schema, error) {
	c := &compiler{files: map[string][]byte{}, definitions: map[string]*definition{}, coverage: counts}
	if err := c.load(fsys); err != nil {
		return nil, err
	}
	s := &Schema{definitions: map[string]*Definition{}}
	for name, f := range c.file.names {
		if name[0] != '#' {
			continue
		}
		d, err := c.define(name, f)
		if err != nil {
			return nil, err
		}
		s.definitions[name] = newDefinition(d)
	}
	for _, st := range c.structures {
		st.settle()
	}
	return s, nil
}

// Definition returns the definition of that name, "#Service".
func (s *Schema) Definition(name string) (*Definition, bool) {
	d, ok := s.definitions[name]
	return d, ok
}

// Definition is the compiled rule about one kind of document.
type Definition struct {
	rule       constraint
	nullAbsent bool
	runs       sync.Pool
}

func newDefinition(d *definition) *Definition {
	return &Definition{rule: d.rule, nullAbsent: d.nullAbsent, runs: sync.Pool{New: func() any { return newRun() }}}
}

// Finding is one mistake in a document.
type Finding struct {
	Code    string // MC03xx, see package diag
	Class   string // the Kubernetes error class; empty for wrong types and unknown fields
	Path    string // spec.ports[0].port
	Message string // what is wrong
	Hint    string // what would be right, or empty
	Pos     tree.Pos
	Related []Related
}

// Related is a second place that took part in a finding.
type Related struct {
	Pos     tree.Pos
	Message string
}

// Check validates n and fills in its defaults. n is never changed: the result
// shares what did not change. Findings are in the order of their places.
func (d *Definition) Check(n *tree.Node) (*tree.Node, []Finding) {
	r := d.runs.Get().(*run)
	r.reset(n, d.nullAbsent)
	out := d.rule.check(r, noEnv, n)
	findings := r.findings
	if len(findings) > 0 {
		// Once more, without what only follows from another mistake.
		r.reset(n, d.nullAbsent)
		r.faults = faultsOf(findings)
		if d.rule.check(r, noEnv, n); len(r.findings) > 0 {
			findings = r.findings
		}
	}
	r.release()
	d.runs.Put(r)
	return out, tidy(findings)
}

// tidy sorts findings by place and keeps one about each value: however many
// rules it breaks, it is one mistake.
func tidy(fs []Finding) []Finding {
	if len(fs) < 2 {
		return fs
	}
	slices.SortStableFunc(fs, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column), cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Path, b.Path))
	})
	out := fs[:0]
	for _, f := range fs {
		i := len(out)
		for i > 0 && out[i-1].Pos == f.Pos && !sameMistake(out[i-1], f) {
			i--
		}
		if i == 0 || out[i-1].Pos != f.Pos {
			out = append(out, f)
		}
	}
	return out
}

// rank puts the finding that says most about a value first.
func rank(f Finding) int {
	switch f.Code {
	case diag.CodeType:
		return 0
	case diag.CodeNotSupported:
		return 1
	}
	return 2
}

// sameMistake reports whether two findings, of which a ranks first, are about
// one value. Rules may have paths of their own, so a wrong type covers whatever
// else is said about the value there.
func sameMistake(a, b Finding) bool {
	return a.Pos == b.Pos && (a.Path == b.Path ||
		a.Code == diag.CodeType && b.Code != diag.CodeRequired && b.Code != diag.CodeUnknownField)
}
