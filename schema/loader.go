// Package schema turns files into documents that are known to be well formed:
// it parses them, recognises what each document is, checks it against the rules
// in schema/cue, fills in the defaults and decodes it.
package schema

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"

	rules "github.com/meshc/meshc/schema/cue"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/files"
	"github.com/meshc/meshc/schema/internal/plan"
)

// Result is what a tree of files says. It is read-only, for the next load of
// the same Loader shares it.
type Result struct {
	// Documents are those without errors, sorted by ID, then Origin and place.
	Documents []*Document
	// Diagnostics are all findings, sorted as diag.Sort does. Silences have
	// not been applied yet: later stages have warnings, too.
	Diagnostics []diag.Diagnostic
	// Refused are the documents that have errors, as far as they are known.
	Refused []Refused
	// Silences are for ApplySilences.
	Silences []Silence
	// Summary counts files and documents; Errors and Warnings are left to
	// whoever has all the findings.
	Summary diag.Summary
}

// Loader loads trees of files. It keeps what it made of a file for as long as
// the file is in the tree: what did not change is not parsed or checked again,
// and its documents stay the same pointers. A Loader is for one caller at a time.
type Loader struct {
	rules *plan.Schema
	cue   *evaluator
	cache *Cache // nil: none
	raw   RawCheck
	last  loadState
}

// loadState is what the last load has left.
type loadState struct {
	files     []files.File  // sorted by name, then as shown
	results   []*fileResult // of files
	outside   outside       // what their .cue files depend on beside themselves
	documents []*Document   // sorted
}

// fileResult is what one file says. It depends on nothing but the content of
// the file, its name, and for a .cue file on what outside digests: whatever
// else a rule wants to look at is for a later stage to look at.
type fileResult struct {
	documents   []*Document
	refused     []Refused // those with errors
	diagnostics []diag.Diagnostic
	silences    []Silence
	checked     int // documents of kinds that meshc knows, right or wrong
	ignored     int // documents of kinds that it leaves out
}

// compiled is the plan; the rules are part of the program, so it is made once.
var compiled = sync.OnceValues(func() (*plan.Schema, error) { return plan.Compile(rules.FS) })

// NewLoader returns a Loader that has seen nothing. It panics if the rules in
// the program do not compile, which a test rules out.
func NewLoader() *Loader {
	s, err := compiled()
	if err != nil {
		panic("schema: " + err.Error())
	}
	return &Loader{rules: s, cue: newEvaluator(cueBudget)}
}

// UseCache makes the Loader look in c for what it has not seen itself, and put
// there what it has made.
func (l *Loader) UseCache(c *Cache) { l.cache = c }

// Load loads a tree. When ctx ends it returns early, without documents.
func (l *Loader) Load(ctx context.Context, t files.Tree) Result {
	next := loadState{files: t.Files, outside: digestOutside(t.Files)}
	var gone []*Document
	next.results, gone = l.last.keep(&next)
	jobs := l.jobs(&next)
	l.work(ctx, jobs)
	if ctx.Err() != nil {
		return Result{Diagnostics: t.Diagnostics}
	}
	var fresh []*Document
	for _, j := range jobs {
		for i, at := range j.at {
			next.results[at] = j.out[i]
			fresh = append(fresh, j.out[i].documents...)
		}
		l.cache.add(j)
	}
	next.documents = patch(l.last.documents, gone, fresh)
	l.last = next
	return next.collect(t.Diagnostics)
}

// keep returns the results of those of next's files that are in s as well, nil
// for the others, and the documents of what is in s and not in next. It walks
// the two side by side, since both are sorted.
func (s *loadState) keep(next *loadState) (results []*fileResult, gone []*Document) {
	results = make([]*fileResult, len(next.files))
	i := 0
	leave := func() { gone = append(gone, s.results[i].documents...); i++ }
	for n := range next.files {
		f := &next.files[n]
		for i < len(s.files) && compareFiles(&s.files[i], f) < 0 {
			leave()
		}
		if i == len(s.files) || compareFiles(&s.files[i], f) > 0 {
			continue
		}
		if s.files[i].Sum != f.Sum || isCUE(f.Name) && (s.outside != next.outside || s.outside.open) {
			leave()
			continue
		}
		results[n] = s.results[i]
		i++
	}
	for i < len(s.files) {
		leave()
	}
	return results, gone
}

// compareFiles is the order of files.Tree.
func compareFiles(a, b *files.File) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Shown, b.Shown))
}

// patch returns sorted without what is gone and with what is fresh, in order.
// sorted stays as it is.
func patch(sorted, gone, fresh []*Document) []*Document {
	if len(gone)+len(fresh) == 0 {
		return sorted
	}
	out := make([]*Document, 0, len(sorted)-len(gone)+len(fresh))
	cuts := make([]int, len(gone))
	for n, d := range gone {
		i, _ := slices.BinarySearchFunc(sorted, d, compareDocuments)
		for sorted[i] != d { // an alias makes two documents of one place
			i++
		}
		cuts[n] = i
	}
	slices.Sort(cuts)
	slices.SortFunc(fresh, compareDocuments)
	from := 0
	take := func(to int) { // takes sorted[from:to] and what is fresh among it
		for len(fresh) > 0 && from < to {
			n, _ := slices.BinarySearchFunc(sorted[from:to], fresh[0], compareDocuments)
			out = append(out, sorted[from:from+n]...)
			if from += n; from < to {
				out, fresh = append(out, fresh[0]), fresh[1:]
			}
		}
		out = append(out, sorted[from:to]...)
		from = to
	}
	for _, cut := range cuts {
		take(cut)
		from++
	}
	take(len(sorted))
	return append(out, fresh...)
}

func compareDocuments(a, b *Document) int {
	return cmp.Or(
		strings.Compare(a.ID(), b.ID()), strings.Compare(a.Origin, b.Origin), strings.Compare(a.File, b.File),
		cmp.Compare(a.Tree.Pos.Line, b.Tree.Pos.Line), cmp.Compare(a.Tree.Pos.Column, b.Tree.Pos.Column),
	)
}

// collect puts together what the files say; ds are the findings about files
// that could not be read.
func (s *loadState) collect(ds []diag.Diagnostic) Result {
	r := Result{
		Documents:   s.documents,
		Diagnostics: slices.Clone(ds),
		Summary:     diag.Summary{Files: len(s.files)},
	}
	if diag.HasErrors(ds) {
		r.Refused = append(r.Refused, Refused{})
	}
	for _, f := range s.results {
		r.Diagnostics = append(r.Diagnostics, f.diagnostics...)
		r.Refused = append(r.Refused, f.refused...)
		r.Silences = append(r.Silences, f.silences...)
		r.Summary.Documents += f.checked
		r.Summary.Ignored += f.ignored
	}
	diag.Sort(r.Diagnostics)
	// What is wrong with a module of CUE is said by each directory of it.
	r.Diagnostics = slices.CompactFunc(r.Diagnostics, func(a, b diag.Diagnostic) bool {
		return a.Code == diag.CodeCUE && b.Code == a.Code && a.Place == b.Place && a.Path == b.Path && a.Message == b.Message
	})
	return r
}
