package plan_test

import (
	"slices"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/token"

	"github.com/meshc/meshc/schema/tree"
)

// mutate returns a copy of n, which xs are the rules about, with one change
// somewhere in it, each place being as likely as another.
func (m maker) mutate(n *tree.Node, xs []ast.Expr) *tree.Node {
	out := *n
	at := m.IntN(size(n))
	out.Fields, out.Items = slices.Clone(n.Fields), slices.Clone(n.Items)
	for i := range out.Fields {
		f := &out.Fields[i]
		if at -= size(f.Value); at < 0 {
			f.Value = m.mutate(f.Value, m.about(f.Key, xs))
			return &out
		}
	}
	for i, item := range out.Items {
		if at -= size(item); at < 0 {
			out.Items[i] = m.mutate(item, m.items(xs, 0))
			return &out
		}
	}
	switch {
	case m.chance(12):
		return m.anything(1)
	case n.Kind == tree.String && m.chance(20):
		out.Text = m.near(n.Text)
	case n.Kind == tree.Map && !m.chance(10):
		m.mutateMap(&out, declared(m.literals(xs, 0)))
	case n.Kind == tree.List && !m.chance(10):
		m.mutateList(&out, m.items(xs, 0))
	case len(xs) > 0:
		return m.value(pick(m, xs), 4)
	default:
		return m.ofKind(n.Kind)
	}
	return &out
}

// size is the number of values in n, with n.
func size(n *tree.Node) int {
	count := 1
	for _, f := range n.Fields {
		count += size(f.Value)
	}
	for _, item := range n.Items {
		count += size(item)
	}
	return count
}

// about are the rules about the field key of what xs are about.
func (m maker) about(key string, xs []ast.Expr) []ast.Expr {
	var named, matched []ast.Expr
	for _, d := range declared(m.literals(xs, 0)) {
		if _, isPattern := d.Label.(*ast.ListLit); isPattern {
			matched = append(matched, d.Value)
		} else if labelOf(d) == key {
			named = append(named, d.Value)
		}
	}
	return slices.Concat(named, matched)
}

func (m maker) mutateMap(n *tree.Node, fields []*ast.Field) {
	op := m.IntN(100)
	switch {
	case op < 10 && len(fields) > 0:
		if key := labelOf(pick(m, fields)); key != "" && n.Get(key) == nil {
			n.Fields = append(n.Fields, tree.Field{Key: key, Value: m.anything(1)})
		}
	case op < 50 && len(fields) > 0:
		m.field(pick(m, fields), n, 2)
	case op < 65 || len(n.Fields) == 0:
		if key := pick(m, m.keys); n.Get(key) == nil {
			n.Fields = append(n.Fields, tree.Field{Key: key, Value: m.anything(1)})
		}
	case op < 90:
		i := m.IntN(len(n.Fields))
		n.Fields = slices.Delete(n.Fields, i, i+1)
	default:
		f := &n.Fields[m.IntN(len(n.Fields))]
		if key := m.near(f.Key); n.Get(key) == nil {
			f.Key = key
		}
	}
}

func (m maker) mutateList(n *tree.Node, about []ast.Expr) {
	op := m.IntN(100)
	switch {
	case len(n.Items) == 0 || op < 50:
		if len(about) > 0 {
			n.Items = append(n.Items, m.value(pick(m, about), 4))
		}
	case op < 60:
		n.Items = append(n.Items, pick(m, n.Items))
	case op < 65:
		for len(n.Items) < 7 {
			n.Items = append(n.Items, n.Items...)
		}
	case op < 70:
		n.Items = nil
	default:
		i := m.IntN(len(n.Items))
		n.Items = slices.Delete(n.Items, i, i+1)
	}
}

// literals are the declarations of all structs among xs.
func (m maker) literals(xs []ast.Expr, depth int) []ast.Decl {
	var out []ast.Decl
	if depth > 12 {
		return nil
	}
	for _, x := range xs {
		switch x := x.(type) {
		case *ast.StructLit:
			out = append(out, m.flatten(x.Elts, depth+1)...)
		default:
			out = append(out, m.literals(m.inside(x), depth+1)...)
		}
	}
	return out
}

// flatten resolves what is embedded or behind an if.
func (m maker) flatten(decls []ast.Decl, depth int) []ast.Decl {
	var out []ast.Decl
	for _, d := range decls {
		switch d := d.(type) {
		case *ast.EmbedDecl:
			out = append(out, m.literals([]ast.Expr{d.Expr}, depth+1)...)
		case *ast.Comprehension:
			if lit, ok := d.Value.(*ast.StructLit); ok {
				out = append(out, m.flatten(lit.Elts, depth+1)...)
			}
		default:
			out = append(out, d)
		}
	}
	return out
}

// inside are the parts of x that describe the same value.
func (m maker) inside(x ast.Expr) []ast.Expr {
	switch x := x.(type) {
	case *ast.ParenExpr:
		return []ast.Expr{x.X}
	case *ast.BinaryExpr:
		return []ast.Expr{x.X, x.Y}
	case *ast.UnaryExpr:
		if x.Op == token.MUL {
			return []ast.Expr{x.X}
		}
	case *ast.Ident:
		if of := m.names[x.Name]; of != nil {
			return []ast.Expr{of}
		}
	}
	return nil
}

// items are the rules about the items of lists among xs.
func (m maker) items(xs []ast.Expr, depth int) []ast.Expr {
	var out []ast.Expr
	if depth > 12 {
		return nil
	}
	for _, x := range xs {
		lit, ok := x.(*ast.ListLit)
		if !ok {
			out = append(out, m.items(m.inside(x), depth+1)...)
			continue
		}
		for _, el := range lit.Elts {
			if e, ok := el.(*ast.Ellipsis); ok {
				el = e.Type
			}
			if el != nil {
				out = append(out, el)
			}
		}
	}
	return out
}

// declared are the fields among decls that a document can hold.
func declared(decls []ast.Decl) []*ast.Field {
	var out []*ast.Field
	for _, d := range decls {
		if f, ok := d.(*ast.Field); ok && !strings.HasPrefix(labelOf(f), "_") {
			out = append(out, f)
		}
	}
	return out
}
