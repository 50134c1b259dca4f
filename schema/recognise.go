package schema

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// recognise finds the dialect that claims n and hands n over. typed is what a
// typed list says its items are; nil elsewhere.
func (r *reader) recognise(n *tree.Node, in extent, typed *gvk) {
	switch {
	case n.Kind != tree.Map:
		r.unrecognised(n, in)
	case typed != nil:
		r.kubernetes(typed.fill(n), in)
	case looksKubernetes(n):
		r.kubernetes(n, in)
	case n.Field("type") != nil:
		r.byType(n, in)
	case n.Field("_format_version") != nil || n.Get("services") != nil && n.Get("services").Kind == tree.List:
		r.kongFile(n, in)
	case n.Field("host") != nil || n.Field("url") != nil:
		r.kongService(n, in)
	default:
		r.unrecognised(n, in)
	}
}

// unrecognised reports a document that no dialect claims.
func (r *reader) unrecognised(n *tree.Node, in extent) {
	r.silence(n, in)
	if r.broken(in) {
		return // what it lost in the writing may be what it was known by
	}
	r.errorAt(diag.CodeUnrecognised, n.Pos, "", "no kind of document that meshc knows looks like this", recognitionHint(n))
}

// marks are the fields that say what a document is.
var marks = []string{"apiVersion", "kind", "type", "_format_version", "services", "host", "url"}

func recognitionHint(n *tree.Node) string {
	const want = "a document has apiVersion and kind (Kubernetes), type (Kuma, WasmPlugin), or _format_version, services, host or url (Kong)"
	switch {
	case n.Kind == tree.List:
		return "a document is a map; separate documents with a line of ---, or put Kubernetes objects under items in a List"
	case n.Kind != tree.Map:
		return "a document is a map"
	case n.Get("items") != nil && n.Get("items").Kind == tree.List:
		return "write each of the items as a document of its own"
	case n.Get("services") != nil && n.Get("services").Kind == tree.Map:
		return "Kong's services are a list; meshc does not read Compose files"
	}
	for _, f := range n.Fields {
		for _, mark := range marks {
			if f.Key != mark && strings.EqualFold(f.Key, mark) || diag.Nearest(f.Key, []string{mark}) != "" {
				return fmt.Sprintf("did you mean %q where it says %q?", mark, f.Key)
			}
		}
	}
	return want
}

// byType hands over a document that names its kind in type: Kuma's and meshc's own.
func (r *reader) byType(n *tree.Node, in extent) {
	t := n.Get("type")
	if t.Kind != tree.String {
		r.silence(n, in)
		r.errorAt(diag.CodeType, t.Pos, "type", fmt.Sprintf("got %s, want the name of a kind", t.Kind), "")
		return
	}
	if k := byType[t.Text]; k != nil {
		r.check(k, n, in)
		return
	}
	r.out.checked++
	r.silence(n, in)
	message, hint := fmt.Sprintf("no kind is named %q", t.Text), ""
	switch {
	case slices.Contains(kumaState, t.Text):
		message, hint = fmt.Sprintf("%s is a state that Kuma reports, not something to configure", t.Text), "remove the document"
	case nearestKind(t.Text) != "":
		hint = fmt.Sprintf("did you mean %q?", nearestKind(t.Text))
	}
	r.errorAt(diag.CodeUnknownKind, t.Pos, "type", message, hint)
}

// kumaState are types that Kuma's REST API shows beside its resources.
var kumaState = []string{
	"DataplaneInsight", "DataplaneOverview", "MeshInsight", "ServiceInsight", "ServiceOverview", "ZoneInsight", "ZoneOverview", "Config",
}

func nearestKind(name string) string {
	var names []string
	for n := range byType {
		if strings.EqualFold(n, name) {
			return n
		}
		names = append(names, n)
	}
	slices.Sort(names)
	return diag.Nearest(name, names)
}
