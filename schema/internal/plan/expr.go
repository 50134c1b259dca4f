package plan

import (
	"regexp"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/token"

	"github.com/meshc/meshc/schema/tree"
)

// expr computes a value from the fields in scope: the condition of an if, or a
// reference.
type expr func(r *run, e int) value

// value is what an expression yields: a node of the document or of the rules, or
// a boolean or length that was computed. The zero value is bottom: something
// that is not there, or does not make sense. An if on bottom does not apply.
type value struct {
	node *tree.Node // nil where computed
	n    int64      // of a computed Int
	kind tree.Kind
	ok   bool
	b    bool // of a Bool
}

func boolean(b bool) value { return value{ok: true, kind: tree.Bool, b: b} }

func (v value) isTrue() bool { return v.ok && v.kind == tree.Bool && v.b }

func (v value) isNumber() bool { return v.ok && numberKinds.has(v.kind) }

// number is the value of an Int or Float.
func (v value) number() number {
	if v.node == nil {
		return number{true, v.n, float64(v.n)}
	}
	return parseNumber(v.node.Text)
}

func nodeValue(n *tree.Node) value {
	if n == nil {
		return value{}
	}
	return value{ok: true, kind: n.Kind, node: n, b: n.Kind == tree.Bool && n.Text == "true"}
}

// expr compiles x as it stands in scope s.
func (c *compiler) expr(x ast.Expr, s *scope) (expr, error) {
	switch x := x.(type) {
	case *ast.ParenExpr:
		return c.expr(x.X, s)
	case *ast.BasicLit:
		n, err := c.scalarNode(x)
		if err != nil {
			return nil, err
		}
		v := nodeValue(n)
		return func(*run, int) value { return v }, nil
	case *ast.Ident:
		return c.reference(x, s)
	case *ast.SelectorExpr:
		name, _, err := ast.LabelName(x.Sel)
		if err != nil {
			return nil, c.errorf(x, "%v", err)
		}
		return c.member(x.X, name, s)
	case *ast.IndexExpr:
		lit, ok := x.Index.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return nil, c.errorf(x, "unknown construct: an index that is not a string literal")
		}
		n, err := c.scalarNode(lit)
		if err != nil {
			return nil, err
		}
		return c.member(x.X, n.Text, s)
	case *ast.UnaryExpr:
		return c.unaryExpr(x, s)
	case *ast.BinaryExpr:
		return c.binaryExpr(x, s)
	case *ast.CallExpr:
		if id, ok := x.Fun.(*ast.Ident); ok && id.Name == "len" && len(x.Args) == 1 {
			return c.length(x.Args[0], s)
		}
	}
	return nil, c.errorf(x, "unknown construct in a condition: %s", c.source(x))
}

func (c *compiler) member(x ast.Expr, name string, s *scope) (expr, error) {
	of, err := c.expr(x, s)
	if err != nil {
		return nil, err
	}
	return func(r *run, e int) value { return r.value(of(r, e).node, name) }, nil
}

// field is the field of that name and keyBit in env e, or nil.
func (r *run) field(e int, name string, bit uint64) *tree.Node {
	v := &r.envs[e]
	if r.faults != nil {
		return r.value(v.node, name).node
	}
	if v.keys&bit == 0 {
		return nil
	}
	return v.node.Get(name)
}

// value is that of a field of n.
func (r *run) value(n *tree.Node, name string) value {
	if r.faults != nil {
		if code := r.faults.doubt(n, name); code != "" {
			r.doubt = code
		}
	}
	return nodeValue(n.Get(name))
}

// length is len(x): bytes of a string, items of a list, fields of a map.
func (c *compiler) length(x ast.Expr, s *scope) (expr, error) {
	of, err := c.expr(x, s)
	if err != nil {
		return nil, err
	}
	return func(r *run, e int) value {
		v := of(r, e)
		var n int
		switch {
		case !v.ok:
			return value{}
		case v.kind == tree.String:
			n = len(v.node.Text)
		case v.kind == tree.List:
			n = len(v.node.Items)
		case v.kind == tree.Map:
			n = len(v.node.Fields)
		default:
			return value{}
		}
		return value{ok: true, kind: tree.Int, n: int64(n)}
	}, nil
}

func (c *compiler) unaryExpr(x *ast.UnaryExpr, s *scope) (expr, error) {
	switch x.Op {
	case token.NOT:
		of, err := c.expr(x.X, s)
		if err != nil {
			return nil, err
		}
		return func(r *run, e int) value {
			v := of(r, e)
			if !v.ok || v.kind != tree.Bool {
				return value{}
			}
			return boolean(!v.b)
		}, nil
	case token.SUB:
		n, err := c.operand(x)
		if err != nil {
			return nil, err
		}
		v := nodeValue(n)
		return func(*run, int) value { return v }, nil
	}
	return nil, c.errorf(x, "unknown construct in a condition: %s", c.source(x))
}

