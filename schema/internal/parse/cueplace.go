package parse

import (
	"fmt"
	"slices"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/token"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// cuePlace is where something is written.
type cuePlace struct {
	file       int // index into the files given, or outside
	key, value tree.Pos
}

// outside is the file of what is part of an instance but not of the files given:
// it is written in a directory above, or ignored.
const outside = -1

func cueKey(path []any) string { return fmt.Sprintf("%q", path) }

// place returns where the value at path is written.
func (c *cueParser) place(v cue.Value, path []any) (cuePlace, bool) {
	if p, ok := c.places[cueKey(path)]; ok {
		return p, true
	}
	if file, pos, ok := c.pos(v.Pos()); ok {
		return cuePlace{file, pos, pos}, true
	}
	if file, ok := c.byPath[v.Pos().Filename()]; ok && !c.touched(v) {
		return cuePlace{file: file}, true
	}
	for n := len(path) - 1; n >= 0; n-- {
		if p, ok := c.places[cueKey(path[:n])]; ok {
			return p, true
		}
	}
	return cuePlace{}, false
}

// touched reports whether any part of v is written in one of the files given:
// v itself may have the place of a template elsewhere.
func (c *cueParser) touched(v cue.Value) (is bool) {
	v.Walk(func(v cue.Value) bool {
		_, _, here := c.pos(v.Pos())
		is = is || here
		return !is
	}, nil)
	return is
}

// around returns where the innermost value on the way to path is written that
// stands in one of the files given.
func (c *cueParser) around(path []any) (file int, place diag.Place, ok bool) {
	for n := len(path); n > 0 && !ok; n-- {
		if p, there := c.places[cueKey(path[:n])]; there && p.file != outside {
			file, place, ok = p.file, diag.Place{Line: p.key.Line, Column: p.key.Column}, true
		}
	}
	return file, place, ok
}

// pos translates a place of CUE's, whose columns count bytes, in one of the
// files given.
func (c *cueParser) pos(p token.Pos) (file int, pos tree.Pos, ok bool) {
	if !p.IsValid() {
		return 0, tree.Pos{}, false
	}
	file, ok = c.byPath[p.Filename()]
	if !ok || file == outside {
		return 0, tree.Pos{}, false
	}
	return file, c.lines[file].pos(p.Offset()), true
}

// other returns a place of CUE's in any other file.
func (c *cueParser) other(p token.Pos) diag.Place {
	return diag.Place{File: c.relative(p.Filename()), Line: p.Line(), Column: p.Column()}
}

// ruled reports whether v comes from a rule's default and not from the user.
func (c *cueParser) ruled(v cue.Value, path []any) bool {
	_, written := c.places[cueKey(path)]
	return !written && isRule(v.Pos())
}

// index notes where the fields and items of a file are written, for CUE's own
// values remember the rules they were unified with and not the user's line.
func (c *cueParser) index(f *ast.File) {
	file, ok := c.byPath[f.Filename]
	if !ok {
		file, c.byPath[f.Filename] = outside, outside
	}
	i := cueIndex{c: c, file: file}
	if _, there := c.places[cueKey(nil)]; !there && file != outside && len(f.Decls) > 0 {
		first := f.Decls[0]
		for _, d := range f.Decls {
			if _, ok := d.(*ast.Field); ok {
				first = d
				break
			}
		}
		_, pos, _ := c.pos(first.Pos())
		c.places[cueKey(nil)] = cuePlace{file, pos, pos}
	}
	i.decls(f.Decls, nil)
	ast.Walk(f, func(n ast.Node) bool {
		_, near, ok := c.pos(n.Pos())
		for _, g := range ast.Comments(n) {
			for _, comment := range g.List {
				codes, is := silenceCodes(comment.Text)
				if !is || !ok {
					continue
				}
				_, pos, _ := c.pos(comment.Pos())
				for _, code := range codes {
					c.silences = append(c.silences, cueSilence{Silence{code, pos, near}, file})
				}
			}
		}
		return true
	}, nil)
}

type cueIndex struct {
	c    *cueParser
	file int
}

func (i cueIndex) decls(decls []ast.Decl, path []any) {
	for _, d := range decls {
		switch d := d.(type) {
		case *ast.Field:
			name, ident, err := ast.LabelName(d.Label)
			if err != nil || ident && strings.ContainsAny(name[:1], "_#") {
				continue
			}
			if len(path) == 0 && !slices.Contains(i.c.fields, name) {
				i.c.fields = append(i.c.fields, name)
			}
			at := append(slices.Clone(path), name)
			i.note(at, d.Label.Pos(), d.Value.Pos())
			i.expr(d.Value, at)
		case *ast.EmbedDecl:
			i.expr(d.Expr, path)
		case *ast.Comprehension:
			i.expr(d.Value, path)
		}
	}
}

func (i cueIndex) expr(e ast.Expr, path []any) {
	switch e := e.(type) {
	case *ast.StructLit:
		i.decls(e.Elts, path)
	case *ast.ParenExpr:
		i.expr(e.X, path)
	case *ast.BinaryExpr:
		if e.Op == token.AND {
			i.expr(e.X, path)
			i.expr(e.Y, path)
		}
	case *ast.ListLit:
		for n, item := range e.Elts {
			switch item.(type) {
			case *ast.Ellipsis, *ast.Comprehension:
				return // from here on the positions are not the items'
			}
			at := append(slices.Clone(path), n)
			i.note(at, item.Pos(), item.Pos())
			i.expr(item, at)
		}
	}
}

func (i cueIndex) note(path []any, key, value token.Pos) {
	i.c.parents[cueKey(path[:len(path)-1])] = true
	p := cuePlace{file: i.file}
	_, p.key, _ = i.c.pos(key)
	_, p.value, _ = i.c.pos(value)
	if before, there := i.c.places[cueKey(path)]; !there || before.file == outside {
		i.c.places[cueKey(path)] = p
	}
}
