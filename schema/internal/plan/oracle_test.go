package plan_test

import (
	"io/fs"
	"testing"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/build"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"

	"github.com/meshc/meshc/schema/tree"
)

// oracle is CUE itself, evaluating the same rules.
type oracle struct {
	ctx   *cue.Context
	value cue.Value
}

func newOracle(t testing.TB, fsys fs.FS) *oracle {
	t.Helper()
	inst := build.NewContext().NewInstance("", nil)
	paths, err := fs.Glob(fsys, "*.cue")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		src, err := fs.ReadFile(fsys, p)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parser.ParseFile(p, src)
		if err != nil {
			t.Fatal(err)
		}
		if err := inst.AddSyntax(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := inst.Complete(); err != nil {
		t.Fatal(err)
	}
	ctx := cuecontext.New()
	v := ctx.BuildInstance(inst)
	if err := v.Err(); err != nil {
		t.Fatal(err)
	}
	return &oracle{ctx, v}
}

// check unifies n with a definition as cue vet -c does.
func (o *oracle) check(definition string, n *tree.Node) (cue.Value, error) {
	v := o.value.LookupPath(cue.ParsePath(definition)).Unify(o.ctx.BuildExpr(toCUE(n)))
	return v, v.Validate(cue.Concrete(true), cue.Final())
}

func toCUE(n *tree.Node) ast.Expr {
	switch n.Kind {
	case tree.Null:
		return ast.NewNull()
	case tree.Bool:
		return ast.NewBool(n.Text == "true")
	case tree.Int:
		return number(token.INT, n.Text)
	case tree.Float:
		return number(token.FLOAT, n.Text)
	case tree.String:
		return ast.NewString(n.Text)
	case tree.List:
		items := make([]ast.Expr, len(n.Items))
		for i, item := range n.Items {
			items[i] = toCUE(item)
		}
		return ast.NewList(items...)
	}
	s := &ast.StructLit{}
	for _, f := range n.Fields {
		s.Elts = append(s.Elts, &ast.Field{Label: ast.NewString(f.Key), Value: toCUE(f.Value)})
	}
	return s
}

func number(kind token.Token, text string) ast.Expr {
	if text[0] == '-' {
		return &ast.UnaryExpr{Op: token.SUB, X: ast.NewLit(kind, text[1:])}
	}
	return ast.NewLit(kind, text)
}