func (c *compiler) binaryExpr(x *ast.BinaryExpr, s *scope) (expr, error) {
	// x == _|_ and x != _|_ ask whether x is there.
	if _, isBottom := x.Y.(*ast.BottomLit); isBottom && (x.Op == token.EQL || x.Op == token.NEQ) {
		of, err := c.expr(x.X, s)
		if err != nil {
			return nil, err
		}
		wantThere := x.Op == token.NEQ
		return func(r *run, e int) value { return boolean(of(r, e).ok == wantThere) }, nil
	}
	if x.Op == token.OR {
		return c.fallback(x, s)
	}
	a, err := c.expr(x.X, s)
	if err != nil {
		return nil, err
	}
	switch x.Op {
	case token.MAT, token.NMAT:
		re, err := c.patternOf(x.Y)
		if err != nil {
			return nil, err
		}
		not, m := x.Op == token.NMAT, newMatcher(re)
		return func(r *run, e int) value {
			v := a(r, e)
			if !v.ok || v.kind != tree.String {
				return value{}
			}
			return boolean(m.match(v.node.Text) != not)
		}, nil
	}
	b, err := c.expr(x.Y, s)
	if err != nil {
		return nil, err
	}
	switch x.Op {
	case token.LAND, token.LOR:
		and := x.Op == token.LAND
		return func(r *run, e int) value {
			v := a(r, e)
			if !v.ok || v.kind != tree.Bool {
				return value{}
			}
			if v.b != and {
				return v
			}
			return b(r, e)
		}, nil
	case token.EQL, token.NEQ, token.LSS, token.LEQ, token.GTR, token.GEQ:
		op := x.Op
		if lit, ok := x.Y.(*ast.BasicLit); ok && lit.Kind == token.STRING && (op == token.EQL || op == token.NEQ) {
			want := b(nil, 0)
			if of, ok := c.fieldIs(x.X, want.node.Text, op == token.EQL, s); ok {
				return of, nil
			}
			return func(r *run, e int) value {
				// What most conditions are: a field's name and a word.
				v := a(r, e)
				if !v.ok || v.kind != tree.String {
					return compareValues(op, v, want)
				}
				return boolean((v.node.Text == want.node.Text) == (op == token.EQL))
			}, nil
		}
		return func(r *run, e int) value { return compareValues(op, a(r, e), b(r, e)) }, nil
	}
	return nil, c.errorf(x, "unknown construct in a condition: %s", c.source(x))
}

// fieldIs is x == want, or x != want, where x is the name of a field, as in most
// conditions.
func (c *compiler) fieldIs(x ast.Expr, want string, equal bool, s *scope) (expr, bool) {
	id, ok := x.(*ast.Ident)
	if !ok || hidden(id.Name) {
		return nil, false
	}
	_, in, hops := c.lookup(id.Name, s)
	if in == nil || in == c.file {
		return nil, false
	}
	name, bit := id.Name, keyBit(id.Name)
	return func(r *run, e int) value {
		x := r.field(r.up(e, hops), name, bit)
		if x == nil || x.Kind != tree.String {
			return value{ok: x != nil && x.Kind == tree.Null, kind: tree.Bool, b: !equal}
		}
		return boolean((x.Text == want) == equal)
	}, true
}

// fallback is *A | B: A, or B where A is bottom.
func (c *compiler) fallback(x *ast.BinaryExpr, s *scope) (expr, error) {
	u, ok := unparen(x.X).(*ast.UnaryExpr)
	if !ok || u.Op != token.MUL {
		return nil, c.errorf(x, "unknown construct in a condition: %s", c.source(x))
	}
	first, err := c.expr(u.X, s)
	if err != nil {
		return nil, err
	}
	second, err := c.expr(x.Y, s)
	if err != nil {
		return nil, err
	}
	return func(r *run, e int) value {
		if v := first(r, e); v.ok {
			return v
		}
		return second(r, e)
	}, nil
}

func (c *compiler) patternOf(x ast.Expr) (*regexp.Regexp, error) {
	lit, ok := x.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return nil, c.errorf(x, "unknown construct: a pattern that is not a string literal")
	}
	n, err := c.scalarNode(lit)
	if err != nil {
		return nil, err
	}
	re, err := regexp.Compile(n.Text)
	if err != nil {
		return nil, c.errorf(x, "%v", err)
	}
	return re, nil
}

// compareValues is a OP b. Values of different types are never equal where null
// is involved; any other comparison of them makes no sense.
func compareValues(op token.Token, a, b value) value {
	if !a.ok || !b.ok {
		return value{}
	}
	order := 0
	switch {
	case a.isNumber() && b.isNumber():
		order = a.number().compare(b.number())
	case a.kind != b.kind:
		if a.kind != tree.Null && b.kind != tree.Null {
			return value{}
		}
		order = 1
	case a.kind == tree.String:
		order = strings.Compare(a.node.Text, b.node.Text)
	case a.kind == tree.Bool:
		if a.b != b.b {
			order = 1
		}
	case a.kind == tree.List, a.kind == tree.Map:
		if !equal(a.node, b.node) {
			order = 1
		}
	}
	switch op {
	case token.EQL:
		return boolean(order == 0)
	case token.NEQ:
		return boolean(order != 0)
	}
	if !a.isNumber() && a.kind != tree.String {
		return value{}
	}
	switch op {
	case token.LSS:
		return boolean(order < 0)
	case token.LEQ:
		return boolean(order <= 0)
	case token.GTR:
		return boolean(order > 0)
	}
	return boolean(order >= 0)
}
