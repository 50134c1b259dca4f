package parse

import (
	"strings"

	"github.com/meshc/meshc/schema/tree"
)

// blockScalar parses the literal (|) or folded (>) scalar whose indicator is
// here. Its lines stand deeper than the parent.
func (q *quick) blockScalar(parent int) *tree.Node {
	n := q.slab.node(tree.String, q.pos(q.at))
	folded := q.text[q.at] == '>'
	q.at++
	chomp := byte(0)
	if q.is(q.at, '-') || q.is(q.at, '+') {
		chomp = q.text[q.at]
		q.at++
	}
	if !q.atEnd() {
		return nil
	}
	q.at = q.lineEnd(q.at)
	empty, indent, ok := q.leading()
	if !ok || indent <= parent {
		return nil
	}
	var text []byte
	broken := false // whether a line's end is owed to text
	blank := false  // whether the last line begins with a blank
	for {
		// A line is here, at its indentation; so many were empty before it.
		blankNow := q.text[q.at] == ' ' || q.text[q.at] == '\t'
		switch {
		case broken && folded && !blank && !blankNow:
			if empty == 0 {
				text = append(text, ' ')
			}
		case broken:
			text = append(text, '\n')
		}
		for range empty {
			text = append(text, '\n')
		}
		end := q.lineEnd(q.at)
		text = append(text, q.text[q.at:end]...)
		broken, blank = end < len(q.text), blankNow
		q.at = end
		var more bool
		if empty, more, ok = q.indented(indent); !ok {
			return nil
		}
		if !more {
			break
		}
	}
	if broken && chomp != '-' {
		text = append(text, '\n')
	}
	if chomp == '+' {
		text = append(text, strings.Repeat("\n", empty)...)
	}
	n.Text = string(text)
	if q.at == len(q.text) {
		q.column = -1
		return n
	}
	if !q.seek(q.start) {
		return nil
	}
	return n
}

// leading passes the empty lines before the first line of a block scalar, from
// the end of the line above, up to its content, and returns its indentation.
func (q *quick) leading() (empty, indent int, ok bool) {
	deepest := 0
	for q.at < len(q.text) {
		q.at++
		q.line++
		q.start = q.at
		q.blanks()
		indent = q.at - q.start
		if q.at == len(q.text) {
			break
		}
		if q.text[q.at] != '\n' {
			return empty, indent, indent >= deepest
		}
		empty++
		deepest = max(deepest, indent)
	}
	return 0, 0, false
}

// indented passes empty lines from the end of a block scalar's line on. more
// says whether another of its lines follows: then it stops at its indentation,
// else at the line that does not belong to the scalar.
func (q *quick) indented(indent int) (empty int, more, ok bool) {
	for q.at < len(q.text) {
		q.at++
		q.line++
		q.start = q.at
		for q.is(q.at, ' ') && q.at-q.start < indent {
			q.at++
		}
		switch {
		case q.at == len(q.text):
			return empty, false, true
		case q.text[q.at] == '\n':
			empty++
		case q.at-q.start == indent:
			return empty, true, true
		default:
			return empty, false, q.text[q.at] != '\t'
		}
	}
	return empty, false, true
}
