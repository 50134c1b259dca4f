package parse

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/build"
	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/load"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"

	"github.com/meshc/meshc/schema/diag"
)

// CUEModule is the import path of the rules that meshc itself checks with.
const CUEModule = "meshc.dev/schema"

// vendored is where CUE looks for the rules, below the root of a module.
var vendored = filepath.Join("cue.mod", "pkg", filepath.FromSlash(CUEModule))

// ModuleRoot returns the nearest directory from dir up that holds cue.mod,
// else dir itself.
func ModuleRoot(dir string) (root string, found bool) {
	for at := dir; ; {
		if isDir(filepath.Join(at, "cue.mod")) {
			return at, true
		}
		up := filepath.Dir(at)
		if up == at {
			return dir, false
		}
		at = up
	}
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func moduleFile(root string) string { return filepath.Join(root, "cue.mod", "module.cue") }

// overlay lays the bytes that were read over the files on disk, so that an
// instance is of one consistent read, and the rules over the vendored packages.
func (c *cueParser) overlay(rules map[string][]byte) map[string]load.Source {
	overlay := map[string]load.Source{}
	for _, f := range c.files {
		overlay[f.Path] = load.FromBytes(f.Data)
	}
	root, found := ModuleRoot(c.dir)
	if !found {
		overlay[moduleFile(root)] = load.FromString("module: \"meshc.invalid/input\"\nlanguage: version: \"v0.17.0\"\n")
	}
	for name, data := range rules {
		overlay[filepath.Join(root, vendored, name)] = load.FromBytes(data)
	}
	return overlay
}

func readRules(rules fs.FS) (map[string][]byte, error) {
	names, err := fs.Glob(rules, "*.cue")
	if err != nil {
		return nil, err
	}
	out := make(map[string][]byte, len(names))
	for _, name := range names {
		if out[name], err = fs.ReadFile(rules, name); err != nil {
			return nil, fmt.Errorf("reading the embedded rules: %w", err)
		}
	}
	return out, nil
}

// stubs returns rules that define the same names and let everything pass.
func stubs(rules map[string][]byte) map[string][]byte {
	out := make(map[string][]byte, len(rules))
	for name, data := range rules {
		f, err := parser.ParseFile(name, data)
		if err != nil {
			continue // then the rules would not have been evaluated either
		}
		var b strings.Builder
		fmt.Fprintf(&b, "package %s\n", f.PackageName())
		for _, d := range f.Decls {
			if field, ok := d.(*ast.Field); ok {
				if label, ok := field.Label.(*ast.Ident); ok && strings.HasPrefix(label.Name, "#") {
					fmt.Fprintf(&b, "%s: {...}\n", label.Name)
				}
			}
		}
		out[name] = []byte(b.String())
	}
	return out
}

// usesRules reports whether an instance imports the rules, be it through others.
func usesRules(inst *build.Instance) bool {
	return slices.ContainsFunc(inst.Dependencies(), func(d *build.Instance) bool {
		return d.ImportPath == CUEModule || strings.HasPrefix(d.ImportPath, CUEModule+"@") || strings.HasPrefix(d.ImportPath, CUEModule+":")
	})
}

// isRule reports whether a place is in the rules.
func isRule(p token.Pos) bool {
	return p.IsValid() && strings.HasSuffix(filepath.Dir(p.Filename()), string(filepath.Separator)+vendored)
}

var newer = regexp.MustCompile(`is not available in version (v\S+); it was added in version "(v[^"]+)"`)

// tooOld reports whether the rules cannot be read because the user's module is
// of a language that is older than they are. CUE says so of each part of them.
func (c *cueParser) tooOld(err error) (CUEProblem, bool) {
	for _, e := range errors.Errors(err) {
		m := newer.FindStringSubmatch(e.Error())
		if m == nil || !slices.ContainsFunc(append([]token.Pos{e.Position()}, e.InputPositions()...), isRule) {
			continue
		}
		p := CUEProblem{Diagnostic: diag.Diagnostic{Code: diag.CodeCUE,
			Message: fmt.Sprintf("the module's language is %s, and %s, which its files import, needs %s or later", m[1], CUEModule, m[2]),
			Hint:    fmt.Sprintf("write language: version: %q", m[2])}}
		c.blameModule(&p)
		return p, true
	}
	return CUEProblem{}, false
}

// blameModule gives p the place of the module file, where it names the version
// of the language.
func (c *cueParser) blameModule(p *CUEProblem) {
	root, found := ModuleRoot(c.dir)
	if !found {
		return
	}
	p.Code, p.Path = diag.CodeCUE, ""
	p.Place = diag.Place{File: c.relative(moduleFile(root)), Line: 1, Column: 1}
	data, err := os.ReadFile(moduleFile(root))
	if err != nil {
		return
	}
	f, err := parser.ParseFile(moduleFile(root), data)
	if err != nil {
		return
	}
	ast.Walk(f, func(n ast.Node) bool {
		field, ok := n.(*ast.Field)
		if !ok {
			return true
		}
		name, _, _ := ast.LabelName(field.Label)
		if _, nested := field.Value.(*ast.StructLit); name == "version" && !nested {
			at := newLines(data).pos(field.Value.Pos().Offset())
			p.Line, p.Column, p.Path = at.Line, at.Column, "language.version"
		}
		return name == "language"
	}, nil)
}

// relative returns a path as problems have it.
func (c *cueParser) relative(path string) string {
	out, err := filepath.Rel(c.dir, path)
	if err != nil {
		return path // on another volume
	}
	return out
}
