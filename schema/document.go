package schema

import (
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// Dialect is the system whose documents a file holds.
type Dialect string

// The dialects, as document IDs and REST name them.
const (
	Kubernetes Dialect = "kubernetes"
	Kuma       Dialect = "kuma"
	Kong       Dialect = "kong"
	Meshc      Dialect = "meshc"
)

// Document is one document that is known to be well formed: its schema holds,
// its defaults are filled in. Documents are read-only and shared between loads
// that read the same file content.
type Document struct {
	Dialect   Dialect
	Kind      string // "Service", "Dataplane", …
	Namespace string // Kubernetes only; never empty there
	Mesh      string // Kuma's meshed kinds only; never empty there
	Name      string // a Kong service without a name is HOST-PORT
	// Body is the decoded document: *kubernetes.Service, *kuma.Mesh, … It is
	// nil for a kind that meshc recognises but this build does not act on.
	Body any
	// JSON is the document as anybody may see it: canonical JSON (keys sorted),
	// defaults applied, without secrets. Documents that differ may have the same.
	JSON string
	// File is how the user may open the file; Origin is the same file relative
	// to the input root.
	File, Origin string
	// Tree is the document with the places of all its values.
	Tree *tree.Node

	id string // what ID returns; it is asked for often
}

// ID names the document among all others: "kuma/Dataplane/default/web-1".
func (d *Document) ID() string {
	if d.id != "" {
		return d.id
	}
	return string(d.Dialect) + "/" + d.Kind + "/" + d.Namespace + d.Mesh + "/" + d.Name
}

// Place returns where the value at path (string keys, int indices) was
// written, or the nearest enclosing value that was.
func (d *Document) Place(path ...any) diag.Place {
	p := d.Tree.Find(path...)
	return diag.Place{File: d.File, Line: p.Line, Column: p.Column}
}

// Wrote reports whether the document's author wrote a value at path; a value
// that a default filled in was not written.
func (d *Document) Wrote(path ...any) bool {
	n := d.Tree
	for _, p := range path {
		switch p := p.(type) {
		case string:
			n = n.Get(p)
		case int:
			n = n.At(p)
		}
		if n == nil || n.Default || n.Kind == tree.Null {
			return false
		}
	}
	return true
}
