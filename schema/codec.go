package schema

import (
	"encoding/binary"
	"maps"
	"slices"
	"sync"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/files"
	"github.com/meshc/meshc/schema/tree"
)

// The cache writes results down as a row of numbers (varints) and strings
// (their length, then their bytes). Of a document it keeps the tree and the
// JSON; the body and the names are made from the tree, as they were at first.

// kindKey names a kind among all.
type kindKey struct {
	dialect Dialect
	name    string
}

// allKinds are all kinds of documents that a file can hold.
var allKinds = sync.OnceValue(func() map[kindKey]*kind {
	out := map[kindKey]*kind{}
	for _, k := range slices.Concat(slices.Collect(maps.Values(byType)), slices.Collect(maps.Values(kubernetesKinds)), kongKinds) {
		out[kindKey{k.dialect, k.name}] = k
	}
	return out
})

type encoder []byte

// encodeResults writes down the results of a job.
func encodeResults(results []*fileResult) string {
	var e encoder
	for _, r := range results {
		e.number(r.checked)
		e.number(r.ignored)
		e.number(len(r.documents))
		for _, d := range r.documents {
			e.document(d)
		}
		e.number(len(r.refused))
		for _, d := range r.refused {
			e.text(string(d.Dialect))
			e.text(d.Kind)
			e.number(len(d.Names))
			for _, n := range d.Names {
				e.text(n)
			}
		}
		e.number(len(r.diagnostics))
		for i := range r.diagnostics {
			e.diagnostic(&r.diagnostics[i])
		}
		e.number(len(r.silences))
		for _, s := range r.silences {
			e.text(s.Code)
			e.place(s.Place)
			e.pos(s.in.from)
			e.pos(s.in.to)
		}
	}
	return string(e)
}

func (e *encoder) number(n int) { *e = binary.AppendVarint(*e, int64(n)) }

func (e *encoder) text(s string) {
	e.number(len(s))
	*e = append(*e, s...)
}

func (e *encoder) pos(p tree.Pos) {
	e.number(p.Line)
	e.number(p.Column)
}

func (e *encoder) place(p diag.Place) {
	e.text(p.File)
	e.number(p.Line)
	e.number(p.Column)
}

func (e *encoder) diagnostic(d *diag.Diagnostic) {
	e.text(d.Code)
	e.number(int(d.Severity))
	e.place(d.Place)
	for _, s := range []string{d.Path, d.Message, d.Hint, d.Class} {
		e.text(s)
	}
	e.number(len(d.Related))
	for _, r := range d.Related {
		e.place(r.Place)
		e.text(r.Message)
	}
}

func (e *encoder) document(d *Document) {
	e.text(string(d.Dialect))
	e.text(d.Kind)
	e.text(d.JSON)
	var size treeSize
	size.add(d.Tree)
	e.number(size.nodes)
	e.number(size.fields)
	e.number(size.items)
	e.node(d.Tree)
}

// treeSize says what a tree is made of, so that decoding can allocate it whole.
type treeSize struct{ nodes, fields, items int }

func (s *treeSize) add(n *tree.Node) {
	s.nodes++
	s.items += len(n.Items)
	for _, item := range n.Items {
		s.add(item)
	}
	s.fields += len(n.Fields)
	for i := range n.Fields {
		s.add(n.Fields[i].Value)
	}
}

// isDefault is added to a node's kind.
const isDefault = 8

func (e *encoder) node(n *tree.Node) {
	head := byte(n.Kind)
	if n.Default {
		head |= isDefault
	}
	*e = append(*e, head)
	e.pos(n.Pos)
	switch n.Kind {
	case tree.Null:
	case tree.List:
		e.number(len(n.Items))
		for _, item := range n.Items {
			e.node(item)
		}
	case tree.Map:
		e.number(len(n.Fields))
		for i := range n.Fields {
			f := &n.Fields[i]
			e.text(f.Key)
			e.pos(f.KeyPos)
			e.node(f.Value)
		}
	default:
		e.text(n.Text)
	}
}

// decoder takes apart what an encoder put together. What makes no sense sets
// bad, and then everything that follows is zero.
type decoder struct {
	rest   string
	bad    bool
	nodes  []tree.Node // what is left of those allocated for a document
	fields []tree.Field
	items  []*tree.Node
}

