package plan

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"

	"github.com/meshc/meshc/schema/tree"
)

// compiler turns the AST of one CUE package into constraints.
type compiler struct {
	files       map[string][]byte
	file        *scope
	definitions map[string]*definition
	inlining    []string // names being compiled in place, to find a circle
	structures  []*structure
	coverage    *coverage // nil outside of tests
}

// scope is a struct, or the files together, as names are looked up in it.
type scope struct {
	parent *scope
	names  map[string]*ast.Field
	// sameNode: the body of an if adds to the struct that it stands in.
	sameNode bool
	// needs collects the names of this struct that the declaration being
	// compiled refers to.
	needs map[string]bool
}

// node returns the scope whose struct s describes.
func (s *scope) node() *scope {
	for s.sameNode {
		s = s.parent
	}
	return s
}

func (c *compiler) errorf(at ast.Node, format string, args ...any) error {
	p := at.Pos()
	return fmt.Errorf("%s:%d:%d: "+format, append([]any{p.Filename(), p.Line(), p.Column()}, args...)...)
}

// source is the first line of a piece of CUE, as an error message quotes it.
func (c *compiler) source(x ast.Node) string {
	text := c.files[x.Pos().Filename()][x.Pos().Offset():]
	if end := x.End().Offset() - x.Pos().Offset(); end > 0 && end < len(text) {
		text = text[:end]
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}

func (c *compiler) load(fsys fs.FS) error {
	paths, err := fs.Glob(fsys, "*.cue")
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		return fmt.Errorf("no .cue files")
	}
	c.file = &scope{names: map[string]*ast.Field{}, needs: map[string]bool{}}
	for _, path := range paths {
		src, err := fs.ReadFile(fsys, path)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(path, src)
		if err != nil {
			return fmt.Errorf("%s", strings.TrimSpace(errors.Details(err, nil)))
		}
		c.files[path] = src
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.Package, *ast.ImportDecl, *ast.CommentGroup:
			case *ast.Field:
				name, _, err := ast.LabelName(d.Label)
				if err != nil {
					return c.errorf(d, "%v", err)
				}
				if name[0] != '#' && name[0] != '_' {
					return c.errorf(d, "unknown construct: %q is neither a definition nor hidden", name)
				}
				if c.file.names[name] != nil {
					return c.errorf(d, "unknown construct: a second declaration of %s", name)
				}
				c.file.names[name] = d
			default:
				return c.errorf(d, "unknown construct: %s", c.source(d))
			}
		}
	}
	return nil
}

// define compiles a named rule once, however often it is referred to.
func (c *compiler) define(name string, f *ast.Field) (*definition, error) {
	if d := c.definitions[name]; d != nil {
		return d, nil
	}
	d := &definition{}
	c.definitions[name] = d
	attrs, err := c.attributes(f.Attrs)
	if err != nil {
		return nil, err
	}
	d.nullAbsent = attrs.nullAbsent
	rule, err := c.constraint(f.Value, context{scope: c.file, rule: attrs.rule, closed: true})
	if err != nil {
		return nil, err
	}
	d.rule = withChecks(rule, attrs)
	return d, nil
}

// context is where an expression stands.
type context struct {
	scope *scope
	rule  *rule // of the field that it is the value of
	// below: inside a list or pattern of that field, where a helper's own rule
	// says more about the value than the field's.
	below bool
	// closed: a struct literal refuses fields that it does not know. What
	// merely adds to a struct that is declared elsewhere is not closed.
	closed bool
	also   []*structure // the other literals of the same value
}

// constraint compiles x.
func (c *compiler) constraint(x ast.Expr, at context) (constraint, error) {
	p, err := c.constraintOf(x, at)
	if err == nil {
		c.count(p, x)
	}
	return p, err
}

func (c *compiler) constraintOf(x ast.Expr, at context) (constraint, error) {
	switch x := x.(type) {
	case *ast.ParenExpr:
		return c.constraint(x.X, at)
	case *ast.BasicLit:
		n, err := c.scalarNode(x)
		if err != nil {
			return nil, err
		}
		if n.Kind == tree.Null {
			return &basic{set: kindSet(tree.Null), rule: at.rule}, nil
		}
		return &scalarLiteral{node: n, rule: at.rule}, nil
	case *ast.BottomLit:
		return &bottom{rule: at.rule}, nil
	case *ast.Ident:
		return c.named(x, at)
	case *ast.SelectorExpr, *ast.IndexExpr:
		return c.sameAs(x, at)
	case *ast.UnaryExpr:
		return c.unary(x, at)
	case *ast.BinaryExpr:
		switch x.Op {
		case token.AND:
			return c.conjunction(x, at)
		case token.OR:
			return c.disjunction(x, at)
		}
	case *ast.CallExpr:
		return c.call(x, at)
	case *ast.ListLit:
		return c.list(x, at)
	case *ast.StructLit:
		return c.structure(x, at)
	}
	return nil, c.errorf(x, "unknown construct: %s", c.source(x))
}

