package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/meshc/meshc/compiler"
	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/status"
	"github.com/meshc/meshc/runtime/xds/raw"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/files"
)

// input is where snapshots come from: a tree of documents, or one built file.
type input interface {
	// load reads the input as it is now. An error means that it could not be
	// read at all; what is wrong with its content is in the result.
	load(context.Context) (loaded, error)
	// roots are the folders in which the relative paths of a snapshot begin.
	roots() []string
}

// loaded is one reading of the input.
type loaded struct {
	snapshot  snapshot.Snapshot
	documents int
	// vanished says that a root of the input is not there.
	vanished bool
	diags    []diag.Diagnostic
	summary  diag.Summary
	steps    []status.Step
	// named are the files that documents name: modules, certificates, secrets.
	named []*files.Named
	// files are the documents that were read, and byName finds them by the
	// name they are shown under; made when the first excerpt asks.
	files  []files.File
	byName map[string][]byte
	// checked are the documents that hold their rules.
	checked []*schema.Document
}

// source returns the content of a file of the input, or nil.
func (l *loaded) source(file string) []byte {
	if l.byName == nil {
		l.byName = make(map[string][]byte, len(l.files))
		for _, f := range l.files {
			l.byName[f.Shown] = f.Data
		}
	}
	return l.byName[file]
}

// purpose says what a load is for, which decides how heavily it weighs that
// this build cannot put something into effect.
type purpose int

const (
	toValidate purpose = iota // tell: the documents are right
	toServe                   // refuse what security rests on, warn of the rest
)

// documents is a tree of files.
type documents struct {
	paths    []string // as the user gave them
	reader   *files.Reader
	loader   *schema.Loader
	sources  schema.Sources
	compiler *compiler.Compiler
	purpose  purpose
	// emptyIsMeant says that no document at all is nothing to complain of.
	emptyIsMeant bool
}

func newDocuments(roots []string, stdin io.Reader, p purpose) *documents {
	d := &documents{paths: roots, reader: files.NewReader(roots, stdin), loader: schema.NewLoader(), compiler: compiler.New(), purpose: p}
	d.loader.CheckRaw(raw.Check)
	d.compiler.Modules, d.compiler.Check, d.compiler.Kinds = d.sources.Module, checkFilter, compilerKinds()
	return d
}

func (d *documents) load(ctx context.Context) (loaded, error) {
	var l loaded
	step := stopwatch(&l.steps)
	tree, err := d.reader.Read(ctx)
	if err != nil {
		return l, err
	}
	step("read")
	checked := d.loader.Load(ctx, tree)
	if err := ctx.Err(); err != nil {
		return l, err
	}
	sources := d.sources.Check(checked.Documents)
	l.named = d.sources.Files()
	step("validate")
	compiled := d.compiler.Compile(checked.Documents)
	step("compile")

	l.snapshot = compiled.Snapshot
	l.documents = len(checked.Documents)
	l.vanished = tree.Vanished
	l.summary = checked.Summary
	l.diags = append(l.diags, checked.Diagnostics...)
	l.diags = append(l.diags, sources...)
	if d.emptyIsMeant {
		l.diags = slices.DeleteFunc(l.diags, func(f diag.Diagnostic) bool { return f.Code == diag.CodeNoInput })
	}
	l.diags = append(l.diags, compiler.Withhold(compiled.Diagnostics, checked.Refused)...)
	for _, u := range compiled.Unsupported {
		if d.purpose == toValidate {
			u.Severity = diag.Note
		}
		l.diags = append(l.diags, u)
	}
	l.diags = schema.ApplySilences(checked.Silences, l.diags)
	diag.Sort(l.diags)
	l.summary.Errors, l.summary.Warnings = 0, 0
	l.summary.Count(l.diags)
	l.files, l.checked = tree.Files, checked.Documents
	return l, nil
}

// roots are those that the user gave; a file stands for its folder, and standard
// input for that of the process.
func (d *documents) roots() []string {
	var out []string
	for _, p := range d.paths {
		if info, err := os.Stat(p); p == files.Stdin {
			p = "."
		} else if err == nil && !info.IsDir() {
			p = filepath.Dir(p)
		}
		if !slices.Contains(out, filepath.Clean(p)) {
			out = append(out, filepath.Clean(p))
		}
	}
	if len(out) == 0 {
		out = append(out, ".")
	}
	return out
}

// dropReferencesOut drops the findings about what is not in the input.
func (l *loaded) dropReferencesOut() {
	l.diags = slices.DeleteFunc(l.diags, func(d diag.Diagnostic) bool { return diag.LeadsOut(d.Code) })
	l.summary.Errors, l.summary.Warnings = 0, 0
	l.summary.Count(l.diags)
}

// mustNotBeInput refuses to write the output over a file of the input.
func (l *loaded) mustNotBeInput(path string) error {
	out, err := os.Stat(path)
	if err != nil {
		return nil // nothing there that could be lost
	}
	input := make([]string, 0, len(l.files)+len(l.named))
	for _, f := range l.files {
		input = append(input, f.Shown)
	}
	for _, n := range l.named {
		input = append(input, n.Path)
	}
	for _, name := range input {
		if in, err := os.Stat(name); err == nil && os.SameFile(in, out) {
			return failed("--output %s is the input file %s", path, name)
		}
	}
	return nil
}

// built is a snapshot file that meshc build wrote.
type built struct{ path string }

func (b built) load(context.Context) (loaded, error) {
	var l loaded
	step := stopwatch(&l.steps)
	data, err := os.ReadFile(b.path)
	if err != nil {
		l.vanished = os.IsNotExist(err)
		l.diags = append(l.diags, b.finding(diag.CodeUnreadable, err))
	} else if l.snapshot, err = snapshot.Read(bytes.NewReader(data)); err != nil {
		l.diags = append(l.diags, b.finding(diag.CodeSnapshotFile, err))
	}
	step("read")
	l.documents = l.snapshot.Documents.Len()
	l.summary = diag.Summary{Files: 1, Documents: l.documents}
	l.summary.Count(l.diags)
	return l, nil
}

func (b built) roots() []string { return []string{filepath.Dir(b.path)} }

func (b built) finding(code string, err error) diag.Diagnostic {
	return diag.Diagnostic{Code: code, Place: diag.Place{File: b.path}, Message: err.Error(), Hint: "give a file that meshc build wrote, or documents"}
}

// openInput tells a built snapshot from documents: a snapshot is one file
// whose name has none of the extensions of documents.
func openInput(paths []string, stdin io.Reader, emptyIsMeant bool) input {
	if len(paths) == 1 && paths[0] != "-" {
		info, err := os.Stat(paths[0])
		if err == nil && info.Mode().IsRegular() && !slices.Contains(files.Extensions(), filepath.Ext(paths[0])) {
			return built{paths[0]}
		}
	}
	d := newDocuments(paths, stdin, toServe)
	d.emptyIsMeant = emptyIsMeant
	return d
}

// stopwatch returns a function that ends a step: it appends the time since the
// step before.
func stopwatch(steps *[]status.Step) func(name string) {
	last := time.Now()
	return func(name string) {
		now := time.Now()
		*steps = append(*steps, status.Step{Name: name, Duration: snapshot.Duration(now.Sub(last).Round(time.Microsecond))})
		last = now
	}
}

// stepsText writes steps as "read 1.2ms, validate 3ms".
func stepsText(steps []status.Step) string {
	parts := make([]string, len(steps))
	for i, s := range steps {
		parts[i] = fmt.Sprintf("%s %s", s.Name, time.Duration(s.Duration))
	}
	return strings.Join(parts, ", ")
}
