package schema

import (
	"bytes"
	"context"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/files"
	"github.com/meshc/meshc/schema/internal/parse"
	"github.com/meshc/meshc/schema/tree"
)

// job is a piece of work that gives the results of one file, or of the .cue
// files of one directory.
type job struct {
	load  func(context.Context, *job)
	files []files.File
	at    []int // the places of files in the tree
	out   []*fileResult
	// For the cache: the key, zero for what is not cached, and what out is
	// when written down, as the cache had it or is to have it.
	key   cacheKey
	entry string
	known bool // the cache had it
}

// jobs returns what is to do for the files that have no result.
func (l *Loader) jobs(next *loadState) []*job {
	var jobs []*job
	todo := make([]int, 0, len(next.files)) // indices of files, shared by the jobs
	cueDirs := map[string]*job{}
	for i, f := range next.files {
		if next.results[i] != nil {
			continue
		}
		if !isCUE(f.Name) {
			todo = append(todo, i)
			jobs = append(jobs, &job{load: l.loadFile, files: next.files[i : i+1 : i+1], at: todo[len(todo)-1 : len(todo) : len(todo)]})
			continue
		}
		dir := filepath.Dir(f.Shown)
		j := cueDirs[dir]
		if j == nil {
			j = &job{load: l.loadCUE}
			jobs = append(jobs, j)
			cueDirs[dir] = j
		}
		j.files, j.at = append(j.files, f), append(j.at, i)
	}
	for _, j := range jobs {
		j.key = l.cache.key(j, &next.outside)
	}
	return jobs
}

// work runs jobs on all processors.
func (l *Loader) work(ctx context.Context, jobs []*job) {
	var wg sync.WaitGroup
	todo := make(chan *job)
	for range min(runtime.GOMAXPROCS(0), len(jobs)) {
		wg.Go(func() {
			for j := range todo {
				if ctx.Err() != nil || l.cache.read(j) {
					continue
				}
				if j.load(ctx, j); ctx.Err() == nil {
					l.cache.write(j)
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

// loadFile loads a YAML or JSON file.
func (l *Loader) loadFile(_ context.Context, j *job) {
	f := j.files[0]
	read := parse.YAML
	if isJSON(f) {
		read = parse.JSON
	}
	docs, ds := read(f.Data)
	r := reader{rules: l.rules, raw: l.raw, file: f}
	r.add(ds...)
	r.hide(ds)
	for i, d := range docs {
		var end tree.Pos
		if i+1 < len(docs) {
			end = docs[i+1].Root.Pos
		}
		r.document(d, end)
	}
	r.close()
	j.out = []*fileResult{&r.out}
}

// loadCUE loads the .cue files of one directory.
func (l *Loader) loadCUE(ctx context.Context, j *job) {
	readers := make([]*reader, len(j.files))
	j.out = make([]*fileResult, len(j.files))
	in := make([]parse.CUEFile, len(j.files))
	for i, f := range j.files {
		readers[i] = &reader{rules: l.rules, raw: l.raw, file: f}
		j.out[i] = &readers[i].out
		in[i] = parse.CUEFile{Path: absolute(f), Data: f.Data, Named: f.Named}
	}
	docs, problems := l.cue.evaluate(ctx, in)
	addCUE(readers, problems)
	var doubts []parse.CUEProblem
	doubted := false // a document that CUE doubts is wrong
	for _, d := range docs {
		r := readers[d.File]
		before := r.out
		end := d.Root.End()
		end.Column++ // just behind the last value
		r.document(d.Document, end)
		switch {
		case len(d.Doubts) == 0:
		case diag.HasErrors(r.out.diagnostics[len(before.diagnostics):]):
			doubted = true
		default:
			refused := r.out.documents[len(before.documents):]
			r.out = before
			r.drop(refused)
			doubts = append(doubts, d.Doubts...)
		}
	}
	if !doubted { // otherwise they may follow from what is told already
		addCUE(readers, doubts)
	}
	for _, r := range readers {
		r.close()
	}
}

// addCUE adds findings of CUE to the files that they are about. Those about
// other files name them from the directory of the files.
func addCUE(readers []*reader, problems []parse.CUEProblem) {
	for _, p := range problems {
		r, d := readers[p.File], p.Diagnostic
		dir := filepath.Dir(r.file.Shown)
		if d.File != "" {
			d.File = filepath.Join(dir, d.File)
		}
		for i, rel := range d.Related {
			if rel.File != "" {
				d.Related[i].File = filepath.Join(dir, rel.File)
			}
		}
		r.add(d)
		r.hide([]diag.Diagnostic{d})
	}
}

func absolute(f files.File) string {
	path, err := filepath.Abs(f.Shown)
	if err != nil { // there is no working directory any more
		path = string(filepath.Separator) + f.Name
	}
	return path
}

func isCUE(name string) bool { return filepath.Ext(name) == ".cue" }

// isJSON reports whether f is JSON: by its name, or, for what has none, by how
// it begins. A YAML map in braces rarely quotes its first key.
func isJSON(f files.File) bool {
	switch strings.ToLower(filepath.Ext(f.Name)) {
	case ".json":
		return true
	case ".yaml", ".yml":
		return false
	}
	inside, ok := bytes.CutPrefix(bytes.TrimSpace(f.Data), []byte("{"))
	return ok && bytes.HasPrefix(bytes.TrimSpace(inside), []byte(`"`))
}
