package schema

import (
	"bytes"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/internal/parse"
	"github.com/meshc/meshc/schema/tree"
)

// RawCheck checks a resource of Envoy that stands in a document as text. It
// gets the resource as JSON, and calls report for each mistake with its offset
// in bytes, or, where that is negative, with the path of the field: names, in
// whatever spelling, and indices. It must depend on nothing but the JSON.
//
// It is handed in, for package schema knows nothing of Envoy's types.
type RawCheck func(json string, report func(offset int, path []any, message string))

// CheckRaw makes the Loader check raw resources; without it, they pass.
func (l *Loader) CheckRaw(check RawCheck) { l.raw = check }

// rawResources checks the resources of a ProxyTemplate, and reports whether
// they are right.
func (r *reader) rawResources(n *tree.Node) bool {
	before := len(r.out.diagnostics)
	resources := n.Get("conf").Get("resources")
	for i := 0; r.raw != nil && resources.At(i) != nil; i++ {
		text := resources.At(i).Get("resource")
		in := inset{data: r.file.Data, node: text}
		path := diag.Path("conf", "resources", i, "resource")
		r.rawResource(text.Text, func(pos tree.Pos, message, hint string) {
			r.errorAt(diag.CodeEnvoy, in.place(pos), path, message, hint)
		})
	}
	return len(r.out.diagnostics) == before
}

// rawResource checks one resource; it reports places within the text.
func (r *reader) rawResource(text string, report func(pos tree.Pos, message, hint string)) {
	docs, problems := parse.YAML([]byte(text))
	for _, d := range docs {
		problems = append(problems, d.Problems...)
	}
	broken := false
	for _, p := range problems {
		if p.Severity == diag.Error {
			report(place(p), p.Message, p.Hint)
			broken = true
		}
	}
	switch {
	case broken:
		return
	case len(docs) != 1 || docs[0].Root.Kind != tree.Map:
		report(tree.Pos{}, "the text is not one resource", "write each resource as an item of its own")
		return
	}
	root := docs[0].Root
	var json placedJSON
	json.write(root)
	r.raw(string(json.text), func(offset int, path []any, message string) {
		if offset >= 0 {
			report(json.at(offset), message, rawHint)
			return
		}
		pos, name := descend(root, path)
		if name != "" {
			message = name + ": " + message
		}
		report(pos, message, rawHint)
	})
}

const rawHint = "what a resource may hold, the API reference of Envoy says (version 3)"

// descend follows path as far as the text goes, however its keys are spelt
// (load_assignment, loadAssignment, LoadAssignment). It returns the place of
// what it reached, and the path itself, in the text's own words where it can.
func descend(n *tree.Node, path []any) (tree.Pos, string) {
	pos := n.Pos
	words := make([]any, len(path))
	for i, step := range path {
		words[i] = step
		var next *tree.Node
		switch step := step.(type) {
		case int:
			if next = n.At(step); next != nil {
				pos = next.Pos
			}
		case string:
			words[i] = snake(step)
			if n != nil && n.Kind == tree.Map {
				for j := range n.Fields {
					if f := &n.Fields[j]; folded(f.Key) == folded(step) {
						next, pos, words[i] = f.Value, f.KeyPos, f.Key
					}
				}
			}
		}
		n = next
	}
	return pos, diag.Path(words...)
}

func folded(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }

// snake writes a name of Go as protobuf's own: LoadAssignment as load_assignment.
func snake(name string) string {
	var b strings.Builder
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			if i > 0 {
				b.WriteByte('_')
			}
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	return b.String()
}

// placedJSON is JSON that knows where each of its tokens was written.
type placedJSON struct {
	text   []byte
	starts []int // of tokens, ascending
	places []tree.Pos
}

func (j *placedJSON) token(pos tree.Pos, text []byte) {
	j.starts = append(j.starts, len(j.text))
	j.places = append(j.places, pos)
	j.text = append(j.text, text...)
}

func (j *placedJSON) write(n *tree.Node) {
	switch n.Kind {
	case tree.Map:
		j.token(n.Pos, []byte("{"))
		for i := range n.Fields {
			if i > 0 {
				j.text = append(j.text, ',')
			}
			j.token(n.Fields[i].KeyPos, append(appendString(nil, n.Fields[i].Key), ':'))
			j.write(n.Fields[i].Value)
		}
		j.text = append(j.text, '}')
	case tree.List:
		j.token(n.Pos, []byte("["))
		for i, item := range n.Items {
			if i > 0 {
				j.text = append(j.text, ',')
			}
			j.write(item)
		}
		j.text = append(j.text, ']')
	default:
		j.token(n.Pos, appendJSON(nil, n))
	}
}

// at returns where the token at an offset was written.
func (j *placedJSON) at(offset int) tree.Pos {
	var pos tree.Pos
	for i, start := range j.starts {
		if start > offset {
			break
		}
		pos = j.places[i]
	}
	return pos
}

// inset is a text that stands in a file as the value of a node.
type inset struct {
	data []byte
	node *tree.Node
}

// place returns where a place in the text is in the file. That can be told
// where the text stands there as it is: as a block, or on one line; else it is
// the place of the whole.
func (in inset) place(pos tree.Pos) tree.Pos {
	if pos.Line == 0 {
		return in.node.Pos
	}
	text := line([]byte(in.node.Text), pos.Line)
	if text == "" {
		return in.node.Pos
	}
	if !strings.Contains(in.node.Text, "\n") {
		whole := line(in.data, in.node.Pos.Line)
		if before, _, found := strings.Cut(whole, text); found {
			return tree.Pos{Line: in.node.Pos.Line, Column: utf8.RuneCountInString(before) + pos.Column}
		}
	}
	if whole := line(in.data, in.node.Pos.Line+pos.Line); strings.HasSuffix(whole, text) {
		if indent := strings.TrimSuffix(whole, text); strings.TrimSpace(indent) == "" {
			return tree.Pos{Line: in.node.Pos.Line + pos.Line, Column: utf8.RuneCountInString(indent) + pos.Column}
		}
	}
	return in.node.Pos
}

// line returns line n of data, counted from 1, or "" where there is none.
func line(data []byte, n int) string {
	for ; n > 1; n-- {
		_, rest, found := bytes.Cut(data, []byte("\n"))
		if !found {
			return ""
		}
		data = rest
	}
	first, _, _ := bytes.Cut(data, []byte("\n"))
	return string(bytes.TrimSuffix(first, []byte("\r")))
}

// RawJSON returns a raw resource that was checked, which is a text in YAML or
// JSON, as JSON.
func RawJSON(text string) (string, error) {
	docs, _ := parse.YAML([]byte(text))
	if len(docs) != 1 {
		return "", errors.New("the text is not one resource")
	}
	var json placedJSON
	json.write(docs[0].Root)
	return string(json.text), nil
}
