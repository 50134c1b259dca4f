package jsonschema

import (
	"regexp"
	"strconv"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/token"
)

// converter turns the expressions of one kind into schemas. What it does not
// understand becomes the schema of anything: the result may be too lax and is
// never too strict.
type converter struct {
	names map[string]*ast.Field
	// computed are fields of the kind whose absence does not mean their default.
	computed []string
	// inside are the names being converted, to find a circle.
	inside []string
}

// context is where an expression stands.
type context struct {
	closed bool
	// quiet: in the branch of a condition, whose texts are about mistakes.
	quiet bool
	// fields are those of the struct that a branch adds to.
	fields map[string]*ast.Field
}

func (c *converter) expr(x ast.Expr, in context) Schema {
	switch x := x.(type) {
	case *ast.ParenExpr:
		return c.expr(x.X, in)
	case *ast.Ident:
		return c.ident(x, in)
	case *ast.BasicLit:
		if v, ok := value(x); ok {
			return Schema{"enum": []any{v}}
		}
	case *ast.BottomLit:
		return never()
	case *ast.UnaryExpr:
		return c.unary(x)
	case *ast.BinaryExpr:
		switch x.Op {
		case token.AND:
			return both(c.expr(x.X, in), c.expr(x.Y, in))
		case token.OR:
			return c.disjunction(x, in)
		}
	case *ast.StructLit:
		return c.structure(x.Elts, in)
	case *ast.ListLit:
		return c.list(x, in)
	case *ast.CallExpr:
		return call(x)
	}
	return Schema{}
}

// The types that CUE has, and the bounds of the sized ones.
var types = map[string]Schema{
	"string": {"type": "string"}, "bool": {"type": "boolean"}, "int": {"type": "integer"},
	"number": {"type": "number"}, "float": {"type": "number"}, "bytes": {"type": "string"},
	"int32":  {"type": "integer", "minimum": float64(-1 << 31), "maximum": float64(1<<31 - 1)},
	"uint32": {"type": "integer", "minimum": 0.0, "maximum": float64(1<<32 - 1)},
	"int64":  {"type": "integer"}, "uint64": {"type": "integer", "minimum": 0.0}, "uint": {"type": "integer", "minimum": 0.0},
	"null": {"type": "null"},
}

// ident follows a reference to a named rule. One to a field of the document
// says nothing that holds for every document.
func (c *converter) ident(x *ast.Ident, in context) Schema {
	if t, ok := types[x.Name]; ok {
		return t
	}
	f := c.names[x.Name]
	if f == nil {
		return Schema{}
	}
	for _, name := range c.inside {
		if name == x.Name {
			return Schema{} // a circle: anything, from here on
		}
	}
	c.inside = append(c.inside, x.Name)
	s := c.expr(f.Value, context{closed: strings.Contains(x.Name, "#"), quiet: in.quiet})
	c.inside = c.inside[:len(c.inside)-1]
	if in.quiet {
		return s
	}
	return described(s, documentation(f), f.Attrs)
}

// value returns a literal's value as encoding/json would decode it.
func value(x ast.Expr) (any, bool) {
	switch x := x.(type) {
	case *ast.ParenExpr:
		return value(x.X)
	case *ast.BasicLit:
		switch x.Kind {
		case token.STRING:
			s, err := literal.Unquote(x.Value)
			return s, err == nil
		case token.INT, token.FLOAT:
			n, err := strconv.ParseFloat(strings.ReplaceAll(x.Value, "_", ""), 64)
			return n, err == nil
		case token.TRUE, token.FALSE:
			return x.Kind == token.TRUE, true
		case token.NULL:
			return nil, true
		}
	case *ast.UnaryExpr:
		if n, ok := value(x.X); ok && x.Op == token.SUB {
			f, isNumber := n.(float64)
			return -f, isNumber
		}
	case *ast.ListLit:
		out := []any{}
		for _, e := range x.Elts {
			v, ok := value(e)
			if !ok {
				return nil, false
			}
			out = append(out, v)
		}
		return out, true
	case *ast.StructLit:
		out := map[string]any{}
		for _, d := range x.Elts {
			f, ok := d.(*ast.Field)
			if !ok {
				return nil, false
			}
			name, _, err := ast.LabelName(f.Label)
			v, plain := value(f.Value)
			if err != nil || !plain {
				return nil, false
			}
			out[name] = v
		}
		return out, true
	}
	return nil, false
}

