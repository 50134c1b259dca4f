package plan

import (
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/token"
)

// structure compiles a struct literal.
func (c *compiler) structure(x *ast.StructLit, at context) (*structure, error) {
	s := &structure{closed: at.closed, also: at.also}
	c.structures = append(c.structures, s)
	in := &scope{parent: at.scope, names: map[string]*ast.Field{}}
	if err := c.declare(x.Elts, in, s.known()); err != nil {
		return nil, err
	}
	if err := c.declarations(x.Elts, in, s, at, nil); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *structure) known() map[string]bool {
	if s.names == nil {
		s.names = map[string]bool{}
	}
	return s.names
}

// declare enters the names that decls bind, before any of them is compiled.
// Fields also go to known.
func (c *compiler) declare(decls []ast.Decl, in *scope, known map[string]bool) error {
	for _, d := range decls {
		switch d := d.(type) {
		case *ast.Field:
			if _, isPattern := d.Label.(*ast.ListLit); isPattern {
				continue
			}
			name, isIdent, err := ast.LabelName(d.Label)
			if _, isAlias := d.Label.(*ast.Alias); err != nil || isAlias || d.Alias != nil {
				return c.errorf(d, "unknown construct: the label %s", c.source(d.Label))
			}
			if isIdent && name[0] == '#' {
				return c.errorf(d, "unknown construct: a definition inside a struct")
			}
			if isIdent {
				in.names[name] = d
			}
			if !isIdent || !hidden(name) {
				known[name] = true
			}
		case *ast.LetClause:
			return c.errorf(d, "unknown construct: let; use a hidden field")
		case *ast.EmbedDecl:
			// A literal that is embedded merely adds its declarations.
			if lit, ok := unparen(d.Expr).(*ast.StructLit); ok {
				if err := c.declare(lit.Elts, in, known); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// declarations compiles decls into s. outside holds the names that an enclosing
// if-less struct declares, for a body of an if.
func (c *compiler) declarations(decls []ast.Decl, in *scope, s *structure, at context, outside map[string]bool) error {
	type planned struct {
		item
		needs    map[string]bool
		provides []string
	}
	var plans []planned
	node := in.node()
	seen := map[string]bool{}
	for _, d := range decls {
		enclosing := node.needs
		node.needs = map[string]bool{}
		var it item
		var provides []string
		var err error
		switch d := d.(type) {
		case *ast.Field:
			if pat, isPattern := d.Label.(*ast.ListLit); isPattern {
				it, err = c.pattern(pat, d, in, s, at)
				break
			}
			name, isIdent, _ := ast.LabelName(d.Label)
			if isIdent && hidden(name) {
				break // compiled where it is referred to
			}
			it, err = c.field(name, d, in, at, !outside[name] && !seen[name])
			seen[name] = true
			provides = []string{name}
		case *ast.Comprehension:
			it, provides, err = c.when(d, in, s, at)
		case *ast.EmbedDecl:
			if lit, ok := unparen(d.Expr).(*ast.StructLit); ok {
				err = c.declarations(lit.Elts, in, s, at, outside)
				break
			}
			it, err = c.embed(d.Expr, in, s, at)
		case *ast.Ellipsis:
			if d.Type != nil {
				err = c.errorf(d, "unknown construct: a type after ...")
			}
			s.open = true
		case *ast.Attribute:
			var attrs attributes
			attrs, err = c.attributes([]*ast.Attribute{d})
			if attrs.nullAbsent {
				err = c.errorf(d, "@null belongs behind a definition")
			}
			if attrs.rule != nil {
				at.rule = attrs.rule // of the embedded declarations that follow
			}
			s.checks = append(s.checks, attrs.checks...)
		case *ast.CommentGroup:
		default:
			err = c.errorf(d, "unknown construct: %s", c.source(d))
		}
		if err != nil {
			return err
		}
		if it != nil {
			plans = append(plans, planned{it, node.needs, provides})
		}
		for name := range node.needs {
			if enclosing != nil {
				enclosing[name] = true
			}
		}
		node.needs = enclosing
	}

	// What provides a field comes before what needs it; else the order written.
	done := make([]bool, len(plans))
	var visit func(i int)
	visit = func(i int) {
		if done[i] {
			return
		}
		done[i] = true
		for j, p := range plans {
			for _, name := range p.provides {
				if j != i && plans[i].needs[name] {
					visit(j)
				}
			}
		}
		it := entry{plans[i].item, anyKey}
		f, ok := it.item.(*field)
		if ok && f.presence == optional && f.seen == nil {
			it.bit = f.bit
		}
		s.items = append(s.items, it)
		if ok && (f.presence != optional && !f.isAlways() || len(f.checks) > 0) {
			s.finishing = append(s.finishing, f)
		}
	}
	for i := range plans {
		visit(i)
	}
	return nil
}

func (c *compiler) field(name string, d *ast.Field, in *scope, at context, first bool) (*field, error) {
	attrs, err := c.attributes(d.Attrs)
	if err != nil {
		return nil, err
	}
	if attrs.nullAbsent {
		return nil, c.errorf(d, "@null belongs behind a definition")
	}
	value, err := c.constraint(d.Value, context{scope: in, rule: attrs.rule, closed: first && at.closed})
	if err != nil {
		return nil, err
	}
	f := &field{name: name, bit: keyBit(name), value: value, attributes: attrs, seen: c.tally(d, "written")}
	switch d.Constraint {
	case token.OPTION:
		f.presence = optional
	case token.NOT:
		f.presence = required
	}
	return f, nil
}

func (c *compiler) pattern(label *ast.ListLit, d *ast.Field, in *scope, s *structure, at context) (*pattern, error) {
	if len(label.Elts) != 1 {
		return nil, c.errorf(d, "unknown construct: the label %s", c.source(label))
	}
	attrs, err := c.attributes(d.Attrs)
	if err != nil {
		return nil, err
	}
	key, err := c.constraint(label.Elts[0], context{scope: c.file})
	if err != nil {
		return nil, err
	}
	k, ok := key.(scalar)
	if !ok {
		return nil, c.errorf(label, "unknown construct: the label %s", c.source(label))
	}
	value, err := c.constraint(d.Value, context{scope: in, rule: attrs.rule, below: true, closed: at.closed})
	if err != nil {
		return nil, err
	}
	p := &pattern{key: k, value: value, of: s, attributes: attrs, seen: c.tally(d, "key")}
	s.patterns = append(s.patterns, p)
	return p, nil
}

// when compiles if COND { … }, and lists the fields that its body declares.
func (c *compiler) when(x *ast.Comprehension, in *scope, s *structure, at context) (*when, []string, error) {
	w := &when{body: &structure{owner: s}, seen: c.tally(x, "if")}
	for _, clause := range x.Clauses {
		i, ok := clause.(*ast.IfClause)
		if !ok {
			return nil, nil, c.errorf(x, "unknown construct: a comprehension other than if")
		}
		cond, err := c.expr(i.Condition, in)
		if err != nil {
			return nil, nil, err
		}
		w.conditions = append(w.conditions, cond)
	}
	lit, ok := x.Value.(*ast.StructLit)
	if !ok || x.Fallback != nil {
		return nil, nil, c.errorf(x, "unknown construct: %s", c.source(x))
	}
	inner := &scope{parent: in, sameNode: true, names: map[string]*ast.Field{}}
	if err := c.declare(lit.Elts, inner, w.body.known()); err != nil {
		return nil, nil, err
	}
	outside := map[string]bool{}
	for name := range s.names {
		outside[name] = true
	}
	for _, e := range s.embedded {
		if known := structureOf(e); known != nil {
			for _, name := range known.allNames(nil) {
				outside[name] = true
			}
		}
	}
	if err := c.declarations(lit.Elts, inner, w.body, at, outside); err != nil {
		return nil, nil, err
	}
	s.whens = append(s.whens, w)
	return w, w.body.allNames(nil), nil
}

// embed compiles an expression that stands as a declaration.
func (c *compiler) embed(x ast.Expr, in *scope, s *structure, at context) (item, error) {
	inner := context{scope: in, rule: at.rule, closed: at.closed, also: []*structure{s}}
	if id, ok := unparen(x).(*ast.Ident); ok && c.isChoice(id) {
		// In place, for its arms are closed together with s.
		x, inner.scope = c.file.names[id.Name].Value, c.file
	}
	if c.isChoice(x) {
		s.closed = false // only the arms know what belongs
	}
	p, err := c.constraint(x, inner)
	if err != nil {
		return nil, err
	}
	switch p.(type) {
	case *bottom:
	case *definition:
		s.embedded = append(s.embedded, p)
	case *disj:
	default:
		return nil, c.errorf(x, "unknown construct: embedding %s", c.source(x))
	}
	return embed{p}, nil
}

// isChoice reports whether x is a disjunction, perhaps by the name of one.
func (c *compiler) isChoice(x ast.Expr) bool {
	switch x := unparen(x).(type) {
	case *ast.BinaryExpr:
		return x.Op == token.OR
	case *ast.Ident:
		f := c.file.names[x.Name]
		return f != nil && c.isChoice(f.Value)
	}
	return false
}