// decodeResults is the inverse of encodeResults, for the same files. Its
// strings share the memory of entry.
func decodeResults(entry string, of []files.File) ([]*fileResult, bool) {
	d := decoder{rest: entry}
	results := make([]*fileResult, len(of))
	for i, f := range of {
		r := &fileResult{checked: d.number(), ignored: d.number()}
		r.documents = make([]*Document, d.count())
		for i := range r.documents {
			if r.documents[i] = d.document(f); d.bad {
				return nil, false
			}
		}
		for range d.count() {
			r.refused = append(r.refused, d.refused())
		}
		for range d.count() {
			r.diagnostics = append(r.diagnostics, d.diagnostic())
		}
		for range d.count() {
			r.silences = append(r.silences, Silence{Code: d.text(), Place: d.place(), in: extent{d.pos(), d.pos()}})
		}
		results[i] = r
	}
	return results, !d.bad && d.rest == ""
}

func (d *decoder) fail() {
	d.bad, d.rest = true, ""
	d.nodes, d.fields, d.items = nil, nil, nil
}

func (d *decoder) number() int {
	if len(d.rest) > 0 && d.rest[0] < 0x80 { // nearly always
		b := d.rest[0]
		d.rest = d.rest[1:]
		return int(b>>1) ^ -int(b&1)
	}
	var u uint64
	for i := 0; i < len(d.rest) && i < binary.MaxVarintLen64; i++ {
		b := d.rest[i]
		u |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			d.rest = d.rest[i+1:]
			return int(int64(u>>1) ^ -int64(u&1))
		}
	}
	d.fail()
	return 0
}

// count returns a number of things that follow, each of a byte at least.
func (d *decoder) count() int {
	n := d.number()
	if n < 0 || n > len(d.rest) {
		d.fail()
		return 0
	}
	return n
}

func (d *decoder) text() string {
	n := d.count()
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}

func (d *decoder) pos() tree.Pos { return tree.Pos{Line: d.number(), Column: d.number()} }
func (d *decoder) place() diag.Place {
	return diag.Place{File: d.text(), Line: d.number(), Column: d.number()}
}

func (d *decoder) diagnostic() diag.Diagnostic {
	out := diag.Diagnostic{Code: d.text(), Severity: diag.Severity(d.number()), Place: d.place()}
	for _, s := range []*string{&out.Path, &out.Message, &out.Hint, &out.Class} {
		*s = d.text()
	}
	for range d.count() {
		out.Related = append(out.Related, diag.Related{Place: d.place(), Message: d.text()})
	}
	return out
}

func (d *decoder) refused() Refused {
	out := Refused{Dialect: Dialect(d.text()), Kind: d.text()}
	for range d.count() {
		out.Names = append(out.Names, d.text())
	}
	return out
}

func (d *decoder) document(f files.File) *Document {
	k := allKinds()[kindKey{Dialect(d.text()), d.text()}]
	json := d.text()
	d.nodes, d.fields, d.items = make([]tree.Node, d.count()), make([]tree.Field, d.count()), make([]*tree.Node, d.count())
	root := d.node(0)
	if k == nil || d.bad {
		d.fail()
		return nil
	}
	out, err := k.document(f, root)
	if err != nil {
		d.fail()
		return nil
	}
	out.JSON = json
	return out
}

// maxDepth bounds the stack; the parsers take far less.
const maxDepth = 1000

func (d *decoder) node(depth int) *tree.Node {
	if len(d.rest) == 0 || len(d.nodes) == 0 || depth > maxDepth {
		d.fail()
		return nil
	}
	head := d.rest[0]
	d.rest = d.rest[1:]
	n := &d.nodes[0]
	d.nodes = d.nodes[1:]
	n.Kind, n.Default = tree.Kind(head&^isDefault), head&isDefault != 0
	n.Pos = d.pos()
	switch {
	case n.Kind > tree.Map:
		d.fail()
	case n.Kind == tree.Null:
	case n.Kind == tree.List:
		count := d.count()
		if count > len(d.items) {
			d.fail()
			return nil
		}
		n.Items, d.items = d.items[:count:count], d.items[count:]
		for i := range n.Items {
			if n.Items[i] = d.node(depth + 1); n.Items[i] == nil {
				return nil
			}
		}
	case n.Kind == tree.Map:
		count := d.count()
		if count > len(d.fields) {
			d.fail()
			return nil
		}
		n.Fields, d.fields = d.fields[:count:count], d.fields[count:]
		for i := range n.Fields {
			f := &n.Fields[i]
			f.Key, f.KeyPos = d.text(), d.pos()
			if f.Value = d.node(depth + 1); f.Value == nil {
				return nil
			}
		}
	default:
		n.Text = d.text()
	}
	return n
}
