package parse

import (
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/load"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// CUEModule is the import path of the rules that meshc itself checks with.
const CUEModule = "meshc.dev/schema"

// CUEFile is one .cue file: an absolute path and what is there.
type CUEFile struct {
	Path string
	Data []byte
}

// CUEDocument is a document that CUE evaluated, and the file it is written in.
type CUEDocument struct {
	Document
	File int // index into the files given
}

// CUEProblem is a finding in one of the files given.
type CUEProblem struct {
	diag.Diagnostic
	File int
}

// CUE evaluates the .cue files of one directory as `cue export .` does: the
// files of a package are one instance, together with those of the same package
// in the directories above, up to the module's root; a file without a package
// clause is an instance of its own. rules are the files that an import of
// CUEModule means; they are laid over the module's vendored packages, so that
// it works offline and without an entry in the module file.
//
// An instance is a document, or else each of its exported fields or list items
// is one. A mistake in a document does not spoil its neighbours.
func CUE(dir string, files []CUEFile, rules fs.FS) (docs []CUEDocument, problems []CUEProblem) {
	c := &cueParser{dir: dir, files: files, byPath: map[string]int{}, lines: make([]*lines, len(files)), places: map[string]cuePlace{}}
	defer func() {
		if r := recover(); r != nil {
			problems = append(c.problems, CUEProblem{Diagnostic: problem(diag.Error, diag.CodeCUE,
				tree.Pos{Line: 1, Column: 1}, nil, fmt.Sprintf("CUE gave up on this directory: %v", r), "")})
		}
	}()
	overlay, err := c.overlay(rules)
	if err != nil {
		c.fail(err)
		return nil, c.problems
	}
	for _, args := range c.instances() {
		for _, inst := range load.Instances(args, &load.Config{Dir: dir, Overlay: overlay}) {
			if inst.Err != nil {
				c.fail(inst.Err)
				continue
			}
			clear(c.places)
			c.fields = nil
			for _, f := range inst.Files {
				c.index(f)
			}
			c.instance(cuecontext.New().BuildInstance(inst))
		}
	}
	return c.docs, c.problems
}

type cuePlace struct {
	file       int
	key, value tree.Pos
}

type cueParser struct {
	dir      string
	files    []CUEFile
	byPath   map[string]int
	lines    []*lines
	places   map[string]cuePlace // by cueKey of the path of what is written
	fields   []string            // the top fields of the instance, as written
	silences []cueSilence
	docs     []CUEDocument
	problems []CUEProblem
}

type cueSilence struct {
	Silence
	file int
}

// instances returns the arguments of load.Instances for each instance here.
func (c *cueParser) instances() [][]string {
	var out [][]string
	packages := false
	for _, f := range c.files {
		parsed, err := parser.ParseFile(f.Path, f.Data, parser.PackageClauseOnly)
		switch {
		case err != nil || parsed.PackageName() == "":
			out = append(out, []string{f.Path})
		default:
			packages = true
		}
	}
	if packages {
		out = append(out, []string{"."})
	}
	return out
}

// overlay lays the bytes that were read over the files on disk, so that the
// instance is of one consistent read, and the rules over the vendored packages.
func (c *cueParser) overlay(rules fs.FS) (map[string]load.Source, error) {
	overlay := map[string]load.Source{}
	for i, f := range c.files {
		c.byPath[f.Path] = i
		c.lines[i] = newLines(f.Data)
		overlay[f.Path] = load.FromBytes(f.Data)
	}
	root, found := ModuleRoot(c.dir)
	if !found {
		overlay[filepath.Join(root, "cue.mod", "module.cue")] =
			load.FromString("module: \"meshc.invalid/input\"\nlanguage: version: \"v0.17.0\"\n")
	}
	names, err := fs.Glob(rules, "*.cue")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		data, err := fs.ReadFile(rules, name)
		if err != nil {
			return nil, fmt.Errorf("reading the embedded rules: %w", err)
		}
		overlay[filepath.Join(root, "cue.mod", "pkg", filepath.FromSlash(CUEModule), name)] = load.FromBytes(data)
	}
	return overlay, nil
}

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

