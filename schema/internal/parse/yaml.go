package parse

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// YAML parses the documents of a file; empty ones and those of comments alone
// are dropped. A mistake in the syntax costs the document it is in, not its
// neighbours.
func YAML(data []byte) ([]Document, []diag.Diagnostic) {
	if docs, ok := quickYAML(data); ok {
		return docs, nil
	}
	return libraryYAML(data)
}

// libraryYAML parses by the library, which knows all of YAML and says what is
// wrong.
func libraryYAML(data []byte) ([]Document, []diag.Diagnostic) {
	data = mendDirectives(data)
	p := yamlParser{lines: newLines(data), comments: bytes.Contains(data, []byte(silenceMark))}
	if p.stream(data, 0) == nil {
		return p.docs, p.fatal
	}
	// Something is wrong somewhere. Parse each document by itself: a line that
	// begins with "---" begins a document whatever stands before it.
	p.docs, p.fatal = nil, nil
	for _, s := range split(data) {
		if err := p.stream(data[s.start:s.end], s.line); err != nil {
			p.fatal = append(p.fatal, p.syntax(s, err))
		}
	}
	return p.docs, p.fatal
}

type yamlParser struct {
	lines    *lines
	comments bool // whether to look at comments at all
	docs     []Document
	fatal    []diag.Diagnostic // what costs a document
}

// stream parses the documents in data, whose first line comes after line
// others. It keeps those before an error.
func (p *yamlParser) stream(data []byte, line int) error {
	loader, err := yaml.NewLoader(bytes.NewReader(data), yaml.WithPlugin(yamlLimits{}))
	if err != nil {
		return err
	}
	for {
		var n yaml.Node
		err := loader.Load(&n)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if len(n.Content) != 1 {
			continue
		}
		c := converter{line: line}
		root := c.node(n.Content[0], tree.Pos{Line: n.Line + line, Column: n.Column}, 0)
		if c.fatal != nil {
			p.fatal = append(p.fatal, *c.fatal)
			continue
		}
		if root.Kind == tree.Null && n.Content[0].Value == "" {
			continue
		}
		d := Document{Root: root, Problems: c.problems}
		if p.comments {
			d.Silences = p.silences(&n, line)
		}
		p.docs = append(p.docs, d)
	}
}

// yamlLimits stops the library long before its own limits do; the exact limit
// on depth is the converter's. Aliases are not expanded by the library.
type yamlLimits struct{}

func (yamlLimits) CheckDepth(depth int, _ *yaml.DepthContext) error {
	if depth > 10*maxDepth {
		return errTooDeep
	}
	return nil
}

func (yamlLimits) CheckAlias(int, int) error { return nil }

// mendDirectives makes "%YAML 1.2" one that the library takes, in a copy of
// the same length.
func mendDirectives(data []byte) []byte {
	if !bytes.Contains(data, []byte("%YAML 1.2")) {
		return data
	}
	data = bytes.Clone(data)
	for at := 0; ; {
		i := bytes.Index(data[at:], []byte("%YAML 1.2"))
		if i < 0 {
			return data
		}
		at += i + len("%YAML 1.2")
		if start := at - len("%YAML 1.2"); start == 0 || data[start-1] == '\n' {
			data[at-1] = '1'
		}
	}
}

// segment is the bytes of one document, with its "---" and what stands before.
type segment struct{ start, end, line int }

// split cuts data before each line that starts with "---". What stands before
// the first and is only comments and directives stays with it.
func split(data []byte) []segment {
	var out []segment
	s := segment{}
	content := false // whether the segment holds more than comments and directives
	for start, line := 0, 0; start < len(data); line++ {
		end := len(data)
		if i := bytes.IndexByte(data[start:], '\n'); i >= 0 {
			end = start + i + 1
		}
		text := data[start:end]
		marker := bytes.HasPrefix(text, []byte("---")) && (len(text) == 3 || strings.IndexByte(" \t\r\n", text[3]) >= 0)
		if marker && content {
			s.end = start
			out = append(out, s)
			s, content = segment{start: start, line: line}, false
		}
		if t := bytes.TrimSpace(text); marker || len(t) > 0 && t[0] != '#' && t[0] != '%' {
			content = true
		}
		start = end
	}
	s.end = len(data)
	return append(out, s)
}

