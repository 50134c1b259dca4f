package plan

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/token"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// The predeclared types.
var types = map[string]kinds{
	"_":      anyKind,
	"string": kindSet(tree.String),
	"bool":   kindSet(tree.Bool),
	"int":    kindSet(tree.Int),
	"float":  kindSet(tree.Float),
	"number": numberKinds,
}

// The predeclared integers of a size that Go types have.
var sized = map[string][2]int64{
	"int32":  {math.MinInt32, math.MaxInt32},
	"int64":  {math.MinInt64, math.MaxInt64},
	"uint16": {0, math.MaxUint16},
	"uint32": {0, math.MaxUint32},
}

// sizedInt is the type that x names.
func (c *compiler) sizedInt(x *ast.Ident, rl *rule) constraint {
	limits := sized[x.Name]
	fits := &predicate{set: kindSet(tree.Int), code: diag.CodeType, want: "an " + x.Name, fault: "does not fit into " + x.Name, seen: c.tally(x, "range")}
	fits.test = func(n *tree.Node) bool {
		v := parseNumber(n.Text)
		return v.isInt && limits[0] <= v.i && v.i <= limits[1]
	}
	return newConj([]constraint{&basic{set: kindSet(tree.Int), rule: rl, seen: c.tally(x, "type")}, fits})
}

// lookup finds the declaration of name and the number of structs between s and it.
func (c *compiler) lookup(name string, s *scope) (decl *ast.Field, in *scope, hops int) {
	for ; s != nil; s = s.parent {
		if f, ok := s.names[name]; ok {
			if s.node().needs != nil {
				s.node().needs[name] = true
			}
			return f, s, hops
		}
		if !s.sameNode {
			hops++
		}
	}
	return nil, nil, 0
}

// named compiles an identifier that stands for a rule.
func (c *compiler) named(x *ast.Ident, at context) (constraint, error) {
	f, in, hops := c.lookup(x.Name, at.scope)
	switch set, isType := types[x.Name]; {
	case f == nil && isType:
		return &basic{set: set, rule: at.rule}, nil
	case f == nil && sized[x.Name] != [2]int64{}:
		return c.sizedInt(x, at.rule), nil
	case f == nil:
		return nil, c.errorf(x, "unknown name %s", x.Name)
	case in == c.file && c.isStruct(x, nil):
		d, err := c.define(x.Name, f)
		if err != nil {
			return nil, err
		}
		return d, nil
	case in == c.file:
		hops = 0
	case !hidden(x.Name):
		return c.sameAs(x, at)
	}
	// Compiled in place, so that the field's own rule can speak for it.
	if slices.Contains(c.inlining, x.Name) {
		return nil, c.errorf(x, "%s refers to itself", x.Name)
	}
	c.inlining = append(c.inlining, x.Name)
	defer func() { c.inlining = c.inlining[:len(c.inlining)-1] }()
	attrs, err := c.attributes(f.Attrs)
	if err != nil {
		return nil, err
	}
	inner := context{scope: in, rule: at.rule.over(attrs.rule), below: at.below, closed: at.closed}
	if at.below {
		inner.rule = attrs.rule.over(at.rule)
	}
	attrs.rule = inner.rule
	p, err := c.constraint(f.Value, inner)
	if err != nil {
		return nil, err
	}
	p = withChecks(p, attrs)
	if hops > 0 {
		p = &outer{p, hops}
	}
	return p, nil
}

func hidden(name string) bool { return strings.HasPrefix(name, "_") }

// isStruct reports whether x describes a struct, by itself or through names.
func (c *compiler) isStruct(x ast.Expr, via []string) bool {
	switch x := unparen(x).(type) {
	case *ast.StructLit:
		return true
	case *ast.BinaryExpr:
		return c.isStruct(x.X, via) || c.isStruct(x.Y, via)
	case *ast.UnaryExpr:
		return c.isStruct(x.X, via)
	case *ast.Ident:
		f := c.file.names[x.Name]
		return f != nil && !slices.Contains(via, x.Name) && c.isStruct(f.Value, append(via, x.Name))
	}
	return false
}

// sameAs wants the value of another field.
func (c *compiler) sameAs(x ast.Expr, at context) (constraint, error) {
	of, err := c.expr(x, at.scope)
	if err != nil {
		return nil, err
	}
	return &same{expr: of, rule: at.rule}, nil
}

// reference is the value that a name has at run time.
func (c *compiler) reference(x *ast.Ident, s *scope) (expr, error) {
	f, in, hops := c.lookup(x.Name, s)
	switch {
	case f == nil:
		return nil, c.errorf(x, "unknown name %s", x.Name)
	case in != c.file && !hidden(x.Name):
		name, bit := x.Name, keyBit(x.Name)
		return func(r *run, e int) value { return nodeValue(r.field(r.up(e, hops), name, bit)) }, nil
	}
	if slices.Contains(c.inlining, x.Name) {
		return nil, c.errorf(x, "%s refers to itself", x.Name)
	}
	c.inlining = append(c.inlining, x.Name)
	defer func() { c.inlining = c.inlining[:len(c.inlining)-1] }()
	of, err := c.expr(f.Value, in)
	if err != nil || in == c.file {
		return of, err
	}
	return func(r *run, e int) value { return of(r, r.up(e, hops)) }, nil
}

