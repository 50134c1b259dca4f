package plan_test

import (
	"io/fs"
	"math/rand/v2"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"

	"github.com/meshc/meshc/schema/tree"
)

// grammar reads the rules as a grammar that documents are made and changed by.
// It knows nothing of the plan: what it makes is often valid, and often not.
type grammar struct {
	names    map[string]ast.Expr
	keys     []string // of all structs
	patterns map[string]*regexp.Regexp
}

func (g *grammar) pattern(src string) (*regexp.Regexp, error) {
	if re := g.patterns[src]; re != nil {
		return re, nil
	}
	re, err := regexp.Compile(src)
	g.patterns[src] = re
	return re, err
}

func newGrammar(t testing.TB, fsys fs.FS) *grammar {
	t.Helper()
	g := &grammar{names: map[string]ast.Expr{}, patterns: map[string]*regexp.Regexp{}}
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
		ast.Walk(f, func(n ast.Node) bool {
			if d, ok := n.(*ast.Field); ok {
				if name := labelOf(d); name != "" && name[0] != '#' && name[0] != '_' && !slices.Contains(g.keys, name) {
					g.keys = append(g.keys, name)
				}
			}
			return true
		}, nil)
		for _, d := range f.Decls {
			if d, ok := d.(*ast.Field); ok {
				g.names[labelOf(d)] = d.Value
			}
		}
	}
	slices.Sort(g.keys)
	return g
}

// labelOf is the name of a field, or "" for a pattern.
func labelOf(d *ast.Field) string {
	name, _, err := ast.LabelName(d.Label)
	if err != nil {
		return ""
	}
	return name
}

// maker makes values by a grammar.
type maker struct {
	*grammar
	*rand.Rand
}

func (m maker) chance(percent int) bool { return m.IntN(100) < percent }

func pick[T any](m maker, xs []T) T { return xs[m.IntN(len(xs))] }

func str(s string) *tree.Node { return &tree.Node{Kind: tree.String, Text: s} }

func num(i int) *tree.Node { return &tree.Node{Kind: tree.Int, Text: strconv.Itoa(i)} }

// value makes a value that x might accept.
func (m maker) value(x ast.Expr, depth int) *tree.Node {
	if depth > 12 {
		return &tree.Node{}
	}
	switch x := x.(type) {
	case *ast.ParenExpr:
		return m.value(x.X, depth)
	case *ast.BasicLit:
		return literalNode(x)
	case *ast.Ident:
		if of := m.names[x.Name]; of != nil {
			return m.value(of, depth+1)
		}
		return m.ofType(x.Name)
	case *ast.UnaryExpr:
		return m.unary(x, depth)
	case *ast.BinaryExpr:
		arms := chain(x, x.Op)
		if x.Op != token.AND {
			return m.value(pick(m, arms), depth)
		}
		return m.both(arms, depth)
	case *ast.CallExpr:
		if len(x.Args) == 1 {
			if lit, ok := x.Args[0].(*ast.BasicLit); ok && lit.Kind == token.INT {
				n, _ := strconv.Atoi(lit.Value)
				return str(strings.Repeat("a", max(0, n+m.IntN(3)-1)))
			}
		}
	case *ast.ListLit:
		return m.list(x, depth)
	case *ast.StructLit:
		n := &tree.Node{Kind: tree.Map}
		m.fields(x.Elts, n, depth)
		return n
	}
	return m.anything(1)
}

