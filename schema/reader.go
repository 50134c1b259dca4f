package schema

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/files"
	"github.com/meshc/meshc/schema/internal/parse"
	"github.com/meshc/meshc/schema/internal/plan"
	"github.com/meshc/meshc/schema/tree"
)

// reader makes documents of what one file holds.
type reader struct {
	rules *plan.Schema
	raw   RawCheck // nil: raw resources pass
	file  files.File
	out   fileResult
	// refused is where the documents in out.refused are.
	refused []extent
	// Of the document at hand, which may hold several (a List, Kong's file):
	problems []diag.Diagnostic // of how it is written
	silences []parse.Silence
	left     []extent // the parts that are left out
}

// extent is a part of a file: from a place, to before another; the zero to is
// the end of the file.
type extent struct{ from, to tree.Pos }

func (e extent) holds(p tree.Pos) bool {
	return !p.Before(e.from) && (e.to == tree.Pos{} || p.Before(e.to))
}

// item returns the extent of item i of a list that lies in e.
func (e extent) item(list *tree.Node, i int) extent {
	out := extent{list.Items[i].Pos, e.to}
	if next := list.At(i + 1); next != nil {
		out.to = next.Pos
	}
	return out
}

func (r *reader) add(ds ...diag.Diagnostic) {
	for _, d := range ds {
		if d.File == "" {
			d.File = r.file.Shown
		}
		for i := range d.Related {
			if d.Related[i].File == "" {
				d.Related[i].File = r.file.Shown
			}
		}
		r.out.diagnostics = append(r.out.diagnostics, d)
	}
}

func (r *reader) errorAt(code string, pos tree.Pos, path, message, hint string) {
	r.add(finding(diag.Error, code, pos, path, message, hint))
}

func finding(severity diag.Severity, code string, pos tree.Pos, path, message, hint string) diag.Diagnostic {
	return diag.Diagnostic{
		Code: code, Severity: severity, Place: diag.Place{Line: pos.Line, Column: pos.Column},
		Path: path, Message: message, Hint: hint,
	}
}

// document takes one parsed document, whatever it holds; it ends before end.
func (r *reader) document(d parse.Document, end tree.Pos) {
	r.problems, r.silences, r.left = d.Problems, d.Silences, nil
	for i := range r.problems {
		unquote(cmp.Or(d.Root.Get("type").Str(), d.Root.Get("kind").Str()), &r.problems[i])
	}
	whole := extent{d.Root.Pos, end}
	from := len(r.out.diagnostics)
	r.recognise(d.Root, whole, nil)
	for _, p := range r.problems {
		if !r.isLeft(place(p)) && !told(r.out.diagnostics[from:], p) {
			r.add(p)
		}
	}
	// What no document claimed belongs to the whole.
	r.claim(r.silences, whole)
}

// told reports whether p is about a scalar that the rules have refused as well:
// that is one mistake. The finding of the rules gets p's remedy where its own
// knows only what was made of the text.
func told(found []diag.Diagnostic, p diag.Diagnostic) bool {
	if p.Code != diag.CodeYAMLTrap && p.Code != diag.CodeInvalid {
		return false
	}
	i := slices.IndexFunc(found, func(d diag.Diagnostic) bool { return d.Severity == diag.Error && place(d) == place(p) })
	if i < 0 {
		return false
	}
	switch f := &found[i]; {
	case strings.HasSuffix(f.Message, "want boolean"):
		f.Hint = "write true or false"
	case strings.HasPrefix(f.Hint, quoteIt+":"), f.Hint == "" && !strings.HasPrefix(f.Message, hidden):
		f.Hint = p.Hint
	}
	return true
}

func place(d diag.Diagnostic) tree.Pos { return tree.Pos{Line: d.Line, Column: d.Column} }

func (r *reader) isLeft(p tree.Pos) bool {
	return slices.ContainsFunc(r.left, func(e extent) bool { return e.holds(p) })
}

// leave leaves out a part: neither how it is written nor what it says matters.
func (r *reader) leave(in extent) {
	r.out.ignored++
	r.left = append(r.left, in)
}

// broken reports whether a mistake in how it is written spoils the part of the
// file in the extent.
func (r *reader) broken(in extent) bool {
	return slices.ContainsFunc(r.problems, func(p diag.Diagnostic) bool {
		return p.Severity == diag.Error && in.holds(place(p))
	})
}

// misread reports whether f is about a field whose value could not be read, so
// that the mistake has been told. Problems have paths from the document's root,
// findings those of what is checked, which may be an entity or item in it.
func (r *reader) misread(f plan.Finding, in extent) bool {
	return slices.ContainsFunc(r.problems, func(p diag.Diagnostic) bool {
		if p.Severity != diag.Error || p.Code != diag.CodeSyntax && p.Code != diag.CodeKeyNotString || !in.holds(place(p)) {
			return false
		}
		before, ok := strings.CutSuffix(p.Path, f.Path)
		return ok && f.Path != "" && (before == "" || strings.HasSuffix(before, "."))
	})
}

