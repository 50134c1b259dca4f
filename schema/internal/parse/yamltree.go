package parse

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// converter makes one document's tree.
type converter struct {
	line     int // lines before the document's stream
	path     []any
	problems []diag.Diagnostic
	open     []*yaml.Node // the anchored values being expanded
	expanded int          // values made by aliases
	fatal    *diag.Diagnostic
}

func (c *converter) pos(n *yaml.Node) tree.Pos {
	return tree.Pos{Line: n.Line + c.line, Column: n.Column}
}

// report adds a finding, except inside an alias: there it was reported already
// where the value is written.
func (c *converter) report(code string, severity diag.Severity, pos tree.Pos, message, hint string) {
	if len(c.open) == 0 {
		c.problems = append(c.problems, problem(severity, code, pos, c.path, message, hint))
	}
}

// stop ends the conversion: the document is past a limit.
func (c *converter) stop(d diag.Diagnostic) {
	if c.fatal == nil {
		c.fatal = &d
	}
}

// node converts n. near is the place of an empty value: that of its key.
func (c *converter) node(n *yaml.Node, near tree.Pos, depth int) *tree.Node {
	out := &tree.Node{Pos: c.pos(n)}
	if depth > maxDepth {
		c.stop(tooDeep(out.Pos, c.path))
	}
	if len(c.open) > 0 {
		if c.expanded++; c.expanded > maxAlias {
			c.stop(problem(diag.Error, diag.CodeTooDeep, out.Pos, c.path,
				fmt.Sprintf("the aliases of this document make more than %d values", maxAlias), "write the values out"))
		}
	}
	if c.fatal != nil {
		return out
	}
	switch n.Kind {
	case yaml.AliasNode:
		return c.alias(n, depth)
	case yaml.ScalarNode:
		c.scalar(n, near, out)
	case yaml.SequenceNode:
		c.tagged(n, "!!seq")
		out.Kind = tree.List
		for i, item := range n.Content {
			c.path = append(c.path, i)
			out.Items = append(out.Items, c.node(item, c.pos(item), depth+1))
			c.path = c.path[:len(c.path)-1]
		}
	case yaml.MappingNode:
		c.tagged(n, "!!map")
		out.Kind = tree.Map
		c.mapping(n, out, depth)
	}
	return out
}

// alias expands an alias. What it holds keeps the places where it is written;
// the alias itself is the place of the whole.
func (c *converter) alias(n *yaml.Node, depth int) *tree.Node {
	pos := c.pos(n)
	if slices.Contains(c.open, n.Alias) {
		c.stop(problem(diag.Error, diag.CodeTooDeep, pos, c.path, fmt.Sprintf("the anchor %q contains itself", n.Value), ""))
		return &tree.Node{Pos: pos}
	}
	c.open = append(c.open, n.Alias)
	out := c.node(n.Alias, pos, depth)
	c.open = c.open[:len(c.open)-1]
	out.Pos = pos
	return out
}

// tagged reports a tag on a collection that is not the collection's own.
func (c *converter) tagged(n *yaml.Node, own string) {
	if n.Style&yaml.TaggedStyle != 0 && n.Tag != own {
		c.report(diag.CodeSyntax, diag.Error, c.pos(n), fmt.Sprintf("meshc does not know the tag %s", n.Tag), "")
	}
}

func (c *converter) mapping(n *yaml.Node, out *tree.Node, depth int) {
	seen := map[string]tree.Pos{}
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind == yaml.ScalarNode && k.Tag == "!!merge" {
			merges = append(merges, v)
			continue
		}
		pos := c.pos(k)
		key, ok := c.key(k)
		if !ok {
			continue
		}
		c.path = append(c.path, key)
		if first, twice := seen[key]; twice {
			c.duplicate(pos, first, key)
		} else {
			seen[key] = pos
			out.Fields = append(out.Fields, tree.Field{Key: key, KeyPos: pos, Value: c.node(v, pos, depth+1)})
		}
		c.path = c.path[:len(c.path)-1]
	}
	for _, m := range merges {
		c.merge(m, out, seen, depth)
	}
}

