package snapshot

import (
	"encoding/json"
	"errors"
	"iter"
	"slices"
)

// List is an immutable sequence. It has no writing method, so a List can be
// shared by every consumer of a snapshot without a lock or a copy.
// The zero List is empty.
type List[T any] struct {
	items []T
}

// ListOf returns a List holding a copy of items, so that a later write to the
// caller's slice is not seen.
func ListOf[T any](items ...T) List[T] {
	if len(items) == 0 {
		return List[T]{}
	}
	return List[T]{items: slices.Clone(items)}
}

// ListOfFunc returns a List of n items, each made by item once, in order. It
// saves the copy that ListOf makes.
func ListOfFunc[T any](n int, item func(i int) T) List[T] {
	if n == 0 {
		return List[T]{}
	}
	l := List[T]{items: make([]T, n)}
	for i := range l.items {
		l.items[i] = item(i)
	}
	return l
}

// Len returns the number of items.
func (l List[T]) Len() int { return len(l.items) }

// At returns item i. It panics when i is out of range, as a slice does.
func (l List[T]) At(i int) T { return l.items[i] }

// All iterates over the items in order.
func (l List[T]) All() iter.Seq2[int, T] {
	return func(yield func(int, T) bool) {
		for i := range l.items {
			if !yield(i, l.items[i]) {
				return
			}
		}
	}
}

// Slice returns a copy of the items as a slice of the caller's own.
func (l List[T]) Slice() []T { return slices.Clone(l.items) }

// MarshalJSON writes the list as a JSON array; an empty list is [].
func (l List[T]) MarshalJSON() ([]byte, error) {
	if l.items == nil {
		return []byte("[]"), nil
	}
	return json.Marshal(l.items)
}

// UnmarshalJSON reads a JSON array into an empty list. It exists for Read:
// decoding is how a List comes to be, not a way to change one that is already
// shared, so a list that holds anything refuses.
func (l *List[T]) UnmarshalJSON(b []byte) error {
	if len(l.items) > 0 {
		return errors.New("snapshot: a list is written once")
	}
	var items []T
	if err := unmarshalStrict(b, &items); err != nil {
		return err
	}
	if len(items) > 0 {
		l.items = items
	}
	return nil
}
