package parse

import (
	"strings"
	"unicode/utf8"
)

// quote reads the scalar that begins with the quote here, and stops behind it.
func (q *quick) quote(quote byte) (text string, ok bool) {
	first := q.at + 1
	for i := first; i < len(q.text); i++ {
		switch c := q.text[i]; {
		case c == quote && (c == '"' || !q.is(i+1, quote)):
			q.at = i + 1
			return q.text[first:i], true
		case c == quote, c == '\n', c == '\\' && quote == '"':
			return q.unquote(quote, first, i)
		}
	}
	return "", false
}

// unquote reads the rest of a quoted scalar that began at first, from the first
// byte on that does not stand for itself.
func (q *quick) unquote(quote byte, first, i int) (text string, ok bool) {
	out := make([]byte, 0, i-first+64)
	out = append(out, q.text[first:i]...)
	solid := len(strings.TrimRight(q.text[first:i], " \t")) // the length of out without blanks that a line's end would drop
	for i < len(q.text) {
		switch c := q.text[i]; {
		case c == quote && quote == '\'' && q.is(i+1, quote):
			out = append(out, quote)
			i += 2
		case c == quote:
			q.at = i + 1
			return string(out), true
		case c == '\n':
			lines, next, ok := q.breaks(i)
			if !ok {
				return "", false
			}
			out, i = append(out[:solid], fold(lines-1)...), next
		case c == '\\' && quote == '"' && q.is(i+1, '\n'):
			lines, next, ok := q.breaks(i + 1)
			if !ok {
				return "", false
			}
			out, i = append(out, strings.Repeat("\n", lines-1)...), next
		case c == '\\' && quote == '"':
			r, n := q.escape(i + 1)
			if n == 0 {
				return "", false
			}
			out = utf8.AppendRune(out, r)
			i += 1 + n
		default:
			out = append(out, c)
			i++
			if c == ' ' || c == '\t' {
				continue
			}
		}
		solid = len(out)
	}
	return "", false
}

// breaks passes line ends and blanks from the line's end at an offset on, and
// returns how many lines that were and where it goes on.
func (q *quick) breaks(at int) (lines, next int, ok bool) {
	for at < len(q.text) && strings.IndexByte(" \t\n", q.text[at]) >= 0 {
		if at++; q.text[at-1] == '\n' {
			lines++
			q.line++
			q.start, q.at = at, at
			if q.marker() || q.is(at, '%') {
				return 0, 0, false
			}
		}
	}
	return lines, at, true
}

// escapes are the escape sequences of one character that quick knows.
const escapes, escaped = `nt"\/r0abvfe `, "\n\t\"\\/\r\x00\a\b\v\f\x1b "

// escape reads the n bytes of an escape sequence that follow its backslash; n is
// 0 for none that quick knows.
func (q *quick) escape(at int) (r rune, n int) {
	if at == len(q.text) {
		return 0, 0
	}
	if k := strings.IndexByte(escapes, q.text[at]); k >= 0 {
		return rune(escaped[k]), 1
	}
	digits := 0
	switch q.text[at] {
	case 'x':
		digits = 2
	case 'u':
		digits = 4
	case 'U':
		digits = 8
	}
	if digits == 0 || at+digits >= len(q.text) {
		return 0, 0
	}
	for _, c := range []byte(q.text[at+1 : at+1+digits]) {
		d := strings.IndexByte("0123456789abcdef", c|0x20)
		if d < 0 || r > utf8.MaxRune {
			return 0, 0
		}
		r = r<<4 | rune(d)
	}
	if !utf8.ValidRune(r) {
		return 0, 0
	}
	return r, 1 + digits
}
