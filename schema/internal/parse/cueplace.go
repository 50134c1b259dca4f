package parse

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/token"

	"github.com/meshc/meshc/schema/diag"
)

func cueKey(path []any) string { return fmt.Sprintf("%q", path) }

// place returns where the value at path is written.
func (c *cueParser) place(v cue.Value, path []any) (cuePlace, bool) {
	if p, ok := c.places[cueKey(path)]; ok {
		return p, true
	}
	if file, pos, ok := c.pos(v.Pos()); ok {
		return cuePlace{file, pos, pos}, true
	}
	for n := len(path) - 1; n >= 0; n-- {
		if p, ok := c.places[cueKey(path[:n])]; ok {
			return p, true
		}
	}
	return cuePlace{}, false
}

// around returns where the innermost written value on the way to path is.
func (c *cueParser) around(path []string) (file int, place diag.Place) {
	place = diag.Place{Line: 1, Column: 1}
	var at []any
	for _, step := range path {
		var key any = step
		if i, err := strconv.Atoi(step); err == nil {
			key = i
		}
		at = append(at, key)
		if p, ok := c.places[cueKey(at)]; ok {
			file, place = p.file, diag.Place{Line: p.key.Line, Column: p.key.Column}
		}
	}
	return file, place
}

// ruled reports whether v comes from a rule's default and not from the user.
func (c *cueParser) ruled(v cue.Value, path []any) bool {
	_, written := c.places[cueKey(path)]
	return !written && strings.Contains(filepath.ToSlash(v.Pos().Filename()), "/cue.mod/pkg/"+CUEModule+"/")
}

// index notes where the fields and items of a file are written, for CUE's own
// values remember the rules they were unified with and not the user's line.
func (c *cueParser) index(f *ast.File) {
	file, ok := c.byPath[f.Filename]
	if !ok {
		return
	}
	i := cueIndex{c: c, file: file}
	if _, there := c.places[cueKey(nil)]; !there && len(f.Decls) > 0 {
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
				if code, is := silenceCode(comment.Text); is && ok {
					_, pos, _ := c.pos(comment.Pos())
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
	_, k, ok := i.c.pos(key)
	_, v, _ := i.c.pos(value)
	if _, there := i.c.places[cueKey(path)]; ok && !there {
		i.c.places[cueKey(path)] = cuePlace{i.file, k, v}
	}
}