func (c *converter) duplicate(pos, first tree.Pos, key string) {
	if len(c.open) == 0 {
		c.problems = append(c.problems, duplicateKey(pos, first, c.path, key))
	}
}

// merge adds the fields of a merge key's value that are not there yet.
func (c *converter) merge(v *yaml.Node, out *tree.Node, seen map[string]tree.Pos, depth int) {
	sources := []*tree.Node{c.node(v, c.pos(v), depth+1)}
	if sources[0].Kind == tree.List {
		sources = sources[0].Items
	}
	for _, s := range sources {
		if s.Kind != tree.Map {
			c.report(diag.CodeSyntax, diag.Error, c.pos(v), "the merge key << takes a map or a list of maps", "")
			return
		}
		for _, f := range s.Fields {
			if _, there := seen[f.Key]; !there {
				seen[f.Key] = f.KeyPos
				out.Fields = append(out.Fields, f)
			}
		}
	}
}

// key returns the text of a map's key, which must be a string.
func (c *converter) key(k *yaml.Node) (string, bool) {
	pos := c.pos(k)
	if k.Kind == yaml.AliasNode {
		k = k.Alias
	}
	if k.Kind != yaml.ScalarNode {
		hint := ""
		if k.Style&yaml.FlowStyle != 0 && k.Kind == yaml.MappingNode && len(k.Content) == 2 && k.Content[1].Value == "" { // {{x}} is {{x: }: }
			hint = "{{ … }} looks like a template; render it first"
		}
		c.report(diag.CodeKeyNotString, diag.Error, pos, "a key must be a string, not a map or list", hint)
		return "", false
	}
	key := &tree.Node{Pos: pos}
	before := len(c.problems)
	c.scalar(k, pos, key)
	if key.Kind != tree.String && len(c.problems) > before {
		return "", false // its tag is wrong already
	}
	if key.Kind != tree.String {
		c.report(diag.CodeKeyNotString, diag.Error, pos,
			fmt.Sprintf("a key must be a string; the type of %s is %s", k.Value, key.Kind), fmt.Sprintf("write %q", k.Value))
		return "", false
	}
	return key.Text, true
}

func (c *converter) scalar(n *yaml.Node, near tree.Pos, out *tree.Node) {
	const quoted = yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	if n.Style&yaml.TaggedStyle != 0 {
		c.taggedScalar(n, out)
		return
	}
	if n.Style&quoted != 0 {
		out.Kind, out.Text = tree.String, n.Value
		return
	}
	kind, text, t, ok := plain(n.Value)
	out.Kind, out.Text = kind, text
	if n.Value == "" {
		out.Pos = near
	}
	if !ok {
		c.report(diag.CodeInvalid, diag.Error, out.Pos, fmt.Sprintf("%s is not a finite number", n.Value), "")
	}
	if t != nil {
		c.report(diag.CodeYAMLTrap, diag.Warning, c.pos(n), t.message, t.hint)
	}
}

// taggedScalar reads a scalar as its tag says.
func (c *converter) taggedScalar(n *yaml.Node, out *tree.Node) {
	kind, text, _, _ := plain(n.Value)
	fits := true
	switch n.Tag {
	case "!!str", "!":
		kind, text = tree.String, n.Value
	case "!!binary":
		b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(n.Value), ""))
		kind, text, fits = tree.String, string(b), err == nil && utf8.Valid(b)
	case "!!int":
		fits = kind == tree.Int
	case "!!float":
		fits = kind == tree.Float || kind == tree.Int
		kind = tree.Float
	case "!!bool":
		fits = kind == tree.Bool
	case "!!null":
		fits = kind == tree.Null
	default:
		c.report(diag.CodeSyntax, diag.Error, out.Pos, fmt.Sprintf("meshc does not know the tag %s", n.Tag), "")
		return
	}
	if !fits {
		c.report(diag.CodeSyntax, diag.Error, out.Pos, fmt.Sprintf("the value does not fit its tag %s", n.Tag), "")
		return
	}
	out.Kind, out.Text = kind, text
}
