package parse

import "github.com/meshc/meshc/schema/tree"

// slab hands out the parts of a tree from a few large allocations. What is left
// of one is lost, and one value that is kept keeps all of its allocation.
type slab struct {
	lines  int // of the text
	nodes  []tree.Node
	parts  []tree.Field
	places []*tree.Node
}

// room returns how many values to allocate after none were left: at first one a
// line, which is nearly what block collections need, then what a few lines need.
func (s *slab) room(first bool) int {
	if first {
		return min(s.lines+4, 256)
	}
	return min(s.lines/4+8, 256)
}

func (s *slab) node(kind tree.Kind, pos tree.Pos) *tree.Node {
	if len(s.nodes) == 0 {
		s.nodes = make([]tree.Node, s.room(s.nodes == nil))
	}
	n := &s.nodes[0]
	s.nodes = s.nodes[1:]
	n.Kind, n.Pos = kind, pos
	return n
}

// keepFields returns a copy of in that nothing can be appended to in place; nil
// for nothing.
func (s *slab) keepFields(in []tree.Field) []tree.Field {
	if len(in) == 0 {
		return nil
	}
	if len(in) > len(s.parts) {
		s.parts = make([]tree.Field, max(len(in), s.room(s.parts == nil)))
	}
	out := s.parts[:len(in):len(in)]
	s.parts = s.parts[len(in):]
	copy(out, in)
	return out
}

// keepItems returns a copy of in that nothing can be appended to in place; nil
// for nothing.
func (s *slab) keepItems(in []*tree.Node) []*tree.Node {
	if len(in) == 0 {
		return nil
	}
	if len(in) > len(s.places) {
		s.places = make([]*tree.Node, max(len(in), s.room(false)))
	}
	out := s.places[:len(in):len(in)]
	s.places = s.places[len(in):]
	copy(out, in)
	return out
}
