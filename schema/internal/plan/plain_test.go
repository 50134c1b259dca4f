package plan_test

import (
	"encoding/json"

	"github.com/meshc/meshc/schema/tree"
)

// plain is n as encoding/json would decode it.
func plain(n *tree.Node) any {
	switch n.Kind {
	case tree.Bool:
		return n.Text == "true"
	case tree.Int, tree.Float:
		return json.Number(n.Text)
	case tree.String:
		return n.Text
	case tree.List:
		out := make([]any, len(n.Items))
		for i, item := range n.Items {
			out[i] = plain(item)
		}
		return out
	case tree.Map:
		out := make(map[string]any, len(n.Fields))
		for _, f := range n.Fields {
			out[f.Key] = plain(f.Value)
		}
		return out
	}
	return nil
}