// scalarNode is the value of a literal.
func (c *compiler) scalarNode(x *ast.BasicLit) (*tree.Node, error) {
	switch x.Kind {
	case token.NULL:
		return &tree.Node{Kind: tree.Null}, nil
	case token.TRUE, token.FALSE:
		return &tree.Node{Kind: tree.Bool, Text: x.Value}, nil
	case token.STRING:
		if s, err := literal.Unquote(x.Value); err == nil {
			return &tree.Node{Kind: tree.String, Text: s}, nil
		}
	case token.INT, token.FLOAT:
		var n literal.NumInfo
		if err := literal.ParseNum(x.Value, &n); err == nil {
			kind := tree.Float
			if n.IsInt() {
				kind = tree.Int
			}
			return &tree.Node{Kind: kind, Text: n.String()}, nil
		}
	}
	return nil, c.errorf(x, "unknown construct: the literal %s", x.Value)
}

// operands flattens a chain of one operator.
func operands(x ast.Expr, op token.Token) []ast.Expr {
	if b, ok := unparen(x).(*ast.BinaryExpr); ok && b.Op == op {
		return append(operands(b.X, op), operands(b.Y, op)...)
	}
	return []ast.Expr{x}
}

func unparen(x ast.Expr) ast.Expr {
	for {
		p, ok := x.(*ast.ParenExpr)
		if !ok {
			return x
		}
		x = p.X
	}
}

// conjunction compiles X & Y. Struct literals among the operands describe one
// struct together: the first is closed for all of them, unless a definition
// among the operands is closed already.
func (c *compiler) conjunction(x *ast.BinaryExpr, at context) (constraint, error) {
	xs := operands(x, token.AND)
	closing := slices.ContainsFunc(xs, func(x ast.Expr) bool {
		id, ok := unparen(x).(*ast.Ident)
		return ok && c.isStruct(id, nil)
	})
	inner := at
	inner.closed = at.closed && !closing
	var parts []constraint
	var literals []*structure
	for _, x := range xs {
		if l, ok := unparen(x).(*ast.ListLit); ok && at.closed && len(l.Elts) > 0 {
			// In stock CUE such a literal takes any field.
			if e, ok := l.Elts[len(l.Elts)-1].(*ast.Ellipsis); ok && isLiteralStruct(e.Type) {
				return nil, c.errorf(e, "unknown construct: a struct literal in a list behind &, which CUE does not close; name it")
			}
		}
		p, err := c.constraint(x, inner)
		if err != nil {
			return nil, err
		}
		if s, ok := p.(*structure); ok {
			literals = append(literals, s)
			inner.closed = false
		}
		parts = append(parts, p)
	}
	for _, s := range literals {
		s.also = append(s.also, literals...)
	}
	return newConj(mergeBounds(parts)), nil
}

func isLiteralStruct(x ast.Expr) bool {
	lit, ok := unparen(x).(*ast.StructLit)
	return ok && !slices.ContainsFunc(lit.Elts, func(d ast.Decl) bool { _, open := d.(*ast.Ellipsis); return open })
}

// disjunction compiles X | Y, either of which may carry the default mark.
func (c *compiler) disjunction(x ast.Expr, at context) (constraint, error) {
	var arms []arm
	for _, x := range operands(x, token.OR) {
		marked := false
		if u, ok := unparen(x).(*ast.UnaryExpr); ok && u.Op == token.MUL {
			x, marked = u.X, true
		}
		p, err := c.constraint(x, at)
		if err != nil {
			return nil, err
		}
		arms = append(arms, arm{p, marked})
	}
	return newDisj(arms, at.rule), nil
}

func (c *compiler) list(x *ast.ListLit, at context) (constraint, error) {
	l := &list{rule: at.rule}
	at.below, at.also = true, nil
	for i, el := range x.Elts {
		if e, ok := el.(*ast.Ellipsis); ok {
			if i != len(x.Elts)-1 {
				return nil, c.errorf(e, "unknown construct: ... before the end of a list")
			}
			l.rest = &basic{set: anyKind}
			if e.Type != nil {
				rest, err := c.constraint(e.Type, at)
				if err != nil {
					return nil, err
				}
				l.rest = rest
			}
			continue
		}
		p, err := c.constraint(el, at)
		if err != nil {
			return nil, err
		}
		l.first = append(l.first, p)
	}
	return l, nil
}
