package jsonschema

import (
	"maps"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"cuelang.org/go/cue/ast"
)

// documentation returns the comments of a field as one text: the one above it,
// then the one at its end.
func documentation(f *ast.Field) string {
	var parts []string
	for _, group := range ast.Comments(f) {
		if group.Doc || group.Line {
			if text := strings.TrimSpace(group.Text()); text != "" {
				parts = append(parts, text)
			}
		}
	}
	text := strings.Join(parts, "\n")
	return ruleName.ReplaceAllString(text, "")
}

// ruleName is how the comment of a named rule begins; a reader of the schema
// does not know those names.
var ruleName = regexp.MustCompile(`^_?#(Kuma|Kong)?`)

var hintAttribute = regexp.MustCompile(`\bhint=("(?:[^"\\]|\\.)*")`)

// described adds to s what its author should know: the comment, and the hint
// that a finding would give.
func described(s Schema, text string, attrs []*ast.Attribute) Schema {
	hint := ""
	for _, a := range attrs {
		if m := hintAttribute.FindStringSubmatch(a.Text); m != nil {
			hint, _ = strconv.Unquote(m[1])
		}
	}
	parts := []string{}
	if text != "" {
		parts = append(parts, sentence(text))
	}
	if hint != "" {
		parts = append(parts, sentence(hint))
	}
	if len(parts) == 0 || isNever(s) {
		return s
	}
	out := maps.Clone(s)
	if text == "" && s["description"] != nil {
		parts = append([]string{s["description"].(string)}, parts...)
	} else if text != "" && hint == "" && s["description"] != nil {
		parts = append(parts, s["description"].(string))
	}
	out["description"] = strings.Join(parts, "\n\n")
	if hint != "" && s["pattern"] != nil {
		out["patternErrorMessage"] = hint
	}
	return out
}

// sentence begins with a capital letter and ends with a full stop.
func sentence(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	text = string(unicode.ToUpper(first)) + text[size:]
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	return text
}

func hasAttribute(attrs []*ast.Attribute, name, body string) bool {
	for _, a := range attrs {
		if n, b := a.Split(); n == name && b == body {
			return true
		}
	}
	return false
}
