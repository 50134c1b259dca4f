package parse

import (
	"encoding/base64"
	"fmt"
	"slices"

	"cuelang.org/go/cue"

	"github.com/meshc/meshc/schema/tree"
)

func label(s cue.Selector) string {
	if s.LabelType() == cue.StringLabel {
		return s.Unquoted()
	}
	return s.String()
}

func cuePath(path []any) cue.Path {
	steps := make([]cue.Selector, len(path))
	for i, step := range path {
		switch step := step.(type) {
		case int:
			steps[i] = cue.Index(step)
		case string:
			steps[i] = cue.Str(step)
		}
	}
	return cue.MakePath(steps...)
}

// cueTree converts one document's value.
type cueTree struct {
	c    *cueParser
	file int
	err  *CUEProblem
}

// node converts v. A part that is written in another file than the document
// has the place of what encloses it.
func (b *cueTree) node(v cue.Value, path []any, near tree.Pos, depth int) *tree.Node {
	v, _ = v.Default()
	n := &tree.Node{Pos: near, Default: b.c.ruled(v, path)}
	if p, ok := b.c.place(v, path); ok && p.file == b.file {
		n.Pos = p.value
	}
	if depth > maxDepth {
		b.err = &CUEProblem{Diagnostic: tooDeep(n.Pos, path), File: b.file}
		return n
	}
	var err error
	switch v.Kind() {
	case cue.NullKind:
		n.Kind = tree.Null
	case cue.BoolKind:
		var is bool
		is, err = v.Bool()
		n.Kind, n.Text = tree.Bool, fmt.Sprint(is)
	case cue.IntKind, cue.FloatKind, cue.NumberKind:
		var text []byte
		text, err = v.MarshalJSON()
		n.Kind, n.Text = tree.Int, string(text)
		if v.Kind() != cue.IntKind {
			n.Kind = tree.Float
		}
	case cue.StringKind:
		n.Kind = tree.String
		n.Text, err = v.String()
	case cue.BytesKind:
		var data []byte
		data, err = v.Bytes()
		n.Kind, n.Text = tree.String, base64.StdEncoding.EncodeToString(data)
	case cue.ListKind:
		n.Kind = tree.List
		for it, _ := v.List(); it.Next(); {
			at := append(slices.Clone(path), len(n.Items))
			n.Items = append(n.Items, b.node(it.Value(), at, n.Pos, depth+1))
		}
	case cue.StructKind:
		n.Kind = tree.Map
		for it, _ := v.Fields(); it.Next(); {
			key := label(it.Selector())
			at := append(slices.Clone(path), key)
			f := tree.Field{Key: key, KeyPos: n.Pos}
			if p, ok := b.c.place(it.Value(), at); ok && p.file == b.file {
				f.KeyPos = p.key
			}
			f.Value = b.node(it.Value(), at, f.KeyPos, depth+1)
			n.Fields = append(n.Fields, f)
		}
	default:
		err = v.Err()
	}
	if err != nil {
		b.err = &b.c.errors(err)[0]
	}
	return n
}
