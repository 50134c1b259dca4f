package tree_test

import (
	"testing"

	"github.com/meshc/meshc/schema/tree"
)

func TestEqual(t *testing.T) {
	text := func(s string) *tree.Node { return &tree.Node{Kind: tree.String, Text: s} }
	entry := func(key string, v *tree.Node) tree.Field { return tree.Field{Key: key, Value: v} }
	table := func(fields ...tree.Field) *tree.Node { return &tree.Node{Kind: tree.Map, Fields: fields} }
	list := func(items ...*tree.Node) *tree.Node { return &tree.Node{Kind: tree.List, Items: items} }
	elsewhere := &tree.Node{Kind: tree.Map, Pos: tree.Pos{Line: 7, Column: 7}, Default: true, Fields: []tree.Field{
		{Key: "b", KeyPos: tree.Pos{Line: 8}, Value: list(text("x"), text("y"))}, {Key: "a", Value: &tree.Node{Kind: tree.String, Text: "1", Pos: tree.Pos{Line: 9}}},
	}}
	n := table(entry("a", text("1")), entry("b", list(text("x"), text("y"))))
	if !n.Equal(elsewhere) || !elsewhere.Equal(n) || !(*tree.Node)(nil).Equal(nil) {
		t.Error("what says the same is not equal")
	}
	for i, other := range []*tree.Node{
		nil, text(""), table(), table(entry("a", text("1"))),
		table(entry("a", &tree.Node{Kind: tree.Int, Text: "1"}), entry("b", list(text("x"), text("y")))),
		table(entry("a", text("2")), entry("b", list(text("x"), text("y")))),
		table(entry("c", text("1")), entry("b", list(text("x"), text("y")))),
		table(entry("a", text("1")), entry("b", list(text("y"), text("x")))),
		table(entry("a", text("1")), entry("b", list(text("x")))),
		table(entry("a", text("1")), entry("b", list(text("x"), text("y"))), entry("c", text("z"))),
	} {
		if n.Equal(other) || other.Equal(n) {
			t.Errorf("%d: what differs is equal", i)
		}
	}
}
