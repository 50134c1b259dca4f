package plan_test

import (
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/meshc/meshc/schema/tree"
)

// parseYAML reads one document of the plain YAML that test data is written in.
func parseYAML(t testing.TB, src string) *tree.Node {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(src), &doc); err != nil {
		t.Fatalf("%v in\n%s", err, src)
	}
	if len(doc.Content) == 0 {
		return &tree.Node{}
	}
	return toTree(doc.Content[0])
}

// Numbers in JSON's notation, of any size.
var (
	integer = regexp.MustCompile(`^-?[0-9]+$`)
	float   = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)
)

func toTree(y *yaml.Node) *tree.Node {
	n := &tree.Node{Pos: tree.Pos{Line: y.Line, Column: y.Column}, Text: y.Value}
	switch y.Kind {
	case yaml.MappingNode:
		n.Kind, n.Text = tree.Map, ""
		for i := 0; i < len(y.Content); i += 2 {
			k := y.Content[i]
			n.Fields = append(n.Fields, tree.Field{Key: k.Value, KeyPos: tree.Pos{Line: k.Line, Column: k.Column}, Value: toTree(y.Content[i+1])})
		}
		return n
	case yaml.SequenceNode:
		n.Kind, n.Text = tree.List, ""
		for _, item := range y.Content {
			n.Items = append(n.Items, toTree(item))
		}
		return n
	case yaml.AliasNode:
		return toTree(y.Alias)
	}
	plain := y.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
	switch {
	case plain && integer.MatchString(y.Value):
		n.Kind = tree.Int
		return n
	case plain && float.MatchString(y.Value):
		n.Kind = tree.Float
		return n
	}
	switch y.Tag {
	case "!!null":
		n.Kind, n.Text = tree.Null, ""
	case "!!bool":
		n.Kind, n.Text = tree.Bool, strings.ToLower(y.Value)
	default:
		n.Kind = tree.String
	}
	return n
}
