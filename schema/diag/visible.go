package diag

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// visible returns s with everything that would move the cursor, end the line,
// change colours or reorder text written out: \n, \x1b, \u202e. What users
// write in their files ends up in messages, and so on other people's terminals.
func visible(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !harmless(r) }) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		b.WriteString(visibleRune(r, s[:n]))
		s = s[n:]
	}
	return b.String()
}

// visibleRune returns what stands for r, which was read from raw.
func visibleRune(r rune, raw string) string {
	switch {
	case r == utf8.RuneError && len(raw) == 1:
		return fmt.Sprintf(`\x%02x`, raw[0])
	case harmless(r):
		return raw
	case r == '\n':
		return `\n`
	case r == '\r':
		return `\r`
	case r == '\t':
		return `\t`
	case r < 0x80:
		return fmt.Sprintf(`\x%02x`, r)
	case r < 0x10000:
		return fmt.Sprintf(`\u%04x`, r)
	}
	return fmt.Sprintf(`\U%08x`, r)
}

// harmless reports whether r may be written as it is: letters, marks, numbers,
// punctuation, symbols and the blanks that stay on the line.
func harmless(r rune) bool { return r != utf8.RuneError && unicode.IsGraphic(r) }
