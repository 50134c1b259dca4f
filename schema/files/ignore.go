package files

import (
	"bytes"
	"path"
	"strings"
)

// ignoreRules are the lines of one ignore file. The rules are those of
// gitignore(5), with one difference: a symbolic link to a directory counts as
// a directory, for it is walked like one.
type ignoreRules []ignoreRule

type ignoreRule struct {
	negate  bool // "!": takes back an earlier rule
	dirOnly bool // "/" at the end
	// segments is the pattern between slashes, each a path.Match pattern or
	// "**". A pattern that may match at any depth starts with "**".
	segments []string
}

// ignoreFile is an ignore file as it was read.
type ignoreFile struct {
	content *content
	rules   ignoreRules
}

// loadIgnoreFile reads the ignore file at a real path, unless old, which may
// be nil, is up to date.
func loadIgnoreFile(real string, old *ignoreFile) *ignoreFile {
	if old == nil {
		old = &ignoreFile{}
	}
	c := load(real, old.content)
	if c == old.content {
		return old
	}
	return &ignoreFile{c, parseIgnore(c.data)}
}

// parseIgnore reads the lines of an ignore file. No line is an error: as in git, a pattern
// that makes no sense matches nothing.
func parseIgnore(data []byte) ignoreRules {
	var rules ignoreRules
	for line := range bytes.Lines(data) {
		if rule, ok := parseIgnoreLine(strings.TrimRight(string(line), "\r\n")); ok {
			rules = append(rules, rule)
		}
	}
	return rules
}

func parseIgnoreLine(line string) (rule ignoreRule, ok bool) {
	if strings.HasPrefix(line, "#") {
		return rule, false
	}
	for strings.HasSuffix(line, " ") && !strings.HasSuffix(line, `\ `) {
		line = line[:len(line)-1]
	}
	line, rule.negate = strings.CutPrefix(line, "!")
	line, rule.dirOnly = strings.CutSuffix(line, "/")
	anchored := strings.Contains(line, "/")
	line = strings.TrimPrefix(line, "/")
	if line == "" {
		return rule, false
	}
	if !anchored {
		rule.segments = append(rule.segments, "**")
	}
	for segment := range strings.SplitSeq(line, "/") {
		rule.segments = append(rule.segments, brackets(segment))
	}
	return rule, true
}

// brackets rewrites the bracket expressions of a gitignore pattern, "[!a]",
// "[]a]" and "[[:digit:]]", as path.Match spells them.
func brackets(pattern string) string {
	var out strings.Builder
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '\\' && i+1 < len(pattern):
			out.WriteString(pattern[i : i+2])
			i++
		case c == '[':
			set, rest := bracket(pattern[i+1:])
			out.WriteString(set)
			i = len(pattern) - len(rest) - 1
		default:
			out.WriteByte(c)
		}
	}
	return out.String()
}

// bracket rewrites one bracket expression. s follows its "["; rest is what
// follows its "]".
func bracket(s string) (set, rest string) {
	var out strings.Builder
	out.WriteByte('[')
	if s != "" && (s[0] == '!' || s[0] == '^') {
		out.WriteByte('^')
		s = s[1:]
	}
	for first := true; s != ""; first = false {
		switch {
		case s[0] == ']' && !first:
			out.WriteByte(']')
			return out.String(), s[1:]
		case s[0] == ']':
			out.WriteString(`\]`)
			s = s[1:]
		case s[0] == '\\' && len(s) > 1:
			out.WriteString(s[:2])
			s = s[2:]
		case strings.HasPrefix(s, "[:"):
			name, after, ok := strings.Cut(s[2:], ":]")
			chars, known := classes[name]
			if !ok || !known {
				return "[", "" // path.Match finds it malformed: matches nothing
			}
			out.WriteString(chars)
			s = after
		default:
			out.WriteByte(s[0])
			s = s[1:]
		}
	}
	return "[", ""
}

var classes = map[string]string{
	"alnum": "0-9A-Za-z", "alpha": "A-Za-z", "digit": "0-9", "lower": "a-z", "upper": "A-Z",
	"xdigit": "0-9A-Fa-f", "space": "\t-\r ", "blank": "\t ", "punct": "!-/:-@\\[-`{-~",
	"print": " -~", "graph": "!-~", "cntrl": "\x01-\x1f\x7f",
}

// match says what the rules make of a path relative to the directory of their
// file. The last rule that matches decides; decided is false where none does.
func (rules ignoreRules) match(segments []string, isDir bool) (ignored, decided bool) {
	for i := len(rules) - 1; i >= 0; i-- {
		if r := &rules[i]; (isDir || !r.dirOnly) && matchSegments(r.segments, segments) {
			return !r.negate, true
		}
	}
	return false, false
}

// matchSegments matches as gitignore does: "**" stands for any number of
// directories, and at the end for everything inside. It goes back to the last
// "**" only, so it takes no more than len(pattern)·len(path) steps.
func matchSegments(pattern, segments []string) bool {
	p, s := 0, 0
	star, mark := -1, 0
	for s < len(segments) {
		switch {
		case p < len(pattern) && pattern[p] == "**":
			if p == len(pattern)-1 {
				return true
			}
			star, mark = p, s
			p++
		case p < len(pattern) && matchSegment(pattern[p], segments[s]):
			p++
			s++
		case star >= 0:
			mark++
			p, s = star+1, mark
		default:
			return false
		}
	}
	return p == len(pattern)
}

func matchSegment(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// ignoreStack is the ignore files that bear on a directory, the nearest last.
type ignoreStack []ignoreFrame

type ignoreFrame struct {
	depth int // of the file's directory below the root
	rules ignoreRules
}

// ignores reports whether the entry at name, relative to the root, is left
// out. The nearest ignore file that has an opinion decides. Whether a
// directory above is left out need not be asked: it was not walked.
func (stack ignoreStack) ignores(name string, isDir bool) bool {
	if len(stack) == 0 {
		return false
	}
	segments := strings.Split(name, "/")
	for i := len(stack) - 1; i >= 0; i-- {
		if ignored, decided := stack[i].rules.match(segments[stack[i].depth:], isDir); decided {
			return ignored
		}
	}
	return false
}
