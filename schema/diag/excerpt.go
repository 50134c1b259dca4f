package diag

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

const (
	excerptWidth = 100 // columns of a terminal that an excerpt takes at most
	tabWidth     = 4   // how far apart tab stops are shown
)

// source is one file, split into lines when the first excerpt is asked for.
type source struct {
	data  []byte
	lines [][]byte
	// The place found last, where the search for the next one begins: findings
	// come in order, and a file may be one line of many megabytes.
	line, column, offset int
	// The line looked at last for secrets, and how much of it may be shown.
	checked, harmless int
	// hide tells which keys of the lines from, up to but not to, hide their values.
	hide     func(key string) bool
	from, to int
}

// newSource returns file as o gives it; nil where it gives none.
func newSource(o Options, file string) *source {
	if o.Source == nil || file == "" {
		return nil
	}
	if data := o.Source(file); data != nil {
		return &source{data: data}
	}
	return nil
}

// find returns a line and the offset in it of a column, which may be one past
// the end; false where there is no such place.
func (s *source) find(line, column int) (text []byte, offset int, ok bool) {
	if s.lines == nil {
		s.lines = bytes.Split(bytes.TrimPrefix(s.data, []byte("\uFEFF")), []byte("\n"))
	}
	if line < 1 || line > len(s.lines) || column < 1 {
		return nil, 0, false
	}
	text = bytes.TrimSuffix(s.lines[line-1], []byte("\r"))
	if line != s.line || column < s.column {
		s.line, s.column, s.offset = line, 1, 0
	}
	for s.column < column {
		if s.offset == len(text) {
			return nil, 0, false
		}
		_, n := utf8.DecodeRune(text[s.offset:])
		s.offset += n
		s.column++
	}
	return text, s.offset, true
}

// excerpt returns a line as a terminal shows it, and below it a caret at the
// column, which counts characters from 1. A line that is too long is cut on
// both sides of the caret. It is false where the file has no such place, which
// is so when it changed since it was read.
func (s *source) excerpt(line, column int) (text, caret string, ok bool) {
	if s == nil {
		return "", "", false
	}
	raw, offset, ok := s.find(line, column)
	if !ok {
		return "", "", false
	}
	if line != s.checked {
		hide, before := s.hiding(line)
		s.checked, s.harmless = line, secretFrom(before, raw, hide)
	}
	hidden := s.harmless < len(raw)
	raw, offset = raw[:s.harmless], min(offset, s.harmless)
	start, end := offset, offset
	caretCell := 0
	for ; start > 0 && caretCell < excerptWidth; caretCell++ {
		_, n := utf8.DecodeLastRune(raw[:start])
		start -= n
	}
	for n := 0; end < len(raw) && n < excerptWidth; n++ {
		_, size := utf8.DecodeRune(raw[end:])
		end += size
	}
	cells := layOut(raw[start:end])
	first, last := 0, len(cells)
	if start > 0 || end < len(raw) || columns(cells) > excerptWidth {
		first, last = window(cells, caretCell)
	}
	var b strings.Builder
	at := 0
	if start > 0 || first > 0 {
		b.WriteString("…")
		at = 1
	}
	for _, c := range cells[first:last] {
		b.WriteString(c.text)
	}
	at += columns(cells[first:caretCell])
	switch {
	case last < len(cells) || end < len(raw):
		b.WriteString("…")
	case hidden:
		b.WriteString("[redacted]")
	}
	return strings.TrimRight(b.String(), " "), strings.Repeat(" ", at) + "^", true
}

// cell is what a terminal shows for one character, and how many columns wide.
type cell struct {
	text  string
	width int
}

// layOut returns the cells of a line, one for each character: tabs are blanks,
// and what is not harmless is escaped.
func layOut(line []byte) []cell {
	cells := make([]cell, 0, len(line))
	at := 0
	for len(line) > 0 {
		r, n := utf8.DecodeRune(line)
		c := cell{text: string(line[:n]), width: 1}
		switch {
		case r == '\t':
			c.width = tabWidth - at%tabWidth
			c.text = strings.Repeat(" ", c.width)
		case !harmless(r):
			c.text = visibleRune(r, c.text)
			c.width = len(c.text)
		case unicode.In(r, unicode.Mn, unicode.Me):
			c.width = 0 // drawn on the character before it
		case wide(r):
			c.width = 2
		}
		cells = append(cells, c)
		at += c.width
		line = line[n:]
	}
	return cells
}

// wide reports whether a terminal takes two columns for r.
func wide(r rune) bool {
	k := width.LookupRune(r).Kind()
	return k == width.EastAsianWide || k == width.EastAsianFullwidth
}

// columns returns how wide cells are together.
func columns(cells []cell) int {
	n := 0
	for _, c := range cells {
		n += c.width
	}
	return n
}

// window returns the range of cells that fits around the one at caret, which
// may be one past the end, with an ellipsis on both sides.
func window(cells []cell, caret int) (first, last int) {
	const room = excerptWidth - 2
	first, last = caret, caret
	used := 0
	// To the left until half the room is used, then to the right, then to the
	// left again where the line ended early.
	for first > 0 && used+cells[first-1].width <= room/2 {
		first--
		used += cells[first].width
	}
	for last < len(cells) && used+cells[last].width <= room {
		used += cells[last].width
		last++
	}
	for first > 0 && used+cells[first-1].width <= room {
		first--
		used += cells[first].width
	}
	// A mark belongs to the character before it.
	for first > 0 && first < caret && cells[first].width == 0 {
		first++
	}
	return first, last
}
