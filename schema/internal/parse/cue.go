package parse

import (
	"fmt"
	"io/fs"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/build"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/load"
	"cuelang.org/go/cue/parser"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// CUEFile is one .cue file: an absolute path and what is there.
type CUEFile struct {
	Path string
	Data []byte
	// Named says that the user named the file itself and not a directory.
	Named bool
}

// CUEDocument is a document that CUE evaluated, and the file it is written in.
type CUEDocument struct {
	Document
	File int // index into the files given
	// Doubts are what CUE has against the document by the rules that it
	// imports. The document is without those rules, for whoever checks it to say
	// the same in better words; if the check finds nothing, the doubts stand.
	Doubts []CUEProblem

	path []any // in its instance
}

// CUEProblem is a finding in one of the files given.
type CUEProblem struct {
	// Places have no File where they are in the file given, and else a path
	// relative to its directory.
	diag.Diagnostic
	File int
}

// CUE evaluates the .cue files of one directory as `cue export .` does: the
// files of a package are one instance, together with those of the same package
// in the directories above, up to the module's root; a file without a package
// clause is an instance of its own. Files that are all named are evaluated as
// `cue export a.cue b.cue` does: nothing else is part of the instance. rules are
// the files that an import of CUEModule means; they are laid over the module's
// vendored packages, so that it works offline and without an entry in the module file.
//
// An instance is a document, or else each of its exported fields or list items
// is one. A mistake in a document does not spoil its neighbours.
func CUE(dir string, files []CUEFile, rules fs.FS) (docs []CUEDocument, problems []CUEProblem) {
	c := &cueParser{dir: dir, files: files, byPath: map[string]int{}, lines: make([]*lines, len(files)), places: map[string]cuePlace{}, parents: map[string]bool{}}
	defer func() {
		if r := recover(); r != nil {
			problems = append(c.problems, CUEProblem{Diagnostic: problem(diag.Error, diag.CodeCUE,
				tree.Pos{Line: 1, Column: 1}, nil, fmt.Sprintf("CUE gave up on this directory: %v", r), "")})
		}
	}()
	c.read()
	text, err := readRules(rules)
	if err != nil {
		c.report(c.errors(err))
		return nil, c.problems
	}
	for _, args := range c.instances() {
		instance := func(rules map[string][]byte) *build.Instance {
			return load.Instances(args, &load.Config{Dir: dir, Overlay: c.overlay(rules)})[0]
		}
		c.take(instance(text), func() *build.Instance { return instance(stubs(text)) })
	}
	return c.docs, c.problems
}

type cueParser struct {
	dir      string
	files    []CUEFile
	byPath   map[string]int // index into files; outside for the others of an instance
	lines    []*lines
	docs     []CUEDocument
	problems []CUEProblem
	// Of the instance at hand:
	places   map[string]cuePlace // by cueKey of the path of what is written
	parents  map[string]bool     // the keys of paths below which something is written
	fields   []string            // the top fields, as written
	silences []cueSilence
}

type cueSilence struct {
	Silence
	file int
}

// read takes in the files given.
func (c *cueParser) read() {
	for i, f := range c.files {
		c.byPath[f.Path] = i
		c.lines[i] = newLines(f.Data)
	}
}

// instances returns the arguments of load.Instances for each instance here.
func (c *cueParser) instances() [][]string {
	var out [][]string
	var ofPackages []string
	named := true
	for _, f := range c.files {
		named = named && f.Named
		parsed, err := parser.ParseFile(f.Path, f.Data, parser.PackageClauseOnly)
		if err != nil || parsed.PackageName() == "" {
			out = append(out, []string{f.Path})
		} else {
			ofPackages = append(ofPackages, f.Path)
		}
	}
	switch {
	case len(ofPackages) == 0:
		return out
	case named:
		return append(out, ofPackages)
	}
	return append(out, []string{"."})
}

// take takes the documents out of an instance. free returns the same instance
// with rules that ask for nothing. CUE's messages about the rules are poor, and
// it passes its errors on to all that refers to the place: so what it refuses is
// taken out of the free instance, for others to check.
func (c *cueParser) take(inst *build.Instance, free func() *build.Instance) {
	if inst.Err != nil {
		c.report(c.errors(inst.Err))
		return
	}
	clear(c.places)
	clear(c.parents)
	c.fields, c.silences = nil, nil
	for _, f := range inst.Files {
		c.index(f)
	}
	v := cuecontext.New().BuildInstance(inst)
	if p, is := c.tooOld(v.Err()); is {
		c.report([]CUEProblem{p})
		return
	}
	found := cueFinds{c: c}
	found.instance(v)
	c.docs = append(c.docs, found.docs...)
	c.report(found.problems)
	if len(found.refused) == 0 {
		return
	}
	var without cue.Value
	if usesRules(inst) {
		without = cuecontext.New().BuildInstance(free())
	}
	for _, r := range found.refused {
		again := cueFinds{c: c}
		if without.Exists() && (len(r.path) > 0 || len(found.docs) == 0) {
			again.value(without.LookupPath(cuePath(r.path)), r.path)
		}
		if len(again.docs) == 0 || len(again.refused) > 0 {
			c.report(r.problems)
			continue
		}
		c.report(again.problems)
		c.docs = append(c.docs, again.docs...)
		c.report(doubt(c.docs[len(c.docs)-len(again.docs):], r.problems))
	}
}
