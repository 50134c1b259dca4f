// Package tree is a document as parsed: plain values, each with its place.
// YAML, JSON and CUE all become this one form, so nothing after the parsers
// knows in which of them a document was written.
package tree

import "strconv"

// Kind is the type of a node.
type Kind uint8

// The kinds of nodes: those of JSON, with integers apart from other numbers.
const (
	Null Kind = iota
	Bool
	Int
	Float
	String
	List
	Map
)

// String returns the word that messages use.
func (k Kind) String() string {
	return [...]string{"null", "boolean", "integer", "number", "string", "list", "map"}[k]
}

// Pos is a place in a file; both count from 1. The zero Pos is unknown.
type Pos struct{ Line, Column int }

// Before reports whether p comes earlier in its file than q.
func (p Pos) Before(q Pos) bool {
	return p.Line < q.Line || p.Line == q.Line && p.Column < q.Column
}

// Node is one value. Nodes are read-only once parsed: documents that did not
// change are shared between loads.
type Node struct {
	Kind Kind
	Pos  Pos
	// Text is a String's value, a Bool's "true" or "false", and a number in
	// JSON's notation.
	Text   string
	Items  []*Node // of a List
	Fields []Field // of a Map, in the order written; keys are unique
	// Default marks a value that the schema filled in; Pos is then the place
	// of the nearest enclosing value that was written.
	Default bool
}

// Field is one entry of a map.
type Field struct {
	Key    string
	KeyPos Pos
	Value  *Node
}

// End returns the place of the last value in n, which is where n begins if it
// holds none.
func (n *Node) End() Pos {
	end := n.Pos
	for _, item := range n.Items {
		if e := item.End(); end.Before(e) {
			end = e
		}
	}
	for i := range n.Fields {
		if e := n.Fields[i].Value.End(); end.Before(e) {
			end = e
		}
	}
	return end
}

// Get returns the value of key, or nil where n is nil, not a map or has no such key.
func (n *Node) Get(key string) *Node {
	if f := n.Field(key); f != nil {
		return f.Value
	}
	return nil
}

// Field returns the entry of key, or nil.
func (n *Node) Field(key string) *Field {
	if n == nil || n.Kind != Map {
		return nil
	}
	for i := range n.Fields {
		if n.Fields[i].Key == key {
			return &n.Fields[i]
		}
	}
	return nil
}

// At returns item i of a list, or nil.
func (n *Node) At(i int) *Node {
	if n == nil || n.Kind != List || i < 0 || i >= len(n.Items) {
		return nil
	}
	return n.Items[i]
}

// Str returns the text of a String node and "" for anything else.
func (n *Node) Str() string {
	if n == nil || n.Kind != String {
		return ""
	}
	return n.Text
}

// Int64 returns the value of an Int node that fits.
func (n *Node) Int64() (int64, bool) {
	if n == nil || n.Kind != Int {
		return 0, false
	}
	v, err := strconv.ParseInt(n.Text, 10, 64)
	return v, err == nil
}

// Equal reports whether n and m say the same: places, the order of keys and
// who wrote a value do not count.
func (n *Node) Equal(m *Node) bool {
	if n == nil || m == nil {
		return n == m
	}
	if n.Kind != m.Kind || n.Text != m.Text || len(n.Items) != len(m.Items) || len(n.Fields) != len(m.Fields) {
		return false
	}
	for i := range n.Items {
		if !n.Items[i].Equal(m.Items[i]) {
			return false
		}
	}
	for i := range n.Fields {
		other := m.Field(n.Fields[i].Key)
		if other == nil || !n.Fields[i].Value.Equal(other.Value) {
			return false
		}
	}
	return true
}

// Find follows path (string keys and int indices) as far as it exists and
// returns the place of what it reached: the key's place for a map entry that
// exists whole, else that of the nearest enclosing value.
func (n *Node) Find(path ...any) Pos {
	if n == nil {
		return Pos{}
	}
	pos := n.Pos
	for _, p := range path {
		var next *Node
		switch p := p.(type) {
		case string:
			if f := n.Field(p); f != nil {
				next = f.Value
				if !next.Default {
					pos = f.Value.Pos
					if f.Value.Kind == Map || f.Value.Kind == List {
						pos = f.KeyPos
					}
				}
			}
		case int:
			if next = n.At(p); next != nil && !next.Default {
				pos = next.Pos
			}
		}
		if next == nil {
			return pos
		}
		n = next
	}
	return pos
}
