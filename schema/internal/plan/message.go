package plan

import (
	"strconv"
	"strings"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// longest is how many bytes of a user's value a message quotes.
const longest = 80

// show is a scalar as a message quotes it, and "" for a list or map. Passwords
// in URLs are not shown.
func show(n *tree.Node) string {
	switch {
	case n == nil:
		return "absent"
	case n.Kind == tree.Null:
		return "null"
	case n.Kind == tree.List, n.Kind == tree.Map:
		return ""
	case n.Kind != tree.String && len(n.Text) <= longest:
		return n.Text
	}
	text, more := diag.WithoutUserinfo(n.Text), ""
	if len(text) > longest {
		text, more = strings.ToValidUTF8(text[:longest], ""), "…"
	}
	return strconv.Quote(text) + more
}

// got is n with its type, for a message about a wrong type.
func got(n *tree.Node) string {
	if s := show(n); s != "" && n.Kind != tree.Null {
		return n.Kind.String() + " " + s
	}
	return n.Kind.String()
}

// String lists the kinds as words: "integer or string".
func (s kinds) String() string {
	var words []string
	for k := tree.Bool; k <= tree.Map; k++ {
		if s.has(k) && (k != tree.Int || !s.has(tree.Float)) {
			words = append(words, k.String())
		}
	}
	if s.has(tree.Null) {
		words = append(words, "null")
	}
	return orList(words)
}

// typeHint says how to write the value that was probably meant.
func typeHint(n *tree.Node, want kinds) string {
	switch {
	case n.Kind == tree.String && want.has(tree.Int) && isInteger(n.Text),
		n.Kind == tree.String && want.has(tree.Bool) && (n.Text == "true" || n.Text == "false"):
		return "write " + n.Text + " without quotes"
	case n.Kind == tree.Float && want.has(tree.Int):
		return ""
	case want.has(tree.String) && (n.Kind == tree.Int || n.Kind == tree.Float || n.Kind == tree.Bool):
		return "write it in quotes: " + strconv.Quote(n.Text)
	case want.has(tree.List) && n.Kind == tree.Map:
		return "write it as a list: put a - before the first key"
	}
	return ""
}

// unfilledHint is for a value with a variable that was to be filled in before.
const unfilledHint = "fill in ${…} first: meshc expands no variables"

func isUnfilled(n *tree.Node) bool { return n.Kind == tree.String && strings.Contains(n.Text, "${") }

func isInteger(s string) bool {
	_, err := strconv.ParseInt(s, 10, 64)
	return err == nil
}

// orList joins words as English does: "a, b or c".
func orList(words []string) string {
	switch len(words) {
	case 0:
		return "nothing"
	case 1:
		return words[0]
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// didYouMean is a hint that names the nearest candidate, or "".
func didYouMean(name string, candidates []string) string {
	if near := nearest(name, candidates); near != "" {
		return "did you mean " + strconv.Quote(near) + "?"
	}
	return ""
}

// nearest is diag.Nearest, but takes a difference in nothing but case for the
// nearest of all.
func nearest(name string, candidates []string) string {
	for _, c := range candidates {
		if c != name && strings.EqualFold(c, name) {
			return c
		}
	}
	if len(name) < 3 {
		return "" // near to anything that is as short
	}
	return diag.Nearest(name, candidates)
}
