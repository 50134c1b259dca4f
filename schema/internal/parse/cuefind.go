package parse

import (
	"slices"

	"cuelang.org/go/cue"

	"github.com/meshc/meshc/schema/diag"
)

// Marks are the fields of which every document has one: they say what it is.
var Marks = []string{"apiVersion", "kind", "type", "_format_version", "services", "host", "url"}

// cueFinds is what was found in a value.
type cueFinds struct {
	c        *cueParser
	docs     []CUEDocument
	refused  []cueRefusal
	problems []CUEProblem
	foreign  bool // there were documents of files that are not given
}

// cueRefusal is a document that CUE refuses, or a collection of them.
type cueRefusal struct {
	path     []any
	problems []CUEProblem
}

func (f *cueFinds) refuse(path []any, err error) {
	f.refused = append(f.refused, cueRefusal{path, f.c.errors(err)})
}

// maxCollections is how deep collections of documents lie in one another.
const maxCollections = 2

// instance finds the documents in an instance's value. Where something in it is
// wrong, CUE gives no list of its fields; then those that are written are looked
// up one by one, so that each mistake costs one document.
func (f *cueFinds) instance(v cue.Value) {
	if v.IncompleteKind() != cue.BottomKind || marked(v) {
		f.value(v, nil)
		return
	}
	var fields []cueItem
	for _, name := range f.c.fields {
		if field := v.LookupPath(cue.MakePath(cue.Str(name))); field.Exists() {
			fields = append(fields, cueItem{name, field})
		}
	}
	f.items(fields, nil)
	if len(f.refused)+len(f.problems) == 0 && !f.foreign {
		f.refuse(nil, v.Err())
	}
}

// value finds the documents in v, which is one or a collection.
func (f *cueFinds) value(v cue.Value, path []any) {
	v, _ = v.Default()
	if f.isDocument(v, path) {
		f.document(v, path)
		return
	}
	f.items(items(v), path)
}

// items finds the documents among the items of the collection at path.
func (f *cueFinds) items(all []cueItem, path []any) {
	documents := f.holdDocuments(all, path)
	for _, item := range all {
		at := append(slices.Clone(path), item.key)
		if documents && f.isStray(item.value, at) {
			f.stray(item.value, at)
		} else {
			f.value(item.value, at)
		}
	}
}

// stray reports a field that stands beside documents and is none.
func (f *cueFinds) stray(v cue.Value, path []any) {
	place, ok := f.c.place(v, path)
	if !ok || place.file == outside {
		return
	}
	f.problems = append(f.problems, CUEProblem{File: place.file, Diagnostic: problem(diag.Error, diag.CodeUnrecognised, place.key, path,
		"is no document, and stands beside documents",
		"what stands beside documents must be one, too; hide what is none (_name), or make it a definition (#name)")})
}

// document converts the document v.
func (f *cueFinds) document(v cue.Value, path []any) {
	c := f.c
	place, ok := c.place(v, path)
	if !ok || place.file == outside {
		f.foreign = true // the directory that it is written in has it, or it is ignored
		return
	}
	if err := v.Validate(cue.Concrete(true), cue.Final()); err != nil {
		f.refuse(path, err)
		return
	}
	b := cueTree{c: c, file: place.file}
	root := b.node(v, path, place.key, 0)
	if b.err != nil {
		f.problems = append(f.problems, *b.err)
		return
	}
	root.Pos = place.key
	d := CUEDocument{File: place.file, Document: Document{Root: root}, path: path}
	end := root.End()
	for _, s := range c.silences {
		if s.file == place.file && !s.Near.Before(root.Pos) && !end.Before(s.Near) {
			d.Silences = append(d.Silences, s.Silence)
		}
	}
	f.docs = append(f.docs, d)
}

// cueItem is a field of a struct or an item of a list, and its name or index.
type cueItem struct {
	key   any
	value cue.Value
}

func items(v cue.Value) []cueItem {
	var out []cueItem
	switch v.IncompleteKind() {
	case cue.StructKind:
		for it, _ := v.Fields(); it.Next(); {
			out = append(out, cueItem{label(it.Selector()), it.Value()})
		}
	case cue.ListKind:
		for it, _ := v.List(); it.Next(); {
			out = append(out, cueItem{len(out), it.Value()})
		}
	}
	return out
}

// isDocument reports whether v is one document and not a collection of them: it
// has a mark, or plain fields and no documents.
func (f *cueFinds) isDocument(v cue.Value, path []any) bool {
	switch v.IncompleteKind() {
	case cue.StructKind:
		if len(path) >= maxCollections || marked(v) {
			return true
		}
		all := items(v)
		return slices.ContainsFunc(all, isPlain) && !f.holdDocuments(all, path)
	case cue.ListKind:
		return len(path) >= maxCollections
	}
	return true
}

func isPlain(item cueItem) bool {
	return item.value.IncompleteKind()&(cue.StructKind|cue.ListKind) == 0
}

// holdDocuments reports whether any item of the collection at path is a document
// or holds one.
func (f *cueFinds) holdDocuments(all []cueItem, path []any) bool {
	return len(path) < maxCollections && slices.ContainsFunc(all, func(item cueItem) bool {
		v, _ := item.value.Default()
		at := append(slices.Clone(path), item.key)
		return marked(v) || f.c.broken(v, at) || f.holdDocuments(items(v), at)
	})
}

// broken reports whether v is wrong, so that CUE does not show what is in it,
// and is not plain: there may be documents in it.
func (c *cueParser) broken(v cue.Value, path []any) bool {
	return v.IncompleteKind() == cue.BottomKind && c.parents[cueKey(path)]
}

// isStray reports whether v, which stands beside documents, can be none and
// holds none. A struct may be a document that lacks its mark.
func (f *cueFinds) isStray(v cue.Value, path []any) bool {
	v, _ = v.Default()
	switch v.IncompleteKind() {
	case cue.StructKind, cue.BottomKind:
		return false
	case cue.ListKind:
		all := items(v)
		return len(all) > 0 && !f.holdDocuments(all, path)
	}
	return true
}

// marked reports whether v has a mark of a document. A struct of that name is
// a member of a collection.
func marked(v cue.Value) bool {
	return slices.ContainsFunc(Marks, func(name string) bool {
		field := v.LookupPath(cue.MakePath(cue.Str(name)))
		kind := field.IncompleteKind()
		return field.Exists() && kind != cue.StructKind && (kind == cue.ListKind) == (name == "services")
	})
}
