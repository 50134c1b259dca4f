package parse

import (
	"strings"

	"github.com/meshc/meshc/schema/tree"
)

// word is a scalar, or the first line of a plain one.
type word struct {
	text   string
	pos    tree.Pos
	column int // offset of its first byte in the line
	quoted bool
}

// word reads the scalar that begins here, a plain one as far as it is in this
// line. In flow a plain one ends at commas and brackets, too.
func (q *quick) word(flow bool) (w word, ok bool) {
	w.pos, w.column = q.pos(q.at), q.at-q.start
	switch c := q.text[q.at]; c {
	case '\'', '"':
		w.quoted = true
		w.text, ok = q.quote(c)
		return w, ok
	case '?', ',', '[', ']', '{', '}', '#', '&', '*', '!', '|', '>', '%', '@', '`', '\t':
		return w, false
	case ':':
		if flow {
			return w, false
		}
	case '-':
		if next := q.at + 1; q.ends(next) || flow && strings.IndexByte(",[]{}", q.text[next]) >= 0 {
			return w, false
		}
	}
	w.text, ok = q.plainLine(flow)
	return w, ok && w.text != ""
}

// colon reports whether w is a key of a block map: whether a colon follows in
// its line. Then it passes the colon.
func (q *quick) colon(w word) bool {
	at := q.at
	for q.is(at, ' ') {
		at++
	}
	if !q.is(at, ':') || !q.ends(at+1) || q.line != w.pos.Line {
		return false
	}
	q.at = at + 1
	return true
}

// plainLine reads a plain scalar up to the end of the line, a comment, a colon
// that ends a key or, in flow, an indicator. The blanks at its end are not its own.
func (q *quick) plainLine(flow bool) (text string, ok bool) {
	first, last := q.at, q.at // last is behind the last byte that is no blank
	i := q.at
scan:
	for ; i < len(q.text); i++ {
		switch c := q.text[i]; c {
		case '\n':
			break scan
		case '\t':
			return "", false
		case ' ':
			continue
		case ':':
			if q.ends(i + 1) {
				break scan
			}
			if q.text[i+1] == '\t' || flow && strings.IndexByte(",[]{}", q.text[i+1]) >= 0 {
				return "", false
			}
		case '#':
			if q.text[i-1] == ' ' {
				break scan
			}
		case ',', '[', ']', '{', '}':
			if flow {
				break scan
			}
		}
		last = i + 1
	}
	q.at = last
	return q.text[first:last], true
}

// scalar makes a node of a word that is no key. A plain one goes on in the
// lines below that stand deeper than the parent.
func (q *quick) scalar(w word, parent int) *tree.Node {
	if w.quoted {
		if !q.nextLine() {
			return nil
		}
		n := q.slab.node(tree.String, w.pos)
		n.Text = w.text
		return n
	}
	text := w.text
	for more := true; more; {
		line, comments := q.line, q.comments
		if !q.nextLine() {
			return nil
		}
		if more = q.column > parent; !more {
			break
		}
		if q.comments > comments { // a comment ends the scalar
			return nil
		}
		rest, ok := q.plainLine(false)
		if !ok || rest == "" {
			return nil
		}
		text += fold(q.line-line-1) + rest
	}
	return q.plain(text, w.pos)
}

// fold returns what stands for a line break and empty lines after it.
func fold(empty int) string {
	if empty == 0 {
		return " "
	}
	return strings.Repeat("\n", empty)
}

// plain makes a node of the text of a plain scalar.
func (q *quick) plain(text string, pos tree.Pos) *tree.Node {
	kind, value, t, ok := plain(text)
	if t != nil || !ok {
		return nil
	}
	n := q.slab.node(kind, pos)
	n.Text = value
	return n
}