// both makes a value for all of xs: structs are merged; of anything else one
// says what it is.
func (m maker) both(xs []ast.Expr, depth int) *tree.Node {
	var out *tree.Node
	count := -1
	var scalars []ast.Expr
	for _, x := range xs {
		if call, ok := x.(*ast.CallExpr); ok {
			switch fun, _ := call.Fun.(*ast.SelectorExpr); fun.X.(*ast.Ident).Name {
			case "list", "struct":
				if len(call.Args) == 1 && m.chance(8) {
					count, _ = strconv.Atoi(call.Args[0].(*ast.BasicLit).Value)
					count += m.IntN(3) - 1
				}
				continue
			}
		}
		scalars = append(scalars, x)
	}
	if len(scalars) == 0 {
		return &tree.Node{Kind: tree.List, Items: slices.Repeat([]*tree.Node{m.anything(0)}, max(0, count))}
	}
	for range 12 {
		out = m.value(pick(m, scalars), depth)
		if m.chance(12) || !slices.ContainsFunc(scalars, func(x ast.Expr) bool { return !m.accepts(x, out) }) {
			break
		}
	}
	switch out.Kind {
	case tree.Map:
		for _, x := range scalars {
			if other := m.value(x, depth); other.Kind == tree.Map {
				merge(out, other)
			}
		}
		if count == 0 {
			out.Fields = nil
		}
	case tree.List:
		for count > len(out.Items) && len(out.Items) > 0 {
			out.Items = append(out.Items, out.Items...)
		}
		if count >= 0 && count < len(out.Items) {
			out.Items = out.Items[:count]
		}
	}
	return out
}

// accepts reports whether x, as far as it is about scalars, accepts n.
func (m maker) accepts(x ast.Expr, n *tree.Node) bool {
	switch x := x.(type) {
	case *ast.ParenExpr:
		return m.accepts(x.X, n)
	case *ast.BasicLit:
		of := literalNode(x)
		return of.Kind == n.Kind && of.Text == n.Text
	case *ast.BinaryExpr:
		if x.Op == token.AND {
			return m.accepts(x.X, n) && m.accepts(x.Y, n)
		}
		return m.accepts(x.X, n) || m.accepts(x.Y, n)
	case *ast.Ident:
		if of := m.names[x.Name]; of != nil {
			return m.accepts(of, n)
		}
		return x.Name != "string" || n.Kind == tree.String
	case *ast.UnaryExpr:
		lit, ok := x.X.(*ast.BasicLit)
		switch {
		case x.Op == token.MUL:
			return m.accepts(x.X, n)
		case !ok:
		case x.Op == token.MAT, x.Op == token.NMAT:
			re, err := m.pattern(literalNode(lit).Text)
			return err == nil && n.Kind == tree.String && re.MatchString(n.Text) == (x.Op == token.MAT)
		case x.Op == token.NEQ:
			return literalNode(lit).Text != n.Text
		case lit.Kind == token.INT:
			a, err := strconv.ParseFloat(n.Text, 64)
			b, _ := strconv.ParseFloat(lit.Value, 64)
			return err == nil && (x.Op == token.GEQ && a >= b || x.Op == token.LEQ && a <= b || x.Op == token.GTR && a > b || x.Op == token.LSS && a < b)
		}
	case *ast.CallExpr:
		if lit, ok := slices.Concat(x.Args, []ast.Expr{nil})[0].(*ast.BasicLit); ok && n.Kind == tree.String {
			limit, _ := strconv.Atoi(lit.Value)
			return (len(n.Text) <= limit) == (x.Fun.(*ast.SelectorExpr).Sel.(*ast.Ident).Name == "MaxRunes") || len(n.Text) == limit
		}
	}
	return true
}

func merge(n, other *tree.Node) {
	for _, f := range other.Fields {
		if have := n.Get(f.Key); have == nil {
			n.Fields = append(n.Fields, f)
		} else if have.Kind == tree.Map && f.Value.Kind == tree.Map {
			merge(have, f.Value)
		}
	}
}

func chain(x ast.Expr, op token.Token) []ast.Expr {
	if p, ok := x.(*ast.ParenExpr); ok {
		x = p.X
	}
	if b, ok := x.(*ast.BinaryExpr); ok && b.Op == op {
		return append(chain(b.X, op), chain(b.Y, op)...)
	}
	return []ast.Expr{x}
}

func literalNode(x *ast.BasicLit) *tree.Node {
	switch x.Kind {
	case token.STRING:
		if s, err := literal.Unquote(x.Value); err == nil {
			return str(s)
		}
	case token.INT:
		return &tree.Node{Kind: tree.Int, Text: x.Value}
	case token.FLOAT:
		return &tree.Node{Kind: tree.Float, Text: x.Value}
	case token.TRUE, token.FALSE:
		return &tree.Node{Kind: tree.Bool, Text: x.Value}
	}
	return &tree.Node{}
}

