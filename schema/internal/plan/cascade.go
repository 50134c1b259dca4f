package plan

import (
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// faults are the places of values that are known to be wrong, and of fields
// that are misspelt, with the codes of the findings. A document with findings
// is checked a second time with them, for nothing follows from what was not
// meant: neither an if, nor a default, nor that a field is missing.
type faults map[tree.Pos]string

func faultsOf(findings []Finding) faults {
	out := faults{}
	for _, f := range findings {
		switch {
		case f.Code == diag.CodeRequired:
			// Reported at what it is missing from, which is not wrong itself.
		case f.Code == diag.CodeUnknownField && f.Hint == "":
			// Nobody can tell what it was meant for.
		case out[f.Pos] == "" || f.Code == diag.CodeType:
			out[f.Pos] = f.Code
		}
	}
	return out
}

// doubt is the code of what is wrong with the field of n, MC0302 where it is
// not there but another is nearly named so, and "" where all is well.
func (fs faults) doubt(n *tree.Node, name string) string {
	if fs == nil || n == nil {
		return ""
	}
	if x := n.Field(name); x != nil {
		if x.Value.Default {
			return ""
		}
		if code := fs[x.Value.Pos]; code != "" && x.Value.Kind != tree.Map && x.Value.Kind != tree.List {
			return code
		}
		return fs[x.KeyPos]
	}
	for i := range n.Fields {
		if x := &n.Fields[i]; fs[x.KeyPos] == diag.CodeUnknownField && nearest(x.Key, []string{name}) != "" {
			return diag.CodeUnknownField
		}
	}
	return ""
}

// unreadable reports whether a field of n is misspelt or of a wrong type.
func (fs faults) unreadable(n *tree.Node) bool {
	for i := range n.Fields {
		if isUnreadable(fs.doubt(n, n.Fields[i].Key)) {
			return true
		}
	}
	return false
}

func isUnreadable(code string) bool { return code == diag.CodeType || code == diag.CodeUnknownField }
