// Package parse turns the bytes of input files into trees of values with
// places. Three formats become one form; what the values mean is for others.
package parse

import (
	"fmt"
	"sort"
	"unicode/utf8"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// The limits on one document, which no document that means something reaches.
const (
	maxDepth = 100     // maps and lists inside one another
	maxAlias = 100_000 // values that aliases and merge keys add to what is written
)

// Document is one document as written.
type Document struct {
	Root *tree.Node
	// Problems are findings about how the document is written, in the order of
	// their places; the caller drops those that lie in what it leaves out.
	// Their File is empty.
	Problems []diag.Diagnostic
	// Silences are the "meshc:ignore" comments.
	Silences []Silence
}

// Silence is a comment that silences warnings: "meshc:ignore MC0123 reason".
type Silence struct {
	Code string // as written, perhaps not a code at all
	Pos  tree.Pos
	// Near is the place of the value that the comment belongs to.
	Near tree.Pos
}

// lines finds the line and column of a byte offset. It is quick where offsets
// are asked for in rising order, however long the lines are.
type lines struct {
	data   []byte
	starts []int // offsets of the first bytes of the lines after the first

	lastOffset int // where last is; both are of one line's start or later
	last       tree.Pos
}

func newLines(data []byte) *lines {
	l := &lines{data: data, last: tree.Pos{Line: 1, Column: 1}}
	for i, b := range data {
		if b == '\n' {
			l.starts = append(l.starts, i+1)
		}
	}
	return l
}

// pos returns the place of the character at offset; an offset past the end is
// the end.
func (l *lines) pos(offset int) tree.Pos {
	offset = min(max(offset, 0), len(l.data))
	line := sort.SearchInts(l.starts, offset+1)
	if line+1 != l.last.Line || offset < l.lastOffset {
		l.lastOffset, l.last = 0, tree.Pos{Line: line + 1, Column: 1}
		if line > 0 {
			l.lastOffset = l.starts[line-1]
		}
	}
	l.last.Column += utf8.RuneCount(l.data[l.lastOffset:offset])
	l.lastOffset = offset
	return l.last
}

// line returns line n, counted from 1, without its end; "" where there is none.
func (l *lines) line(n int) string {
	if n < 1 || n > len(l.starts)+1 {
		return ""
	}
	start, end := 0, len(l.data)
	if n > 1 {
		start = l.starts[n-2]
	}
	if n <= len(l.starts) {
		end = l.starts[n-1] - 1
	}
	return string(l.data[start:end])
}

func problem(severity diag.Severity, code string, pos tree.Pos, path []any, message, hint string) diag.Diagnostic {
	return diag.Diagnostic{
		Code: code, Severity: severity, Path: diag.Path(path...),
		Place:   diag.Place{Line: pos.Line, Column: pos.Column},
		Message: message, Hint: hint,
	}
}

func duplicateKey(pos, first tree.Pos, path []any, key string) diag.Diagnostic {
	d := problem(diag.Error, diag.CodeDuplicateKey, pos, path,
		fmt.Sprintf("the key %q is here twice", key), "keep one of the two")
	d.Related = []diag.Related{{
		Place:   diag.Place{Line: first.Line, Column: first.Column},
		Message: "the first one",
	}}
	return d
}

func tooDeep(pos tree.Pos, path []any) diag.Diagnostic {
	return problem(diag.Error, diag.CodeTooDeep, pos, path,
		fmt.Sprintf("maps and lists are nested more than %d deep", maxDepth), "")
}
