package parse

import (
	"regexp"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v4"

	"github.com/meshc/meshc/schema/tree"
)

const silenceMark = "meshc:ignore"

// silenceCodes returns the codes that one line of a comment silences: the first
// word, and those behind it that look like codes too. The rest is the reason.
func silenceCodes(line string) (codes []string, ok bool) {
	text := strings.TrimSpace(strings.TrimLeft(strings.TrimSpace(line), "#/"))
	rest, ok := strings.CutPrefix(text, silenceMark)
	if !ok || rest != "" && rest[0] != ' ' && rest[0] != '\t' {
		return nil, false
	}
	for i, word := range strings.FieldsFunc(rest, func(c rune) bool { return c == ',' || unicode.IsSpace(c) }) {
		if i > 0 && !codeLike.MatchString(word) {
			break
		}
		codes = append(codes, word)
	}
	if len(codes) == 0 {
		codes = []string{""}
	}
	return codes, true
}

var codeLike = regexp.MustCompile(`^MC[0-9]{4}$`)

// silences collects the silences among the comments of document n. The library
// keeps a comment with the value it belongs to but not its place, so each is
// looked for in the lines around that value.
func (p *yamlParser) silences(n *yaml.Node, line int) []Silence {
	var out []Silence
	taken := map[int]bool{}
	near := tree.Pos{Line: n.Content[0].Line + line, Column: n.Content[0].Column}
	var walk func(n *yaml.Node)
	add := func(comment string) {
		for _, text := range strings.Split(comment, "\n") {
			codes, ok := silenceCodes(text)
			if !ok {
				continue
			}
			pos := p.find(text, near.Line, taken)
			for _, code := range codes {
				out = append(out, Silence{Code: code, Pos: pos, Near: near})
			}
		}
	}
	walk = func(n *yaml.Node) {
		if n.Kind != yaml.DocumentNode {
			near = tree.Pos{Line: n.Line + line, Column: n.Column}
		}
		add(n.HeadComment)
		add(n.LineComment)
		foot, here := n.FootComment, near
		for _, c := range n.Content {
			walk(c)
		}
		near = here
		add(foot)
	}
	walk(n)
	return out
}

// find returns the place of the comment line text that is nearest to line and
// not taken yet.
func (p *yamlParser) find(text string, line int, taken map[int]bool) tree.Pos {
	last := len(p.lines.starts) + 1
	for d := 0; d <= last; d++ {
		for _, at := range []int{line - d, line + d} {
			l := p.lines.line(at)
			if i := strings.Index(l, text); i >= 0 && !taken[at] {
				taken[at] = true
				return tree.Pos{Line: at, Column: len([]rune(l[:i])) + 1}
			}
		}
	}
	return tree.Pos{Line: line, Column: 1}
}
