package schema

import (
	"slices"

	"github.com/meshc/meshc/schema/tree"
)

// rewrite returns n with the values at pattern replaced by what change makes of
// them; "*" in a pattern is every item of a list. n stays as it is: what is on
// the way is copied, the rest shared. change may return its argument.
func rewrite(n *tree.Node, pattern []string, change func(*tree.Node) *tree.Node) *tree.Node {
	if n == nil {
		return n
	}
	if len(pattern) == 0 {
		return change(n)
	}
	if pattern[0] == "*" {
		if n.Kind != tree.List {
			return n
		}
		out := n
		for i, item := range n.Items {
			if v := rewrite(item, pattern[1:], change); v != item {
				if out == n {
					copied := *n
					out = &copied
					out.Items = slices.Clone(n.Items)
				}
				out.Items[i] = v
			}
		}
		return out
	}
	if n.Kind != tree.Map {
		return n
	}
	for i := range n.Fields {
		if n.Fields[i].Key != pattern[0] {
			continue
		}
		v := rewrite(n.Fields[i].Value, pattern[1:], change)
		if v == n.Fields[i].Value {
			return n
		}
		out := *n
		out.Fields = slices.Clone(n.Fields)
		out.Fields[i].Value = v
		return &out
	}
	return n
}

// without returns n without its fields of these names.
func without(n *tree.Node, names ...string) *tree.Node {
	out := *n
	out.Fields = slices.DeleteFunc(slices.Clone(n.Fields), func(f tree.Field) bool { return slices.Contains(names, f.Key) })
	return &out
}