// instance takes the documents out of an instance's value. Where something in
// it is wrong, CUE gives no list of its fields; then those that are written are
// looked up one by one, so that each mistake costs one document.
func (c *cueParser) instance(v cue.Value) {
	if v.IncompleteKind() != cue.BottomKind {
		c.document(v, nil, 0)
		return
	}
	before := len(c.problems)
	for _, name := range c.fields {
		if field := v.LookupPath(cue.MakePath(cue.Str(name))); field.Exists() {
			c.document(field, []any{name}, 1)
		}
	}
	if len(c.problems) == before {
		c.fail(v.Err())
	}
}

// document converts v if it is a document, else each of its fields or items.
func (c *cueParser) document(v cue.Value, path []any, depth int) {
	v, _ = v.Default()
	if depth < 2 && !isDocument(v) {
		switch v.IncompleteKind() {
		case cue.StructKind:
			for it, _ := v.Fields(); it.Next(); {
				c.document(it.Value(), append(slices.Clone(path), label(it.Selector())), depth+1)
			}
			return
		case cue.ListKind:
			i := 0
			for it, _ := v.List(); it.Next(); i++ {
				c.document(it.Value(), append(slices.Clone(path), i), depth+1)
			}
			return
		}
	}
	place, ok := c.place(v, path)
	if !ok || filepath.Dir(c.files[place.file].Path) != c.dir {
		return // written in a directory above, whose own instance has it
	}
	if err := v.Validate(cue.Concrete(true), cue.Final()); err != nil {
		c.fail(err)
		return
	}
	b := cueTree{c: c, file: place.file}
	root := b.node(v, path, place.key, 0)
	if b.err != nil {
		c.problems = append(c.problems, CUEProblem{Diagnostic: *b.err, File: place.file})
		return
	}
	root.Pos = place.key
	d := CUEDocument{File: place.file, Document: Document{Root: root}}
	end := root.End()
	for _, s := range c.silences {
		if s.file == place.file && !s.Near.Before(root.Pos) && !end.Before(s.Near) {
			d.Silences = append(d.Silences, s.Silence)
		}
	}
	c.docs = append(c.docs, d)
}

// isDocument reports whether v is one document and not a collection of them: a
// struct with a plain value among its fields, or Kong's list of services.
func isDocument(v cue.Value) bool {
	if v.IncompleteKind() != cue.StructKind {
		return v.IncompleteKind() != cue.ListKind
	}
	for it, _ := v.Fields(); it.Next(); {
		switch it.Value().IncompleteKind() {
		case cue.StructKind:
		case cue.ListKind:
			if label(it.Selector()) == "services" {
				return true
			}
		default:
			return true
		}
	}
	return false
}

// fail reports the errors that err holds, each at the first place of it that
// is in one of the files. CUE tells one mistake several times, once for each
// way in which the value could have been right; the reader gets it once.
func (c *cueParser) fail(err error) {
	start := len(c.problems)
	for _, e := range errors.Errors(err) {
		p, placed := c.problem(e)
		if strings.HasSuffix(p.Message, "errors in empty disjunction:") {
			continue
		}
		same := slices.IndexFunc(c.problems[start:], func(o CUEProblem) bool { return p.Path != "" && o.Path == p.Path })
		switch {
		case same < 0:
			c.problems = append(c.problems, p)
		case placed && strings.HasPrefix(c.problems[start+same].Message, "conflicting values"):
			c.problems[start+same] = p
		}
	}
	if len(c.problems) == start {
		p, _ := c.problem(errors.Promote(err, ""))
		c.problems = append(c.problems, p)
	}
}

