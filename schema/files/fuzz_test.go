package files

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/meshc/meshc/schema/diag"
)

// Whatever an ignore file says, asking it ends; and a plain name means itself.
func FuzzIgnore(f *testing.F) {
	for _, seed := range []string{"a", "/a/", "!a\n*.yaml", "**/a/**/b", "[!]a-z]", "[[:alpha:]", "\\", "a\\ ", "#", "[a\\", "[^", "**/**/**", "[[:", "a//b"} {
		f.Add([]byte(seed), "d/a.yaml")
	}
	f.Fuzz(func(t *testing.T, data []byte, path string) {
		segments := strings.Split(path, "/")
		parseIgnore(data).match(segments, false)
		line, _, _ := strings.Cut(string(data), "\n")
		if line == "" || strings.ContainsAny(line, "*?[]\\!#/ \r\n") || !utf8.ValidString(line) {
			return
		}
		if ignored, decided := parseIgnore([]byte(line)).match([]string{"d", line}, false); !ignored || !decided {
			t.Errorf("the rule %q does not match its own name", line)
		}
	})
}

// What is taken for text is text; what is not has a place inside the file.
func FuzzText(f *testing.F) {
	for _, seed := range []string{"", "a", "\ufeffa", "\xff\xfea", "a\x00", "a\nb\xe9c", "\xed\xa0\x80", "\xef\xbb", "\ufeff\ufeff", "\ufffd"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		text, p := checkText(data)
		isText := utf8.Valid(text) && bytes.IndexByte(text, 0) < 0
		switch {
		case p.code == "" && !isText:
			t.Errorf("%q is taken for text", text)
		case p.code != "" && isText && !bytes.HasPrefix(text, []byte("\x00")):
			t.Errorf("%q is refused: %s", text, p.message)
		case p.code != "" && (p.code != diag.CodeNotUTF8 || p.line < 1 || p.line > 1+bytes.Count(data, []byte("\n")) || p.column < 1 || p.column > 1+len(data)):
			t.Errorf("place %d:%d, code %s", p.line, p.column, p.code)
		}
	})
}
