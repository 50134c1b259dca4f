package parse

import (
	"bytes"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/meshc/meshc/schema/tree"
)

// quickYAML parses data if it is written in the part of YAML that nearly all
// configuration keeps to: block maps and lists, flow ones, plain, quoted and
// block scalars, comments, several documents. ok is false for everything else,
// mistakes and all that calls for a finding included; the library then has its
// say. What it does return is exactly what the library's path returns.
func quickYAML(data []byte) (docs []Document, ok bool) {
	text, isWide, ok := quickText(data)
	if !ok {
		return nil, false
	}
	q := quicks.Get().(*quick)
	defer q.release()
	q.text, q.wide, q.line = text, isWide, 1
	q.slab.lines = strings.Count(text, "\n")
	return q.documents()
}

// quicks are parsers to be used again, for what they have grown.
var quicks = sync.Pool{New: func() any { return new(quick) }}

// release lets go of what was parsed.
func (q *quick) release() {
	clear(q.fields[:cap(q.fields)])
	clear(q.items[:cap(q.items)])
	*q = quick{fields: q.fields[:0], items: q.items[:0]}
	quicks.Put(q)
}

// documents parses the documents of the text. One begins with a line of "---",
// or without one at the beginning and behind a line of "...".
func (q *quick) documents() (docs []Document, ok bool) {
	bare := true // whether a document may begin here without "---"
	if !q.seek(0) {
		return nil, false
	}
	for q.at < len(q.text) {
		if q.column < 0 {
			bare = q.text[q.at] == '.'
			q.at += len("---")
			if !q.nextLine() {
				return nil, false
			}
			if bare || q.column < 0 {
				continue // the end of a document, or an empty one
			}
		} else if !bare {
			return nil, false
		}
		bare = false
		root := q.node(-1, 0)
		if root == nil || root.Kind < tree.List || q.column >= 0 {
			return nil, false
		}
		docs = append(docs, Document{Root: root})
	}
	return docs, true
}

// What a byte may mean for the whole text.
const (
	refused  = 1 << iota // YAML does not allow it, or it is rare
	wide                 // part of a character beyond ASCII
	carriage             // "\r"
)

var meaning = func() (m [256]byte) {
	for b := range m {
		switch {
		case b >= utf8.RuneSelf:
			m[b] = wide
		case b == '\r':
			m[b] = carriage
		case b < ' ' && b != '\n' && b != '\t' || b == 0x7f:
			m[b] = refused
		}
	}
	return m
}()

// quickText returns data as the text that quick reads, with "\n" at the end of
// each line, and whether it holds more than ASCII.
func quickText(data []byte) (text string, isWide, ok bool) {
	var seen byte
	for _, b := range data {
		seen |= meaning[b]
	}
	if seen&refused != 0 || seen&wide != 0 && !quickRunes(data) || bytes.Contains(data, []byte(silenceMark)) {
		return "", false, false
	}
	if seen&carriage != 0 {
		if bytes.Count(data, []byte("\r\n")) != bytes.Count(data, []byte("\r")) {
			return "", false, false
		}
		data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	}
	if n := len(data); n > 0 && (data[n-1] == ' ' || data[n-1] == '\t') {
		return "", false, false // whether that is a line of a block scalar is a long story
	}
	return string(data), seen&wide != 0, true
}

// quickRunes reports whether data is UTF-8 without the characters that YAML
// refuses, ends lines at or takes for the mark of a byte order.
func quickRunes(data []byte) bool {
	for i := 0; i < len(data); {
		if data[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, n := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && n == 1, r < 0xa0, r == 0x2028, r == 0x2029, r == 0xfeff, r == 0xfffe, r == 0xffff:
			return false
		}
		i += n
	}
	return true
}

// quick is a parser at a place in its text. Its methods that parse return nil
// or false for what is outside its subset, and then the whole file is.
type quick struct {
	text string
	wide bool

	at     int // offset of what comes next
	line   int // its line, from 1
	start  int // offset of the line's first byte
	column int // offset in the line of what seek found; -1 at the end of a document

	comments int // how many have been passed

	// The entries of the collections that are open, the outermost first.
	fields []tree.Field
	items  []*tree.Node
	slab
}

// pos returns the place of an offset in the line.
func (q *quick) pos(at int) tree.Pos {
	column := at - q.start
	if q.wide {
		column = utf8.RuneCountInString(q.text[q.start:at])
	}
	return tree.Pos{Line: q.line, Column: column + 1}
}

// is reports whether the byte at an offset is b.
func (q *quick) is(at int, b byte) bool { return at < len(q.text) && q.text[at] == b }

// ends reports whether a word ends at an offset: at a space, a line's end or
// the text's.
func (q *quick) ends(at int) bool {
	return at >= len(q.text) || q.text[at] == ' ' || q.text[at] == '\n'
}

// blanks passes spaces.
func (q *quick) blanks() {
	for q.is(q.at, ' ') {
		q.at++
	}
}

// lineEnd returns the offset of the end of the line that an offset is in.
func (q *quick) lineEnd(at int) int {
	if n := strings.IndexByte(q.text[at:], '\n'); n >= 0 {
		return at + n
	}
	return len(q.text)
}

// atEnd reports whether nothing but a comment stands between here and the end
// of the line.
func (q *quick) atEnd() bool {
	q.blanks()
	return q.at == len(q.text) || q.text[q.at] == '\n' || q.text[q.at] == '#' && q.text[q.at-1] == ' '
}

// nextLine passes the rest of the line, where no content may stand any more,
// and seeks the next content.
func (q *quick) nextLine() bool {
	if !q.atEnd() {
		return false
	}
	if q.is(q.at, '#') {
		q.comments++
	}
	end := q.lineEnd(q.at)
	if end == len(q.text) {
		q.at, q.column = end, -1
		return true
	}
	q.line++
	return q.seek(end + 1)
}

// seek passes empty lines and comments from the line's start at an offset, up
// to the next content, the end of the document or that of the text.
func (q *quick) seek(start int) bool {
	for {
		q.start, q.at = start, start
		q.blanks()
		if q.at == len(q.text) {
			q.column = -1
			return true
		}
		switch q.text[q.at] {
		case '\t':
			return false
		case '\n':
		case '#':
			q.comments++
			if q.at = q.lineEnd(q.at); q.at == len(q.text) {
				q.column = -1
				return true
			}
		default:
			q.column = q.at - start
			if q.column == 0 && q.marker() {
				q.column = -1
			}
			return true
		}
		start = q.at + 1
		q.line++
	}
}

// marker reports whether a line that begins here begins with "---" or "...".
func (q *quick) marker() bool {
	rest := q.text[q.at:]
	return (strings.HasPrefix(rest, "---") || strings.HasPrefix(rest, "...")) && (q.ends(q.at+3) || q.is(q.at+3, '\t'))
}
