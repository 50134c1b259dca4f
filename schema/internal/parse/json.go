package parse

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// JSON parses the JSON values of a file, one after another. A mistake in the
// syntax ends the file, for nothing says where the next value begins; the
// values before it stand.
func JSON(data []byte) ([]Document, []diag.Diagnostic) {
	p := jsonParser{lines: newLines(data), dec: json.NewDecoder(bytes.NewReader(data))}
	p.dec.UseNumber()
	var docs []Document
	for {
		p.problems, p.path = nil, nil
		doc := int(p.dec.InputOffset())
		root, err := p.value(0)
		if err == io.EOF {
			return docs, nil
		}
		if err != nil {
			return docs, []diag.Diagnostic{p.syntax(doc, err)}
		}
		docs = append(docs, Document{Root: root, Problems: p.problems})
	}
}

type jsonParser struct {
	lines    *lines
	dec      *json.Decoder
	start    int // offset of the last token
	path     []any
	problems []diag.Diagnostic
}

// next reads one token and notes where it starts. The decoder says only where
// the last one ended; between the two stand blanks, a comma or a colon.
func (p *jsonParser) next() (json.Token, tree.Pos, error) {
	data := p.lines.data
	p.start = int(p.dec.InputOffset())
	for p.start < len(data) && strings.IndexByte(" \t\r\n,:", data[p.start]) >= 0 {
		p.start++
	}
	t, err := p.dec.Token()
	return t, p.lines.pos(p.start), err
}

var errTooDeep = errors.New("too deep")

func (p *jsonParser) value(depth int) (*tree.Node, error) {
	t, pos, err := p.next()
	if err != nil {
		return nil, err
	}
	if depth > maxDepth {
		return nil, errTooDeep
	}
	n := &tree.Node{Pos: pos}
	switch t := t.(type) {
	case nil:
		n.Kind = tree.Null
	case bool:
		n.Kind, n.Text = tree.Bool, fmt.Sprint(t)
	case string:
		n.Kind, n.Text = tree.String, t
	case json.Number:
		n.Kind, n.Text = tree.Int, t.String()
		if strings.ContainsAny(n.Text, ".eE") {
			n.Kind = tree.Float
		}
	case json.Delim:
		if t == '[' {
			return n, p.list(n, depth)
		}
		return n, p.object(n, depth)
	}
	return n, nil
}

func (p *jsonParser) list(n *tree.Node, depth int) error {
	n.Kind = tree.List
	for p.dec.More() {
		p.path = append(p.path, len(n.Items))
		item, err := p.value(depth + 1)
		if err != nil {
			return inside(err)
		}
		n.Items = append(n.Items, item)
		p.path = p.path[:len(p.path)-1]
	}
	_, _, err := p.next()
	return inside(err)
}

func (p *jsonParser) object(n *tree.Node, depth int) error {
	n.Kind = tree.Map
	seen := map[string]tree.Pos{}
	for p.dec.More() {
		t, pos, err := p.next()
		if err != nil {
			return inside(err)
		}
		key := t.(string) // the decoder lets nothing else stand here
		p.path = append(p.path, key)
		first, twice := seen[key]
		if twice {
			p.problems = append(p.problems, duplicateKey(pos, first, p.path, key))
		}
		value, err := p.value(depth + 1)
		if err != nil {
			return inside(err)
		}
		if !twice {
			seen[key] = pos
			n.Fields = append(n.Fields, tree.Field{Key: key, KeyPos: pos, Value: value})
		}
		p.path = p.path[:len(p.path)-1]
	}
	_, _, err := p.next()
	return inside(err)
}

// inside says that the end of the file is a mistake, for a value is open.
func inside(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// syntax makes a finding of an error in the value that begins at doc.
func (p *jsonParser) syntax(doc int, err error) diag.Diagnostic {
	if errors.Is(err, errTooDeep) {
		return tooDeep(p.lines.pos(p.start), p.path)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return problem(diag.Error, diag.CodeSyntax, p.lines.pos(len(p.lines.data)), p.path,
			"the file ends inside a value", "a closing quote, bracket or brace is missing")
	}
	// The offsets of a token decoder's errors are off inside strings and
	// numbers; those of a whole value's are exact, and count the guilty byte.
	at, message := p.start, err.Error()
	var s *json.SyntaxError
	if errors.As(json.Unmarshal(p.lines.data[doc:], new(json.RawMessage)), &s) {
		at, message = doc+int(s.Offset)-1, s.Error()
	}
	return problem(diag.Error, diag.CodeSyntax, p.lines.pos(at), p.path, message, jsonHint(message))
}

func jsonHint(message string) string {
	switch {
	case strings.Contains(message, "invalid character '/'"):
		return "JSON has no comments; a .yaml file may hold the same text with # comments"
	case strings.HasPrefix(message, "invalid character '}' looking"), strings.HasPrefix(message, "invalid character ']' looking"):
		return "no comma may stand before a closing bracket or brace"
	case strings.Contains(message, `invalid character '\''`):
		return "JSON quotes with \""
	}
	return ""
}
