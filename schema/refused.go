package schema

import (
	"slices"
	"strings"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/internal/plan"
	"github.com/meshc/meshc/schema/tree"
)

// Refused is what is known of a document with errors: what others refer to may
// be there and need not be missed. The zero Refused is of an error that hides
// who knows what, such as a file that cannot be read or does not parse.
type Refused struct {
	Dialect Dialect
	Kind    string
	// Names are all texts in it that may be a name of it or of what it
	// defines; nil where they cannot be made out.
	Names []string
}

// refuse notes a document of kind k that findings are about, and where it is.
func (r *reader) refuse(k *kind, n *tree.Node, findings []plan.Finding, in extent) {
	out := Refused{Dialect: k.dialect, Kind: k.name}
	if !slices.ContainsFunc(findings, hidesName) {
		out.Names = namesIn(k.redact(n), nil)
	}
	r.out.refused = append(r.out.refused, out)
	r.refused = append(r.refused, in)
}

// drop notes documents that are right, and go with what they are part of.
func (r *reader) drop(docs []*Document) {
	for _, d := range docs {
		r.refuse(allKinds()[kindKey{d.Dialect, d.Kind}], d.Tree, nil, extent{d.Tree.Pos, d.Tree.Pos})
	}
}

// nameFields are the ends of paths that lead to a name of a document or of what
// it defines.
var nameFields = []string{"name", "username", "id", "host", "url", "target", `"kuma.io/service"]`, ".service", `"kubernetes.io/service-name"]`}

// hidesName reports whether a name may be lost by what f tells of: it is not
// there, is of another type, or is wrong itself.
func hidesName(f plan.Finding) bool {
	return f.Code == diag.CodeRequired || f.Code == diag.CodeType ||
		slices.ContainsFunc(nameFields, func(end string) bool { return strings.HasSuffix(strings.ToLower(f.Path), end) })
}

// namesIn appends the texts in n that are short enough for a name, and hold
// nothing that no name holds.
func namesIn(n *tree.Node, names []string) []string {
	const longest = 253 // of a Kubernetes object (RFC 1123); those of others are shorter
	if s := n.Str(); s != "" && len(s) <= longest && !strings.ContainsAny(s, " \n{") {
		names = append(names, s)
	}
	for _, item := range n.Items {
		names = namesIn(item, names)
	}
	for i := range n.Fields {
		names = namesIn(n.Fields[i].Value, names)
	}
	return names
}

// hide notes errors that do not stand in any one document.
func (r *reader) hide(found []diag.Diagnostic) {
	if diag.HasErrors(found) {
		r.out.refused = append(r.out.refused, Refused{})
	}
}

// close ends the reading of a file. Errors that lie in no document of a known
// kind may have hidden anything.
func (r *reader) close() {
	for _, d := range r.out.diagnostics {
		if d.Severity == diag.Error && !slices.ContainsFunc(r.refused, func(e extent) bool { return e.holds(place(d)) }) {
			r.out.refused = append(r.out.refused, Refused{})
			return
		}
	}
}
