// Package schema turns files into documents that are known to be well formed:
// it parses them, recognises what each document is, checks it against the rules
// in schema/cue, fills in the defaults and decodes it.
package schema

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	rules "github.com/meshc/meshc/schema/cue"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/files"
	"github.com/meshc/meshc/schema/internal/parse"
	"github.com/meshc/meshc/schema/internal/plan"
	"github.com/meshc/meshc/schema/tree"
)

// Result is what a tree of files says.
type Result struct {
	// Documents are those without errors, sorted by ID, then Origin and place.
	Documents []*Document
	// Diagnostics are all findings, sorted as diag.Sort does. Silences have
	// not been applied yet: later stages have warnings, too.
	Diagnostics []diag.Diagnostic
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
	rules  *plan.Schema
	kept   map[fileKey]*fileResult
	sorted []entry // the documents of the last load
	cue    *evaluator
}

// fileKey is what a result depends on.
type fileKey struct {
	name, shown string
	sum         [sha256.Size]byte
	imports     [sha256.Size]byte // of a .cue file: cueDigest
}

// entry is a document with its ID, which is put together anew when asked for.
type entry struct {
	id  string
	doc *Document
}

// fileResult is what one file says.
type fileResult struct {
	documents   []*Document
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
	return &Loader{rules: s, kept: map[fileKey]*fileResult{}, cue: newEvaluator(cueBudget)}
}

// job is a piece of work that gives the results of one file, or of the .cue
// files of one directory.
type job struct {
	run   func(context.Context, *job)
	files []files.File
	at    []int // the places of files in the tree
	out   []*fileResult
}

// Load loads a tree. When ctx ends it returns early, without documents.
func (l *Loader) Load(ctx context.Context, t files.Tree) Result {
	keys, results, jobs := l.jobs(t.Files)
	work(ctx, jobs)
	if ctx.Err() != nil {
		return Result{Diagnostics: t.Diagnostics}
	}
	var fresh []entry
	for _, j := range jobs {
		for i, at := range j.at {
			results[at] = j.out[i]
			for _, d := range j.out[i].documents {
				fresh = append(fresh, entry{d.ID(), d})
			}
		}
	}
	next := make(map[fileKey]*fileResult, len(keys))
	for i, k := range keys {
		next[k] = results[i]
	}
	l.sorted = merge(l.sorted, l.gone(next), fresh)
	l.kept = next
	return l.collect(t, results)
}

// gone returns the documents of the last load that are not in next.
func (l *Loader) gone(next map[fileKey]*fileResult) map[*Document]bool {
	out := map[*Document]bool{}
	for k, r := range l.kept {
		if next[k] != r {
			for _, d := range r.documents {
				out[d] = true
			}
		}
	}
	return out
}

// merge returns sorted without what is gone and with what is fresh, in order.
func merge(sorted []entry, gone map[*Document]bool, fresh []entry) []entry {
	slices.SortFunc(fresh, compareEntries)
	out := make([]entry, 0, len(sorted)-len(gone)+len(fresh))
	for _, e := range sorted {
		if len(gone) > 0 && gone[e.doc] {
			continue
		}
		for len(fresh) > 0 && compareEntries(fresh[0], e) < 0 {
			out = append(out, fresh[0])
			fresh = fresh[1:]
		}
		out = append(out, e)
	}
	return append(out, fresh...)
}

func compareEntries(a, b entry) int {
	return cmp.Or(
		strings.Compare(a.id, b.id), strings.Compare(a.doc.Origin, b.doc.Origin), strings.Compare(a.doc.File, b.doc.File),
		cmp.Compare(a.doc.Tree.Pos.Line, b.doc.Tree.Pos.Line), cmp.Compare(a.doc.Tree.Pos.Column, b.doc.Tree.Pos.Column),
	)
}

// work runs jobs on all processors.
func work(ctx context.Context, jobs []*job) {
	var wg sync.WaitGroup
	todo := make(chan *job)
	for range min(runtime.GOMAXPROCS(0), len(jobs)) {
		wg.Go(func() {
			for j := range todo {
				if ctx.Err() == nil {
					j.run(ctx, j)
				}
			}
		})
	}
	for _, j := range jobs {
		todo <- j
	}
	close(todo)
	wg.Wait()
}