func (c *converter) unary(x *ast.UnaryExpr) Schema {
	v, ok := value(x.X)
	if !ok {
		return Schema{}
	}
	if x.Op == token.SUB {
		v, ok = value(x)
		return Schema{"enum": []any{v}}
	}
	n, isNumber := v.(float64)
	s, isString := v.(string)
	switch {
	case x.Op == token.GEQ && isNumber:
		return Schema{"type": "number", "minimum": n}
	case x.Op == token.LEQ && isNumber:
		return Schema{"type": "number", "maximum": n}
	case x.Op == token.GTR && isNumber:
		return Schema{"type": "number", "exclusiveMinimum": n}
	case x.Op == token.LSS && isNumber:
		return Schema{"type": "number", "exclusiveMaximum": n}
	case x.Op == token.NEQ && isString && s == "":
		return Schema{"type": "string", "minLength": 1}
	case x.Op == token.NEQ && isString:
		return Schema{"type": "string", "not": Schema{"enum": []any{s}}}
	case x.Op == token.NEQ && v == nil:
		return Schema{"not": Schema{"type": "null"}}
	case x.Op == token.MAT && portable(s):
		return Schema{"type": "string", "pattern": s}
	case x.Op == token.NMAT && portable(s):
		return Schema{"type": "string", "not": Schema{"type": "string", "pattern": s}}
	case x.Op == token.MAT || x.Op == token.NMAT:
		return Schema{"type": "string"}
	}
	return Schema{}
}

// foreign is what a regular expression of Go's may hold and one of
// ECMAScript's may not.
var foreign = regexp.MustCompile(`\(\?|\\[xpPzAQaC]\{?|\[\[:`)

// portable reports whether a regular expression means the same in Go and in
// ECMAScript, whose expressions JSON Schema has.
func portable(re string) bool {
	found := foreign.FindAllString(re, -1)
	for _, f := range found {
		if f != `\x` { // two hexadecimal digits are common to both
			return false
		}
	}
	return true
}

// disjunction converts a | b | …; * marks the default.
func (c *converter) disjunction(x ast.Expr, in context) Schema {
	var alternatives []Schema
	var preset any
	found := false
	var walk func(x ast.Expr)
	walk = func(x ast.Expr) {
		switch y := x.(type) {
		case *ast.BinaryExpr:
			if y.Op == token.OR {
				walk(y.X)
				walk(y.Y)
				return
			}
		case *ast.ParenExpr:
			walk(y.X)
			return
		case *ast.UnaryExpr:
			if y.Op == token.MUL {
				if v, ok := value(y.X); ok && v != nil {
					preset, found = v, true
				}
				alternatives = append(alternatives, c.expr(y.X, in))
				return
			}
		}
		alternatives = append(alternatives, c.expr(x, in))
	}
	walk(x)
	s := either(alternatives)
	if found && len(s) > 0 && !in.quiet {
		s = both(s, Schema{"default": preset})
	}
	return s
}

func (c *converter) list(x *ast.ListLit, in context) Schema {
	s := Schema{"type": "array"}
	in.fields = nil
	fixed := len(x.Elts)
	if n := len(x.Elts); n > 0 {
		if rest, ok := x.Elts[n-1].(*ast.Ellipsis); ok {
			fixed--
			if rest.Type != nil {
				if items := c.expr(rest.Type, in); len(items) > 0 {
					s["items"] = items
				}
			}
		} else {
			s["maxItems"] = float64(n)
		}
	}
	if len(x.Elts) == 0 {
		s["maxItems"] = 0.0
	}
	if fixed > 0 {
		s["minItems"] = float64(fixed)
	}
	return s
}

// call converts the functions of CUE's standard library that the rules use.
func call(x *ast.CallExpr) Schema {
	name := ""
	switch f := x.Fun.(type) {
	case *ast.Ident:
		name = f.Name
	case *ast.SelectorExpr:
		pkg, _ := f.X.(*ast.Ident)
		sel, _, err := ast.LabelName(f.Sel)
		if pkg == nil || err != nil {
			return Schema{}
		}
		name = pkg.Name + "." + sel
	}
	keywords := map[string]Schema{
		"list.MinItems": {"type": "array", "": "minItems"}, "list.MaxItems": {"type": "array", "": "maxItems"},
		"strings.MinRunes": {"type": "string", "": "minLength"}, "strings.MaxRunes": {"type": "string", "": "maxLength"},
		"struct.MinFields": {"type": "object", "": "minProperties"}, "struct.MaxFields": {"type": "object", "": "maxProperties"},
	}
	switch s, ok := keywords[name]; {
	case name == "error":
		return never()
	case name == "list.UniqueItems":
		return Schema{"type": "array", "uniqueItems": true}
	case ok && len(x.Args) == 1:
		if n, ok := value(x.Args[0]); ok {
			return Schema{"type": s["type"], s[""].(string): n}
		}
	}
	return Schema{}
}
