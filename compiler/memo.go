package compiler

import "slices"

// memo keeps what was made from the same key and inputs in the compile before.
// Both are pointers to values that never change (or small comparable values),
// so equal ones mean equal content; an entry that a compile did not ask for is
// dropped at its end.
//
// One compile asks for nearly the same in nearly the same order as the one
// before, so the entry wanted next is most often the one that came next then.
// Looking there first costs a tenth of looking into the map.
type memo[K comparable, T any] struct {
	entries map[K]*memoEntry[K, T]
	before  []*memoEntry[K, T] // as the last compile asked for them
	now     []*memoEntry[K, T] // as this one does
	next    int                // index into before
	round   uint64
}

type memoEntry[K comparable, T any] struct {
	key    K
	inputs []any
	value  T
	round  uint64 // that asked for it last
	place  int    // in now, then
}

// get returns the value for key, calling build only when key is new or its inputs changed.
func (m *memo[K, T]) get(key K, inputs []any, build func() T) T {
	e := m.find(key)
	if e == nil {
		e = &memoEntry[K, T]{key: key, inputs: slices.Clone(inputs), value: build(), round: m.round - 1}
		if m.entries == nil {
			m.entries = map[K]*memoEntry[K, T]{}
		}
		m.entries[key] = e
	} else if !slices.Equal(e.inputs, inputs) {
		e.inputs, e.value = slices.Clone(inputs), build()
	}
	if e.round != m.round {
		e.round, e.place = m.round, len(m.now)
		m.now = append(m.now, e)
	}
	return e.value
}

func (m *memo[K, T]) find(key K) *memoEntry[K, T] {
	if m.next < len(m.before) && m.before[m.next].key == key {
		m.next++
		return m.before[m.next-1]
	}
	e := m.entries[key]
	if e != nil && e.round != m.round {
		m.next = e.place + 1
	}
	return e
}

// endCompile forgets what the compile now ending did not use.
func (m *memo[K, T]) endCompile() {
	for _, e := range m.before {
		if e.round != m.round {
			delete(m.entries, e.key)
		}
	}
	clear(m.before) // what it held is to be forgotten
	m.before, m.now = m.now, m.before[:0]
	m.next = 0
	m.round++
}
