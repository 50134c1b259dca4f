//go:build linux

package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/build"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/encoding/yaml"

	"github.com/meshc/meshc/compiler"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/files"
)

// asFiles makes a file of each document.
func asFiles(docs []document) []files.File {
	out := make([]files.File, len(docs))
	for i, d := range docs {
		name := fmt.Sprintf("%05d.yaml", i)
		out[i] = files.File{Name: name, Shown: name, Data: []byte(d.text)}
	}
	return out
}

// load loads files that are known to be right.
func load(l *schema.Loader, in []files.File) ([]*schema.Document, error) {
	r := l.Load(context.Background(), files.Tree{Files: in})
	if diag.HasErrors(r.Diagnostics) {
		return nil, fmt.Errorf("the corpus is wrong: %v", r.Diagnostics[0])
	}
	if len(r.Documents) != len(in) {
		return nil, fmt.Errorf("%d of %d documents loaded", len(r.Documents), len(in))
	}
	return r.Documents, nil
}

// cold measures meshc on one core, from bytes to decoded documents, digests of
// the files included.
func cold(docs []document) (time.Duration, error) {
	in := asFiles(docs)
	return best(3, func() error {
		for i := range in {
			in[i].Sum = sha256.Sum256(in[i].Data)
		}
		_, err := load(schema.NewLoader(), in)
		return err
	})
}

// plainCUE measures CUE on the same way with the same rules: parse, unify with
// the definition, validate, decode.
func plainCUE(docs []document) (time.Duration, error) {
	inst := build.NewContext().NewInstance("", nil)
	rules := schema.CUEPackage()
	paths, err := fs.Glob(rules, "*.cue")
	if err != nil {
		return 0, err
	}
	for _, path := range paths {
		src, err := fs.ReadFile(rules, path)
		if err != nil {
			return 0, err
		}
		f, err := parser.ParseFile(path, src)
		if err != nil {
			return 0, err
		}
		if err := inst.AddSyntax(f); err != nil {
			return 0, err
		}
	}
	if err := inst.Complete(); err != nil {
		return 0, err
	}
	ctx := cuecontext.New()
	definitions := ctx.BuildInstance(inst)
	return best(2, func() error {
		for _, d := range docs {
			f, err := yaml.Extract("", []byte(d.text))
			if err != nil {
				return err
			}
			v := definitions.LookupPath(cue.ParsePath(d.definition)).Unify(ctx.BuildExpr(&ast.StructLit{Elts: f.Decls}))
			if err := v.Validate(cue.Concrete(true), cue.Final()); err != nil {
				return fmt.Errorf("CUE on a %s: %w", d.kind, err)
			}
			var body map[string]any
			if err := v.Decode(&body); err != nil {
				return err
			}
		}
		return nil
	})
}

// warm measures a reload after one file changed: load and compile.
func warm(docs []document) (time.Duration, error) {
	in := asFiles(docs)
	for i := range in {
		in[i].Sum = sha256.Sum256(in[i].Data)
	}
	at := slices.IndexFunc(docs, func(d document) bool { return d.kind == "Endpoints" })
	loader, c := schema.NewLoader(), compiler.New()
	reload := func() error {
		loaded, err := load(loader, in)
		if err != nil {
			return err
		}
		if r := c.Compile(loaded); diag.HasErrors(r.Diagnostics) {
			return errors.New(r.Diagnostics[0].Message)
		}
		return nil
	}
	if err := reload(); err != nil {
		return 0, err
	}
	var times []time.Duration
	for i := range 21 {
		in[at].Data = []byte(strings.Replace(docs[at].text, "ip: 10.", fmt.Sprintf("ip: 10%d.", i), 1))
		in[at].Sum = sha256.Sum256(in[at].Data)
		start := time.Now()
		if err := reload(); err != nil {
			return 0, err
		}
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}

// best returns the least time that this process spent on its one core in f, in
// some turns: what others do on the machine counts as little as it can.
func best(turns int, f func() error) (time.Duration, error) {
	var out time.Duration
	for i := range turns {
		runtime.GC()
		start, err := spent()
		if err != nil {
			return 0, err
		}
		if err := f(); err != nil {
			return 0, err
		}
		end, err := spent()
		if err != nil {
			return 0, err
		}
		if took := end - start; i == 0 || took < out {
			out = took
		}
	}
	return out, nil
}

// spent returns the processor time of this process so far.
func spent() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}
