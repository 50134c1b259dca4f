package proxy

import (
	"cmp"
	"sort"

	"github.com/meshc/meshc/compiler/snapshot"
)

// finder finds the elements of a list that is sorted by name. Asked in order,
// as it mostly is, it need not search.
type finder[T any] struct {
	list snapshot.List[T]
	name func(T) string
	next int // the element after the last one found
}

// find returns the element called name; the zero T where there is none.
func (f *finder[T]) find(name string) (found T) {
	if f.next < f.list.Len() {
		if e := f.list.At(f.next); f.name(e) == name {
			f.next++
			return e
		}
	}
	i, ok := sort.Find(f.list.Len(), func(i int) int { return cmp.Compare(name, f.name(f.list.At(i))) })
	f.next = i
	if ok {
		found = f.list.At(i)
		f.next++
	}
	return found
}