// kind is a kind of document that meshc knows.
type kind struct {
	dialect    Dialect
	name       string
	definition string                                       // in schema/cue
	body       func() any                                   // nil where nothing acts on it
	normalise  func(r *reader, n *tree.Node) *tree.Node     // before the check; may be nil
	fieldPath  func(f plan.Finding) string                  // nil: as the plan says
	word       func(written *tree.Node, d *diag.Diagnostic) // says what is wrong in the author's words; may be nil
	identify   func(d *Document)                            // sets Namespace, Mesh and Name
	restore    func(written, checked *tree.Node) *tree.Node // what JSON shows; may be nil
	extra      func(r *reader, checked *tree.Node) bool     // reports more that is wrong, and whether it is right; may be nil
	secrets    [][]string                                   // paths of what is secret: JSON does not show it
	private    [][]string                                   // paths of what may be: JSON does not show that, either
	unquoted   [][]string                                   // paths of values of headers: messages do not quote them
	headers    [][]string                                   // paths of names of headers: no message quotes what is none, for that may be name and value in one
	urls       [][]string                                   // paths of URLs, of which JSON does not show the user
	raw        []string                                     // path of texts that hold a resource of Envoy; nil: none
	unapplied  []unapplied                                  // fields that this build ignores
}

// check checks n as a document of kind k, and keeps it if it is right.
func (r *reader) check(k *kind, n *tree.Node, in extent) {
	r.out.checked++
	r.silence(n, in)
	def, ok := r.rules.Definition(k.definition)
	if !ok {
		panic("schema: the rules have no " + k.definition)
	}
	written := n
	if k.normalise != nil {
		n = k.normalise(r, n)
	}
	checked, findings := def.Check(n)
	for _, f := range findings {
		if !r.misread(f, in) {
			d := k.diagnostic(f)
			if k.word != nil {
				k.word(written, &d)
			}
			r.add(d)
		}
	}
	if len(findings) > 0 || r.broken(in) || k.extra != nil && !k.extra(r, checked) {
		r.refuse(k, n, findings, in)
		return
	}
	r.warnUnapplied(k, checked)
	d, err := k.document(r.file, checked)
	if err != nil {
		r.errorAt(diag.CodeType, n.Pos, "", fmt.Sprintf("meshc cannot hold this %s: %v", k.name, err), "")
		r.refuse(k, n, nil, in)
		return
	}
	shown := checked
	if k.restore != nil {
		shown = k.restore(written, checked)
	}
	d.JSON = canonical(k.redact(shown))
	r.out.documents = append(r.out.documents, d)
}

// document returns the document that a checked tree makes, without its JSON.
func (k *kind) document(f files.File, checked *tree.Node) (*Document, error) {
	d := &Document{Dialect: k.dialect, Kind: k.name, File: f.Shown, Origin: f.Name, Tree: checked}
	if k.body != nil {
		d.Body = k.body()
		if err := tree.Decode(checked, d.Body); err != nil {
			return nil, err
		}
	}
	k.identify(d)
	d.id = d.ID()
	return d, nil
}

// Words for values that a message must not show, and for what is no string.
const (
	hidden  = "the value"
	quoteIt = "write it in quotes"
)

// diagnostic says what the plan has found in the words of the dialect.
func (k *kind) diagnostic(f plan.Finding) diag.Diagnostic {
	d := finding(diag.Error, f.Code, f.Pos, f.Path, f.Message, f.Hint)
	d.Class = f.Class
	for _, rel := range f.Related {
		d.Related = append(d.Related, diag.Related{
			Place: diag.Place{Line: rel.Pos.Line, Column: rel.Pos.Column}, Message: rel.Message,
		})
	}
	// A message must not quote a secret, nor what stands where one belongs.
	e := exposed(k.secrets, f.Path)
	value, name := exposed(k.unquoted, f.Path), exposed(k.headers, f.Path)
	if f.Code == diag.CodeType { // for the rest, the rules about what may be secret do not look at its value
		e = max(e, value, name, exposed(k.private, f.Path))
	}
	switch {
	case f.Code == diag.CodeRequired, f.Code == diag.CodeCertificate:
	case e == harmless && value == secret:
		d.Message = withoutValue(f.Message, nil)
	case e == harmless && name == secret:
		d.Message = withoutValue(f.Message, headerName)
	case e == harmless:
	case f.Code == diag.CodeType && (strings.HasPrefix(f.Message, "got map,") || strings.HasPrefix(f.Message, "got list,")):
		if d.Hint == "" && strings.HasSuffix(f.Message, "want string") {
			d.Hint = "write one string"
		}
	case f.Code == diag.CodeType:
		d.Hint = ""
		if d.Message = hidden + " has the wrong type"; strings.HasSuffix(f.Message, "want string") {
			d.Hint = quoteIt
		} else if i := strings.LastIndex(f.Message, ", want "); i >= 0 {
			d.Message += f.Message[i:]
		}
	case e == secret:
		d.Message = hidden + " does not fit"
	}
	if k.fieldPath != nil {
		d.Path = k.fieldPath(f)
	}
	return d
}
