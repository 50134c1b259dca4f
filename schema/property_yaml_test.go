package schema_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	values "github.com/meshc/meshc/schema/tree"
)

// writer writes YAML and notes where everything stands.
type writer struct {
	strings.Builder
	line, column int
}

var plainKey = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

func (w *writer) put(s string) values.Pos {
	at := values.Pos{Line: w.line, Column: w.column}
	w.WriteString(s)
	if i := strings.Count(s, "\n"); i > 0 {
		w.line, w.column = w.line+i, 1
	} else {
		w.column += len([]rune(s))
	}
	return at
}

// node writes n, which begins where the writer is, with what follows indented.
func (w *writer) node(n *values.Node, indent int) *values.Node {
	out := *n
	out.Fields, out.Items = slices.Clone(n.Fields), slices.Clone(n.Items)
	out.Pos = values.Pos{Line: w.line, Column: w.column}
	margin := strings.Repeat(" ", indent)
	switch {
	case n.Kind == values.Map && len(n.Fields) == 0:
		w.put("{}\n")
	case n.Kind == values.List && len(n.Items) == 0:
		w.put("[]\n")
	case n.Kind == values.Map:
		for i, f := range n.Fields {
			if i > 0 {
				w.put(margin)
			}
			key := f.Key
			if !plainKey.MatchString(key) {
				key = strconv.Quote(key)
			}
			out.Fields[i].KeyPos = w.put(key)
			w.put(":")
			out.Fields[i].Value = w.below(f.Value, indent)
		}
	case n.Kind == values.List:
		for i, item := range n.Items {
			if i > 0 {
				w.put(margin)
			}
			w.put("-")
			out.Items[i] = w.below(item, indent)
		}
	default:
		w.put(scalarText(n))
		w.put("\n")
	}
	return &out
}

// below writes a value behind a key or a dash.
func (w *writer) below(n *values.Node, indent int) *values.Node {
	if len(n.Fields)+len(n.Items) > 0 {
		w.put("\n")
		w.put(strings.Repeat(" ", indent+2))
	} else {
		w.put(" ")
	}
	return w.node(n, indent+2)
}

func scalarText(n *values.Node) string {
	switch n.Kind {
	case values.Null:
		return "null"
	case values.String:
		b, _ := json.Marshal(n.Text)
		return string(b)
	}
	return n.Text
}
