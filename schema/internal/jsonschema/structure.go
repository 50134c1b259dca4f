package jsonschema

import (
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/token"
)

// structure converts the declarations of a struct.
func (c *converter) structure(decls []ast.Decl, in context) Schema {
	s := Schema{"type": "object"}
	fields := map[string]*ast.Field{}
	for name, f := range in.fields { // a branch sees what it adds to
		fields[name] = f
	}
	inner := context{closed: in.closed, quiet: in.quiet}
	open := !in.closed
	var branches []*ast.Comprehension
	for _, d := range decls {
		switch d := d.(type) {
		case *ast.Field:
			if named, ok := fieldName(d); ok {
				f, there := fields[named]
				if !there {
					fields[named] = d
				}
				s = both(s, c.field(named, d, f, inner))
				continue
			}
			s = both(s, c.pattern(d, inner))
			if isAnyKey(d) {
				open = true
			}
		case *ast.EmbedDecl:
			embedded := c.expr(d.Expr, inner)
			if embedded["additionalProperties"] == false {
				delete(embedded, "additionalProperties")
			} else if embedded["additionalProperties"] != nil {
				open = true
			}
			s = both(s, embedded)
		case *ast.Ellipsis:
			open = true
		case *ast.Comprehension:
			branches = append(branches, d)
		}
	}
	for _, b := range branches {
		if branch := c.branch(b, fields, inner); branch != nil {
			s["allOf"] = append(all(s), branch)
		}
		s = mention(s, b)
	}
	if _, decided := s["additionalProperties"]; !open && !decided && in.fields == nil {
		s["additionalProperties"] = false
	}
	return s
}

// fieldName returns the name of a field of the document; ok is false for a
// pattern. Hidden fields and definitions have the name "".
func fieldName(d *ast.Field) (name string, ok bool) {
	if _, isPattern := d.Label.(*ast.ListLit); isPattern {
		return "", false
	}
	name, isIdent, err := ast.LabelName(d.Label)
	if err != nil || isIdent && (strings.HasPrefix(name, "_") || strings.HasPrefix(name, "#")) {
		return "", true
	}
	return name, true
}

// field converts one field to the schema of an object that has it. before is
// what was said about the field earlier; nil if nothing was.
func (c *converter) field(name string, d, before *ast.Field, in context) Schema {
	if name == "" {
		return Schema{}
	}
	v := c.expr(d.Value, in)
	if hasAttribute(d.Attrs, "zero", "absent") && d.Constraint != token.NOT {
		v = orZero(v)
	}
	if !in.quiet {
		v = described(v, documentation(d), d.Attrs)
	}
	s := Schema{"type": "object", "properties": Schema{name: v}}
	if d.Constraint == token.NOT || d.Constraint != token.OPTION && c.mustBeWritten(d, before, v) {
		s["required"] = []string{name}
	}
	return s
}

// mustBeWritten reports whether a field that is neither optional nor required
// has to be in the document: where CUE cannot fill it in.
func (c *converter) mustBeWritten(d, before *ast.Field, s Schema) bool {
	if before != nil {
		if _, filled := c.defaultOf(before.Value); filled {
			return false
		}
	}
	_, filled := c.defaultOf(d.Value)
	if _, concrete := value(d.Value); concrete || filled || len(s) == 0 {
		return false
	}
	if s["type"] == "object" {
		return s["required"] != nil
	}
	return s["type"] != nil || s["enum"] != nil || s["anyOf"] != nil
}

// orZero lets "" or 0 through, which count as not written.
func orZero(s Schema) Schema {
	var zero any
	switch t, _ := s["type"].(string); {
	case t == "string":
		zero = ""
	case t == "integer", t == "number":
		zero = 0.0
	default:
		return s // an enumeration says itself whether it takes ""
	}
	if plainly(s, zero) {
		return s
	}
	return Schema{"anyOf": []Schema{s, {"enum": []any{zero}}}}
}

// pattern converts [pattern]: value.
func (c *converter) pattern(d *ast.Field, in context) Schema {
	label := d.Label.(*ast.ListLit)
	if len(label.Elts) != 1 {
		return Schema{}
	}
	v := c.expr(d.Value, in)
	if !in.quiet {
		v = described(v, documentation(d), d.Attrs)
	}
	if isAnyKey(d) {
		if len(v) == 0 {
			return Schema{"type": "object"}
		}
		return Schema{"type": "object", "additionalProperties": v}
	}
	u, ok := label.Elts[0].(*ast.UnaryExpr)
	if !ok {
		return Schema{}
	}
	re, _ := value(u.X)
	text, isString := re.(string)
	switch {
	case !isString || !portable(text):
		return Schema{}
	case isNever(v) && u.Op == token.NMAT:
		return Schema{"type": "object", "propertyNames": Schema{"pattern": text}}
	case isNever(v) && u.Op == token.MAT:
		return Schema{"type": "object", "propertyNames": Schema{"not": Schema{"pattern": text}}}
	case u.Op == token.MAT:
		return Schema{"type": "object", "patternProperties": Schema{text: v}}
	}
	return Schema{}
}

// isAnyKey reports whether d is [string]: value.
func isAnyKey(d *ast.Field) bool {
	label, ok := d.Label.(*ast.ListLit)
	if !ok || len(label.Elts) != 1 {
		return false
	}
	id, ok := label.Elts[0].(*ast.Ident)
	return ok && id.Name == "string"
}

// mention adds to the properties of s what the branch b may add, so that a
// closed object does not refuse it.
func mention(s Schema, b *ast.Comprehension) Schema {
	body, ok := b.Value.(*ast.StructLit)
	if !ok {
		return s
	}
	for _, d := range body.Elts {
		switch d := d.(type) {
		case *ast.Field:
			if name, ok := fieldName(d); ok && name != "" {
				s = both(s, Schema{"properties": Schema{name: Schema{}}})
			}
		case *ast.Comprehension:
			s = mention(s, d)
		}
	}
	return s
}