func (m maker) unary(x *ast.UnaryExpr, depth int) *tree.Node {
	of := m.value(x.X, depth)
	switch x.Op {
	case token.MUL:
		return of
	case token.MAT, token.NMAT:
		if x.Op == token.NMAT && m.chance(70) {
			return m.ofType("string")
		}
		if re, err := syntax.Parse(of.Text, syntax.Perl); err == nil {
			s := m.sample(re)
			if x.Op == token.NMAT {
				s += pick(m, []string{"", "a"}) // what it begins with, it may go on from
			}
			if m.chance(10) {
				s = m.near(s)
			}
			return str(s)
		}
	case token.NEQ:
		if m.chance(80) {
			return m.ofKind(of.Kind)
		}
	case token.SUB:
		of.Text = "-" + of.Text
	default:
		if i, err := strconv.Atoi(of.Text); err == nil && m.chance(90) {
			step := m.IntN(3) - 1
			if x.Op == token.GEQ || x.Op == token.GTR {
				step = m.IntN(4) - 1
			}
			return num(i + step)
		}
		return &tree.Node{Kind: tree.Float, Text: of.Text + ".5"}
	}
	return of
}

// near changes a character of s.
func (m maker) near(s string) string {
	runes := []rune(s)
	i := m.IntN(len(runes) + 1)
	before, after := string(runes[:i]), string(runes[min(i+1, len(runes)):])
	switch {
	case m.chance(40) || i == len(runes):
		return before + pick(m, []string{"-", ".", "/", "%", "A", "0", " ", "_", ":", "é", "*", ",", "=", "\n"}) + string(runes[i:])
	case m.chance(50):
		return before + after
	}
	return before + pick(m, []string{"-", "Z", "9", "/", "."}) + after
}

func (m maker) list(x *ast.ListLit, depth int) *tree.Node {
	n := &tree.Node{Kind: tree.List}
	for _, el := range x.Elts {
		e, isRest := el.(*ast.Ellipsis)
		if !isRest {
			n.Items = append(n.Items, m.value(el, depth+1))
			continue
		}
		for range pick(m, []int{0, 1, 1, 1, 2, 2, 3}) {
			if e.Type == nil {
				n.Items = append(n.Items, m.anything(0))
				continue
			}
			n.Items = append(n.Items, m.value(e.Type, depth+1))
		}
	}
	return n
}

// fields adds what decls declare to n.
func (m maker) fields(decls []ast.Decl, n *tree.Node, depth int) {
	for _, d := range decls {
		switch d := d.(type) {
		case *ast.Field:
			m.field(d, n, depth)
		case *ast.EmbedDecl:
			if v := m.value(d.Expr, depth+1); v.Kind == tree.Map {
				merge(n, v)
			}
		case *ast.Comprehension:
			if lit, ok := d.Value.(*ast.StructLit); ok && m.chance(30) {
				m.fields(lit.Elts, n, depth)
			}
		}
	}
}

func (m maker) field(d *ast.Field, n *tree.Node, depth int) {
	if _, never := d.Value.(*ast.BottomLit); never && m.chance(90) {
		return
	}
	key := labelOf(d)
	if pat, ok := d.Label.(*ast.ListLit); ok {
		if !m.chance(60) {
			return
		}
		if of := m.value(pat.Elts[0], depth+1); of.Kind == tree.String {
			key = of.Text
		}
	} else if strings.HasPrefix(key, "_") {
		return
	}
	share := 92
	switch {
	case d.Constraint == token.OPTION:
		share = max(10, 50-8*depth)
	case d.Constraint == token.ILLEGAL:
		share = 70
	}
	if !m.chance(share) {
		return
	}
	v := m.value(d.Value, depth+1)
	if have := n.Field(key); have == nil {
		n.Fields = append(n.Fields, tree.Field{Key: key, Value: v})
	} else if have.Value.Kind == tree.Map && v.Kind == tree.Map {
		// Not in place: it may belong to another document, too.
		merge(v, have.Value)
		have.Value = v
	} else if m.chance(30) {
		have.Value = v
	}
}