func (c *cueParser) problem(e errors.Error) (p CUEProblem, placed bool) {
	message := strings.ReplaceAll(e.Error(), c.dir+string(filepath.Separator), "")
	p = CUEProblem{Diagnostic: problem(diag.Error, diag.CodeCUE, tree.Pos{Line: 1, Column: 1}, nil, message, "")}
	p.Path = strings.Join(e.Path(), ".")
	if p.Path == "" {
		p.Code = diag.CodeSyntax
	} else {
		p.Message = strings.TrimPrefix(p.Message, p.Path+": ")
	}
	for _, pos := range append([]token.Pos{e.Position()}, e.InputPositions()...) {
		file, at, ok := c.pos(pos)
		if !ok {
			continue
		}
		place := diag.Place{Line: at.Line, Column: at.Column}
		if !placed {
			p.File, p.Place, placed = file, place, true
		} else if file == p.File && place != p.Place {
			p.Related = append(p.Related, diag.Related{Place: place, Message: "this took part"})
		}
	}
	if !placed { // something is missing, or written in a rule: what is around it?
		p.File, p.Place = c.around(e.Path())
	}
	return p, placed
}

// pos translates a place of CUE's, whose columns count bytes.
func (c *cueParser) pos(p token.Pos) (file int, pos tree.Pos, ok bool) {
	if !p.IsValid() {
		return 0, tree.Pos{}, false
	}
	file, ok = c.byPath[p.Filename()]
	if !ok {
		return 0, tree.Pos{}, false
	}
	return file, c.lines[file].pos(p.Offset()), true
}

func label(s cue.Selector) string {
	if s.LabelType() == cue.StringLabel {
		return s.Unquoted()
	}
	return s.String()
}

// cueTree converts one document's value.
type cueTree struct {
	c    *cueParser
	file int
	err  *diag.Diagnostic
}

// node converts v. A part that is written in another file than the document
// has the place of what encloses it.
func (b *cueTree) node(v cue.Value, path []any, near tree.Pos, depth int) *tree.Node {
	v, _ = v.Default()
	n := &tree.Node{Pos: near, Default: b.c.ruled(v, path)}
	if p, ok := b.c.place(v, path); ok && p.file == b.file {
		n.Pos = p.value
	}
	if depth > maxDepth {
		d := tooDeep(n.Pos, path)
		b.err = &d
		return n
	}
	var err error
	switch v.Kind() {
	case cue.NullKind:
		n.Kind = tree.Null
	case cue.BoolKind:
		var is bool
		is, err = v.Bool()
		n.Kind, n.Text = tree.Bool, fmt.Sprint(is)
	case cue.IntKind, cue.FloatKind, cue.NumberKind:
		var text []byte
		text, err = v.MarshalJSON()
		n.Kind, n.Text = tree.Int, string(text)
		if v.Kind() != cue.IntKind {
			n.Kind = tree.Float
		}
	case cue.StringKind:
		n.Kind = tree.String
		n.Text, err = v.String()
	case cue.BytesKind:
		var data []byte
		data, err = v.Bytes()
		n.Kind, n.Text = tree.String, base64.StdEncoding.EncodeToString(data)
	case cue.ListKind:
		n.Kind = tree.List
		for it, _ := v.List(); it.Next(); {
			at := append(slices.Clone(path), len(n.Items))
			n.Items = append(n.Items, b.node(it.Value(), at, n.Pos, depth+1))
		}
	case cue.StructKind:
		n.Kind = tree.Map
		for it, _ := v.Fields(); it.Next(); {
			key := label(it.Selector())
			at := append(slices.Clone(path), key)
			f := tree.Field{Key: key, KeyPos: n.Pos}
			if p, ok := b.c.place(it.Value(), at); ok && p.file == b.file {
				f.KeyPos = p.key
			}
			f.Value = b.node(it.Value(), at, f.KeyPos, depth+1)
			n.Fields = append(n.Fields, f)
		}
	default:
		err = v.Err()
	}
	if err != nil {
		d := problem(diag.Error, diag.CodeCUE, n.Pos, path, err.Error(), "")
		b.err = &d
	}
	return n
}
