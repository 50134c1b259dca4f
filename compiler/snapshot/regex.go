package snapshot

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
)

// MaxRegexSize bounds the program of a regular expression, in instructions of
// Go's regexp/syntax, so that every consumer can take every snapshot.
const MaxRegexSize = 10_000

// ParseRegex returns the meaning of PathRegex and of HeaderMatch.Regex: an
// expression in RE2's syntax, which is Go's and Envoy's, that matches all of a
// text. The error says what is wrong with expr in words for its author.
func ParseRegex(expr string) (*regexp.Regexp, error) {
	if _, err := parseRegex(expr); err != nil {
		return nil, err
	}
	return regexp.Compile(`\A(?:` + expr + `)\z`)
}

// Parse returns the meaning of r: its expression, and its substitution in the
// form that Regexp.ReplaceAllString takes.
func (r PathRewrite) Parse() (*regexp.Regexp, string, error) {
	tree, err := parseRegex(r.Regex)
	if err != nil {
		return nil, "", err
	}
	if tree.Op == syntax.OpConcat {
		tree = tree.Sub[0]
	}
	if tree.Op != syntax.OpBeginText && !r.Global {
		return nil, "", fmt.Errorf("the expression %q of a rewrite does not begin with ^", r.Regex)
	}
	re, err := regexp.Compile(r.Regex)
	if err != nil {
		return nil, "", err
	}
	var out strings.Builder
	for s := r.Substitution; s != ""; {
		if s[0] != '\\' {
			if s[0] == '$' {
				out.WriteByte('$')
			}
			out.WriteByte(s[0])
			s = s[1:]
			continue
		}
		switch {
		case len(s) > 1 && s[1] == '\\':
			out.WriteByte('\\')
		case len(s) > 1 && '0' <= s[1] && s[1] <= '9' && int(s[1]-'0') <= re.NumSubexp():
			fmt.Fprintf(&out, "${%c}", s[1])
		default:
			return nil, "", fmt.Errorf("the substitution %q has a backslash before neither a backslash nor the number of one of %d groups", r.Substitution, re.NumSubexp())
		}
		s = s[2:]
	}
	return re, out.String(), nil
}

// Parse returns the meaning of PathRegex and Substitution, as PathRewrite's does.
func (h HostRewrite) Parse() (*regexp.Regexp, string, error) {
	return PathRewrite{Regex: h.PathRegex, Substitution: h.Substitution, Global: true}.Parse()
}

// RegexError says what is wrong with an expression, and quotes the part that it
// is wrong with.
type RegexError struct{ Problem, At string }

// Error is part of error.
func (e *RegexError) Error() string { return fmt.Sprintf("%s: %q", e.Problem, e.At) }

// parseRegex returns the syntax tree of expr, or why no consumer takes it.
func parseRegex(expr string) (*syntax.Regexp, error) {
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		var e *syntax.Error
		if errors.As(err, &e) {
			return nil, &RegexError{Problem: e.Code.String(), At: e.Expr}
		}
		return nil, err
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, err
	}
	if len(program.Inst) > MaxRegexSize {
		return nil, fmt.Errorf("the expression is too large: %d instructions, %d at most", len(program.Inst), MaxRegexSize)
	}
	return tree, nil
}

// TargetRegex returns the expression that, where expr matches all of a path,
// matches all of that path with any query behind it, and nothing else: ParseRegex
// has taken expr. A "$" is looked upon as the end of the path it stands at.
func TargetRegex(expr string) (string, error) {
	tree, err := parseRegex(expr)
	if err != nil {
		return "", err
	}
	withoutQuery(tree)
	return "(?:" + tree.String() + `)(?:\?.*)?`, nil
}

// withoutQuery makes tree match no question mark.
func withoutQuery(tree *syntax.Regexp) {
	switch tree.Op {
	case syntax.OpAnyChar:
		tree.Op, tree.Rune = syntax.OpCharClass, []rune{0, '?' - 1, '?' + 1, unicode.MaxRune}
	case syntax.OpAnyCharNotNL:
		tree.Op, tree.Rune = syntax.OpCharClass, []rune{0, '\n' - 1, '\n' + 1, '?' - 1, '?' + 1, unicode.MaxRune}
	case syntax.OpLiteral:
		if slices.Contains(tree.Rune, '?') {
			*tree = syntax.Regexp{Op: syntax.OpNoMatch}
		}
	case syntax.OpCharClass:
		var kept []rune
		for i := 0; i+1 < len(tree.Rune); i += 2 {
			low, high := tree.Rune[i], tree.Rune[i+1]
			if low > '?' || high < '?' {
				kept = append(kept, low, high)
				continue
			}
			if low < '?' {
				kept = append(kept, low, '?'-1)
			}
			if high > '?' {
				kept = append(kept, '?'+1, high)
			}
		}
		if tree.Rune = kept; len(kept) == 0 {
			tree.Op = syntax.OpNoMatch
		}
	case syntax.OpEndText, syntax.OpEndLine:
		*tree = syntax.Regexp{Op: syntax.OpEmptyMatch}
	}
	for _, sub := range tree.Sub {
		withoutQuery(sub)
	}
}
