package schema

import (
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// unapplied is a field that this build checks but does not act on.
type unapplied struct {
	path []string
	lost string
}

func notApplied(pos tree.Pos, path, message string) diag.Diagnostic {
	return finding(diag.Warning, diag.CodeNotApplied, pos, path, message, "")
}

// warnUnapplied warns of the fields of n, of kind k, that this build ignores.
func (r *reader) warnUnapplied(k *kind, n *tree.Node) {
	for _, u := range k.unapplied {
		v, path := n, make([]any, len(u.path))
		for i, step := range u.path {
			v, path[i] = v.Get(step), step
		}
		if v != nil && !v.Default && v.Kind != tree.Null {
			field := diag.Path(path...)
			r.add(notApplied(n.Find(path...), field, "this build of meshc does not apply it: "+u.lost))
		}
	}
}
