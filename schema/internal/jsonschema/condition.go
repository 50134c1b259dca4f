package jsonschema

import (
	"reflect"
	"regexp"
	"slices"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/token"
)

// branch converts an if into if and then; nil where the condition is about
// more than fields of the same struct. fields are those of that struct.
func (c *converter) branch(b *ast.Comprehension, fields map[string]*ast.Field, in context) Schema {
	body, ok := b.Value.(*ast.StructLit)
	if !ok {
		return nil
	}
	var when []Schema
	for _, clause := range b.Clauses {
		iff, ok := clause.(*ast.IfClause)
		if !ok {
			return nil
		}
		s := c.condition(iff.Condition, fields)
		if s == nil {
			return nil
		}
		when = append(when, s)
	}
	then := c.structure(body.Elts, context{quiet: true, fields: fields})
	delete(then, "type")
	if len(then) == 0 {
		return nil
	}
	test := when[0]
	if len(when) > 1 {
		test = Schema{"allOf": when}
	}
	return Schema{"if": test, "then": then}
}

// condition returns a schema that an object satisfies only if the condition
// holds for it; nil where there is none. Where it cannot be exact it says no:
// a rule that is not applied is no false alarm.
func (c *converter) condition(x ast.Expr, fields map[string]*ast.Field) Schema {
	switch x := x.(type) {
	case *ast.ParenExpr:
		return c.condition(x.X, fields)
	case *ast.BinaryExpr:
		if x.Op == token.LAND || x.Op == token.LOR {
			a, b := c.condition(x.X, fields), c.condition(x.Y, fields)
			if a == nil || b == nil {
				return nil
			}
			keyword := "allOf"
			if x.Op == token.LOR {
				keyword = "anyOf"
			}
			return Schema{keyword: []Schema{a, b}}
		}
		id, ok := x.X.(*ast.Ident)
		if !ok || fields[id.Name] == nil {
			return nil
		}
		return c.comparison(id.Name, fields[id.Name], x.Op, x.Y)
	}
	return nil
}

// comparison converts name == value and its like. A value of null counts as
// not written, and so does "" where the field says so.
func (c *converter) comparison(name string, f *ast.Field, op token.Token, y ast.Expr) Schema {
	preset, filled := c.defaultOf(f.Value)
	if slices.Contains(c.computed, name) {
		filled = false
	}
	about := func(s Schema) Schema { return Schema{"properties": Schema{name: s}} }
	written := func(s Schema) Schema { return Schema{"required": []string{name}, "properties": Schema{name: s}} }
	if _, bottom := y.(*ast.BottomLit); bottom {
		switch {
		case f.Constraint == token.ILLEGAL:
			return nil // always there
		case op == token.EQL:
			return Schema{"not": Schema{"required": []string{name}}}
		case op == token.NEQ:
			return written(Schema{"not": Schema{"enum": []any{nil, "", 0.0}}})
		}
		return nil
	}
	v, ok := value(y)
	if !ok {
		return nil
	}
	absent := []any{nil}
	if hasAttribute(f.Attrs, "zero", "absent") {
		absent = append(absent, "")
	}
	absent = slices.DeleteFunc(absent, func(a any) bool { return a == v }) // an enum names nothing twice
	text, isText := v.(string)
	isPreset := filled && reflect.DeepEqual(preset, v)
	switch {
	case op == token.EQL && isPreset:
		return about(Schema{"enum": append(absent, v)})
	case op == token.EQL:
		return written(Schema{"enum": []any{v}})
	case op == token.NEQ && filled && !isPreset:
		return about(Schema{"not": Schema{"enum": []any{v}}})
	case op == token.NEQ:
		return written(Schema{"not": Schema{"enum": append(absent, v)}})
	case op == token.MAT && isText && portable(text):
		s := Schema{"type": "string", "pattern": text}
		re, err := regexp.Compile(text)
		if p, ok := preset.(string); err == nil && filled && ok && re.MatchString(p) {
			return about(orNull(s))
		}
		return written(s)
	}
	return nil
}

// defaultOf returns the value that a field has where it is not written; ok is
// false where it has none.
func (c *converter) defaultOf(x ast.Expr) (preset any, ok bool) {
	switch x := x.(type) {
	case *ast.ParenExpr:
		return c.defaultOf(x.X)
	case *ast.Ident:
		if f := c.names[x.Name]; f != nil && !slices.Contains(c.inside, x.Name) {
			return c.defaultOf(f.Value)
		}
	case *ast.UnaryExpr:
		if x.Op == token.MUL {
			preset, _ = value(x.X)
			return preset, true
		}
	case *ast.BinaryExpr:
		if preset, ok = c.defaultOf(x.X); !ok {
			return c.defaultOf(x.Y)
		}
		return preset, true
	}
	return nil, false
}
