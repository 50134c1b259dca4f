package schema

import (
	"slices"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/internal/parse"
	"github.com/meshc/meshc/schema/tree"
)

// redactRaw returns the text of a resource of Envoy as anybody may see it, and
// whether it hides anything. A resource without secrets stays as it is written;
// else it is JSON, for comments may say as much as values. What is no resource
// is hidden whole.
func redactRaw(text string) (shown string, hides bool) {
	docs, problems := parse.YAML([]byte(text))
	if len(docs) != 1 || docs[0].Root.Kind != tree.Map ||
		slices.ContainsFunc(append(problems, docs[0].Problems...), func(d diag.Diagnostic) bool { return d.Severity == diag.Error }) {
		return redacted, false
	}
	out := redactResource(docs[0].Root)
	if out == docs[0].Root {
		return text, false
	}
	return canonical(out), true
}

// references are fields, folded, that say where something is found. They are
// shown below what is secret, too.
var references = []string{"@type", "name", "filename", "environmentvariable", "watcheddirectory", "sdsconfig"}

// redactResource returns n without what is secret by the names of its fields
// and headers, and without what URLs say of a user; n itself where nothing is.
func redactResource(n *tree.Node) *tree.Node {
	if n.Kind != tree.Map && n.Kind != tree.List {
		return hideUserinfo(n)
	}
	header := diag.SecretName(n.Get("key").Str()) // as in {key: authorization, value: …}
	return mapFields(n, func(f tree.Field) *tree.Node {
		if diag.SecretName(f.Key) || header && f.Key != "key" {
			return hideBelow(f.Value)
		}
		return redactResource(f.Value)
	}, redactResource)
}

// hideBelow returns n without its scalars, references excepted.
func hideBelow(n *tree.Node) *tree.Node {
	if n.Kind != tree.Map && n.Kind != tree.List {
		return hide(n)
	}
	return mapFields(n, func(f tree.Field) *tree.Node {
		if slices.Contains(references, folded(f.Key)) {
			return f.Value
		}
		return hideBelow(f.Value)
	}, hideBelow)
}

// mapFields returns n with the values of its fields, or its items, replaced; n
// itself where none changes.
func mapFields(n *tree.Node, field func(tree.Field) *tree.Node, item func(*tree.Node) *tree.Node) *tree.Node {
	out, copied := n, *n
	for i, f := range n.Fields {
		if v := field(f); v != f.Value {
			if out == n {
				out, copied.Fields = &copied, slices.Clone(n.Fields)
			}
			copied.Fields[i].Value = v
		}
	}
	for i, v := range n.Items {
		if v := item(v); v != n.Items[i] {
			if out == n {
				out, copied.Items = &copied, slices.Clone(n.Items)
			}
			copied.Items[i] = v
		}
	}
	return out
}
