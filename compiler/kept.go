package compiler

import (
	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
)

// kept is a list of the last compile with the keys that its items were made
// from. A key is a pointer to what never changes, so the same key means the
// same item.
type kept[K comparable, T any] struct {
	keys []K
	list snapshot.List[T]
}

// update returns the items of keys, taking over those that the last compile
// had. Both compiles have their keys in the order of less, so the two lists are
// walked side by side; that is many times faster than looking up each item.
func (k *kept[K, T]) update(keys []K, less func(a, b K) bool, item func(K) T) snapshot.List[T] {
	i := 0
	list := snapshot.ListOfFunc(len(keys), func(n int) T {
		for i < len(k.keys) && k.keys[i] != keys[n] && less(k.keys[i], keys[n]) {
			i++
		}
		if i < len(k.keys) && k.keys[i] == keys[n] {
			i++
			return k.list.At(i - 1)
		}
		return item(keys[n])
	})
	k.keys, k.list = keys, list
	return list
}

// byID is the order of documents, for update.
func byID(x, y *schema.Document) bool { return x.ID() < y.ID() }
