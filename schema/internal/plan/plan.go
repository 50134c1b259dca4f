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

	"github.com/meshc/meshc/schema/tree"
)

// Schema is a set of compiled definitions. It is safe for concurrent use.
type Schema struct {
	definitions map[string]*Definition
}

// Compile reads the .cue files at the root of fsys, which form one package, and
// compiles every definition in them. A construct that the plan does not know is
// an error that names its place, never a rule left out.
func Compile(fsys fs.FS) (*Schema, error) {
	c := &compiler{files: map[string][]byte{}, definitions: map[string]*definition{}}
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
		s.definitions[name] = &Definition{rule: d.rule, nullAbsent: d.nullAbsent}
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

var runs = sync.Pool{New: func() any { return new(run) }}

// Check validates n and fills in its defaults. n is never changed: the result
// shares what did not change. Findings are in the order of their places.
func (d *Definition) Check(n *tree.Node) (*tree.Node, []Finding) {
	r := runs.Get().(*run)
	r.reset(n, d.nullAbsent)
	out := d.rule.check(r, noEnv, n)
	findings := r.findings
	r.release()
	runs.Put(r)
	return out, tidy(findings)
}

// tidy sorts findings by place and drops what one mistake said twice: a node of
// the wrong type is reported once, however many rules look at it.
func tidy(fs []Finding) []Finding {
	if len(fs) < 2 {
		return fs
	}
	slices.SortStableFunc(fs, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column), cmp.Compare(a.Path, b.Path))
	})
	out := fs[:0]
	for _, f := range fs {
		same := func(g Finding) bool {
			return g.Path == f.Path && g.Pos == f.Pos && g.Code == f.Code && (f.Class == "" || g.Message == f.Message)
		}
		if !slices.ContainsFunc(out, same) {
			out = append(out, f)
		}
	}
	return out
}