func (l *Loader) collect(t files.Tree, results []*fileResult) Result {
	r := Result{
		Documents:   make([]*Document, len(l.sorted)),
		Diagnostics: slices.Clone(t.Diagnostics),
		Summary:     diag.Summary{Files: len(t.Files)},
	}
	for i, e := range l.sorted {
		r.Documents[i] = e.doc
	}
	for _, f := range results {
		r.Diagnostics = append(r.Diagnostics, f.diagnostics...)
		r.Silences = append(r.Silences, f.silences...)
		r.Summary.Documents += f.checked
		r.Summary.Ignored += f.ignored
	}
	diag.Sort(r.Diagnostics)
	return r
}

// jobs returns the key of each file, the results that are kept, and what is to
// do for the rest.
func (l *Loader) jobs(in []files.File) ([]fileKey, []*fileResult, []*job) {
	keys := make([]fileKey, len(in))
	results := make([]*fileResult, len(in))
	var jobs []*job
	imports, cueDirs := [sha256.Size]byte{}, map[string]*job{}
	for i, f := range in {
		isCUE := filepath.Ext(f.Name) == ".cue"
		if isCUE && imports == [sha256.Size]byte{} {
			imports = cueDigest(in)
		}
		keys[i] = fileKey{name: f.Name, shown: f.Shown, sum: f.Sum}
		if isCUE {
			keys[i].imports = imports
		}
		if results[i] = l.kept[keys[i]]; results[i] != nil {
			continue
		}
		dir := filepath.Dir(f.Shown)
		j := cueDirs[dir]
		if !isCUE || j == nil {
			j = &job{run: l.loadFile}
			jobs = append(jobs, j)
		}
		if isCUE {
			j.run = l.loadCUE
			cueDirs[dir] = j
		}
		j.files, j.at = append(j.files, f), append(j.at, i)
	}
	return keys, results, jobs
}

// cueDigest is the digest of all files that a .cue file among them may refer
// to: by import the other .cue files, by @embed any.
func cueDigest(in []files.File) [sha256.Size]byte {
	embeds := slices.ContainsFunc(in, func(f files.File) bool {
		return filepath.Ext(f.Name) == ".cue" && bytes.Contains(f.Data, []byte("@embed("))
	})
	h := sha256.New()
	for _, f := range in {
		if embeds || filepath.Ext(f.Name) == ".cue" {
			h.Write([]byte(f.Shown))
			h.Write(f.Sum[:])
		}
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// loadFile loads a YAML or JSON file.
func (l *Loader) loadFile(_ context.Context, j *job) {
	f := j.files[0]
	read := parse.YAML
	if isJSON(f) {
		read = parse.JSON
	}
	docs, ds := read(f.Data)
	r := reader{rules: l.rules, file: f}
	r.add(ds...)
	for i, d := range docs {
		var end tree.Pos
		if i+1 < len(docs) {
			end = docs[i+1].Root.Pos
		}
		r.document(d, end)
	}
	j.out = []*fileResult{&r.out}
}

// isJSON reports whether f is JSON: by its name, or, for what has none, by its
// first character.
func isJSON(f files.File) bool {
	switch strings.ToLower(filepath.Ext(f.Name)) {
	case ".json":
		return true
	case ".yaml", ".yml":
		return false
	}
	text := bytes.TrimSpace(f.Data)
	return bytes.HasPrefix(text, []byte("{")) && !bytes.HasPrefix(text, []byte("{{"))
}

// loadCUE loads the .cue files of one directory.
func (l *Loader) loadCUE(ctx context.Context, j *job) {
	readers := make([]*reader, len(j.files))
	j.out = make([]*fileResult, len(j.files))
	in := make([]parse.CUEFile, len(j.files))
	for i, f := range j.files {
		readers[i] = &reader{rules: l.rules, file: f}
		j.out[i] = &readers[i].out
		path, err := filepath.Abs(f.Shown)
		if err != nil { // there is no working directory any more
			path = string(filepath.Separator) + f.Name
		}
		in[i] = parse.CUEFile{Path: path, Data: f.Data}
	}
	docs, problems := l.cue.evaluate(ctx, in)
	for _, p := range problems {
		readers[p.File].add(p.Diagnostic)
	}
	for _, d := range docs {
		end := d.Root.End()
		end.Column++ // just behind the last value
		readers[d.File].document(d.Document, end)
	}
}