// unary compiles a bound, a pattern, or a negative number.
func (c *compiler) unary(x *ast.UnaryExpr, at context) (constraint, error) {
	switch x.Op {
	case token.MUL:
		// A lone *x is x.
		return c.constraint(x.X, at)
	case token.MAT, token.NMAT:
		re, err := c.patternOf(x.X)
		if err != nil {
			return nil, err
		}
		return matches(re, x.Op == token.NMAT, at.rule), nil
	case token.SUB, token.LSS, token.LEQ, token.GTR, token.GEQ, token.NEQ:
		n, err := c.operand(x.X)
		if err != nil {
			return nil, err
		}
		if x.Op != token.SUB {
			return bound(x.Op, n, at.rule), nil
		}
		n.Text = strings.TrimPrefix("-"+n.Text, "--")
		return &scalarLiteral{node: n, rule: at.rule}, nil
	}
	return nil, c.errorf(x, "unknown construct: %s", c.source(x))
}

// operand is a literal, perhaps through a hidden name, perhaps negative.
func (c *compiler) operand(x ast.Expr) (*tree.Node, error) {
	switch x := unparen(x).(type) {
	case *ast.BasicLit:
		return c.scalarNode(x)
	case *ast.UnaryExpr:
		if n, err := c.operand(x.X); x.Op == token.SUB && err == nil && numberKinds.has(n.Kind) {
			n.Text = strings.TrimPrefix("-"+n.Text, "--")
			return n, nil
		}
	case *ast.Ident:
		if f := c.file.names[x.Name]; f != nil && hidden(x.Name) {
			return c.operand(f.Value)
		}
	}
	return nil, c.errorf(x, "unknown construct: an operand that is not a literal")
}

// call compiles a validator.
func (c *compiler) call(x *ast.CallExpr, at context) (constraint, error) {
	name := c.source(x.Fun)
	var args []*tree.Node
	for _, a := range x.Args {
		n, err := c.operand(a)
		if err != nil {
			return nil, err
		}
		args = append(args, n)
	}
	if name == "error" && len(args) == 1 {
		return &bottom{message: args[0].Text, rule: at.rule}, nil
	}
	if name == "list.UniqueItems" && len(args) == 0 {
		return &unique{rule: at.rule}, nil
	}
	if len(args) == 1 && args[0].Kind == tree.Int {
		n, err := strconv.Atoi(args[0].Text)
		if err != nil {
			return nil, c.errorf(x, "%v", err)
		}
		switch name {
		case "struct.MinFields":
			return &size{of: tree.Map, atLeast: n, atMost: -1, rule: at.rule}, nil
		case "struct.MaxFields":
			return &size{of: tree.Map, atMost: n, rule: at.rule}, nil
		case "list.MinItems":
			return &size{of: tree.List, atLeast: n, atMost: -1, rule: at.rule}, nil
		case "list.MaxItems":
			return &size{of: tree.List, atMost: n, rule: at.rule}, nil
		case "strings.MinRunes":
			return runes(n, -1, at.rule), nil
		case "strings.MaxRunes":
			return runes(0, n, at.rule), nil
		}
	}
	return nil, c.errorf(x, "unknown construct: %s", c.source(x))
}

// bound is >=x and its kin, of which != also takes null and booleans.
func bound(op token.Token, limit *tree.Node, rl *rule) constraint {
	p := &predicate{code: diag.CodeInvalid, rule: rl, set: kindSet(limit.Kind)}
	at := nodeValue(limit)
	switch {
	case numberKinds.has(limit.Kind):
		p.set = numberKinds
	case limit.Kind == tree.Null:
		p.set = anyKind &^ kindSet(tree.Null)
	}
	p.test = func(n *tree.Node) bool { return compareValues(op, nodeValue(n), at).isTrue() }
	words := map[token.Token]string{
		token.LSS: "less than ", token.LEQ: "at most ", token.GTR: "more than ", token.GEQ: "at least ", token.NEQ: "anything but ",
	}
	p.want = words[op] + show(limit)
	if op == token.NEQ {
		p.fault = "may not stand here"
		if limit.Kind == tree.String && limit.Text == "" {
			p.want, p.fault = "a string that is not empty", "is empty"
		}
	}
	if at.isNumber() {
		limit := at.number()
		switch op {
		case token.GEQ:
			p.lower = &limit
		case token.LEQ:
			p.upper = &limit
		}
	}
	return p
}

// mergeBounds makes one part of >=a and <=b, for one message that names both.
func mergeBounds(parts []constraint) []constraint {
	lower := slices.IndexFunc(parts, func(c constraint) bool { p, ok := c.(*predicate); return ok && p.lower != nil })
	upper := slices.IndexFunc(parts, func(c constraint) bool { p, ok := c.(*predicate); return ok && p.upper != nil })
	if lower < 0 || upper < 0 {
		return parts
	}
	a, b := *parts[lower].(*predicate), parts[upper].(*predicate)
	low, high, first, second := *a.lower, *b.upper, a.seen, b.seen
	a.merged = []*tally{first, second}
	a.want = "between " + strings.TrimPrefix(a.want, "at least ") + " and " + strings.TrimPrefix(b.want, "at most ")
	a.test = func(n *tree.Node) bool {
		v := parseNumber(n.Text)
		return first.note(low.compare(v) <= 0) && second.note(v.compare(high) <= 0) && !math.IsNaN(v.f)
	}
	a.lower, a.upper, a.seen = nil, nil, nil
	parts[lower] = &a
	return slices.Delete(parts, upper, upper+1)
}
