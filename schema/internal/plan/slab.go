package plan

import "github.com/meshc/meshc/schema/tree"

// slab hands out the parts of a checked document from a few allocations. They
// are for one document: who keeps it would keep what else is in them.
type slab struct {
	nodes  supply[tree.Node]
	fields supply[tree.Field]
}

func (s *slab) reset() {
	s.nodes.reset()
	s.fields.reset()
}

// node returns a copy of n.
func (s *slab) node(n tree.Node) *tree.Node {
	out := &s.nodes.take(1)[0]
	*out = n
	return out
}

// copyFields returns a copy of in with room for so many more.
func (s *slab) copyFields(in []tree.Field, room int) []tree.Field {
	out := s.fields.take(len(in) + room)
	copy(out, in)
	return out[:len(in)]
}

// supply is the parts of one sort.
type supply[T any] struct {
	left     []T
	taken    int
	expected int // is what the document before took
}

// An allocation is of this many parts, unless more are needed at once.
const fewParts, manyParts = 4, 64

// take returns n parts that nothing can be appended to in place.
func (s *supply[T]) take(n int) []T {
	if n > len(s.left) {
		more := s.taken // as much again
		if more == 0 {
			more = s.expected
		}
		s.left = make([]T, max(n, min(max(more, fewParts), manyParts)))
	}
	out := s.left[:n:n]
	s.left = s.left[n:]
	s.taken += n
	return out
}

func (s *supply[T]) reset() { *s = supply[T]{expected: s.taken} }