// syntax makes a finding of the library's error in segment s.
func (p *yamlParser) syntax(s segment, err error) diag.Diagnostic {
	var e *yaml.LoadError
	if !errors.As(err, &e) {
		return problem(diag.Error, diag.CodeSyntax, tree.Pos{Line: s.line + 1, Column: 1}, nil, err.Error(), "")
	}
	pos := p.markPos(s, e.Mark)
	if strings.Contains(e.Message, errTooDeep.Error()) {
		return tooDeep(pos, nil)
	}
	if e.Mark.Line == 0 { // the reader's errors have no place
		pos = p.control(s)
	}
	opened := p.markPos(s, e.ContextMark)
	atEnd := e.Mark.Line > 0 && strings.TrimSpace(p.rest(s, pos)) == ""
	// What the library calls the problem is often where it noticed. An open
	// bracket or quote, or a line without its colon, is where it began.
	moved := opened.Line > 0 && (atEnd || strings.Contains(e.Message, "could not find expected ':'"))
	if moved {
		pos = opened
	}
	d := problem(diag.Error, diag.CodeSyntax, pos, nil, p.yamlMessage(e, pos), p.yamlHint(e, s, pos, moved))
	if !moved && opened.Line > 0 && opened != pos {
		d.Related = []diag.Related{{Place: diag.Place{Line: opened.Line, Column: opened.Column}, Message: e.ContextMsg}}
	}
	return d
}

// markPos translates the library's mark; the zero Pos where it has none.
func (p *yamlParser) markPos(s segment, m yaml.Mark) tree.Pos {
	if m.Line == 0 {
		return tree.Pos{}
	}
	return tree.Pos{Line: m.Line + s.line, Column: max(m.Column, 1)}
}

// rest returns the text of segment s from pos on.
func (p *yamlParser) rest(s segment, pos tree.Pos) string {
	if pos.Line > len(p.lines.starts)+1 {
		return ""
	}
	start := 0
	if pos.Line > 1 {
		start = p.lines.starts[pos.Line-2]
	}
	for i := 1; i < pos.Column && start < s.end; i++ {
		_, n := utf8.DecodeRune(p.lines.data[start:])
		start += n
	}
	return string(p.lines.data[min(start, s.end):s.end])
}

// control finds the first character of segment s that YAML does not allow.
func (p *yamlParser) control(s segment) tree.Pos {
	text := p.lines.data[s.start:s.end]
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r >= 0x7f && r < 0xa0 && r != 0x85 ||
			r == 0xfeff || r == 0xfffe || r == 0xffff {
			return p.lines.pos(s.start + i)
		}
		i += n
	}
	return p.lines.pos(s.start)
}

func (p *yamlParser) yamlMessage(e *yaml.LoadError, pos tree.Pos) string {
	switch message := e.Message; {
	case strings.Contains(message, "could not find expected ':'"):
		return "a key without a colon"
	case strings.Contains(message, "cannot start any token") && p.at(pos) == '\t':
		return "a tab where YAML wants spaces"
	case strings.Contains(message, "cannot start any token"):
		return fmt.Sprintf("a value cannot begin with %q", string(p.at(pos)))
	case strings.HasPrefix(message, "unknown anchor"):
		// Without its name, which may be a password that begins with *.
		return "an alias of an anchor that is not there"
	case strings.Contains(message, "unexpected end of stream"):
		return "the document ends inside " + strings.TrimPrefix(e.ContextMsg, "while scanning ")
	default:
		return message
	}
}

func (p *yamlParser) yamlHint(e *yaml.LoadError, s segment, pos tree.Pos, moved bool) string {
	message := e.Message
	switch {
	case bytes.Contains(p.lines.data[s.start:s.end], []byte("{{")):
		return "this looks like a template; render it first"
	case strings.Contains(message, "cannot start any token") && p.at(pos) == '\t':
		return "indent with spaces"
	case strings.Contains(message, "cannot start any token"):
		return "quote the value"
	case strings.HasPrefix(message, "unknown anchor"):
		return "put the anchor before it, or quote the value if the * belongs to it"
	case strings.Contains(message, "mapping values are not allowed"):
		return "indent the key as its neighbours are, or quote the value if the colon belongs to it"
	case moved && strings.Contains(message, "unexpected end of stream"):
		return "the quote is never closed"
	case strings.Contains(message, "expected ',' or"):
		return "close the bracket or brace, or put a comma between the items"
	case strings.Contains(message, "did not find expected key"), strings.Contains(message, "'-' indicator"):
		return "indent the line as its neighbours are"
	case strings.Contains(message, "could not find expected ':'"):
		return "write key: value, or - value in a list"
	}
	return ""
}

// at returns the character at pos, or 0.
func (p *yamlParser) at(pos tree.Pos) rune {
	text := []rune(p.lines.line(pos.Line))
	if pos.Column < 1 || pos.Column > len(text) {
		return 0
	}
	return text[pos.Column-1]
}
