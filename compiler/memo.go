package compiler

import "slices"

// memo keeps what was made from the same key and inputs in the compile before.
// Both are pointers to values that never change (or small comparable values),
// so equal ones mean equal content; an entry that a compile did not ask for is
// dropped at its end.
type memo[K comparable, T any] struct {
	entries map[K]*memoEntry[T]
	round   uint64
	used    int // entries asked for in this round
}

type memoEntry[T any] struct {
	inputs []any
	value  T
	round  uint64
}

// get returns the value for key, calling build only when key is new or its inputs changed.
func (m *memo[K, T]) get(key K, inputs []any, build func() T) T {
	e := m.entries[key]
	if e == nil {
		if m.entries == nil {
			m.entries = map[K]*memoEntry[T]{}
		}
		e = &memoEntry[T]{inputs: slices.Clone(inputs), value: build(), round: m.round - 1}
		m.entries[key] = e
	} else if !slices.Equal(e.inputs, inputs) {
		e.inputs, e.value = slices.Clone(inputs), build()
	}
	if e.round != m.round {
		e.round = m.round
		m.used++
	}
	return e.value
}

// endCompile forgets what the compile now ending did not use.
func (m *memo[K, T]) endCompile() {
	if m.used < len(m.entries) {
		for k, e := range m.entries {
			if e.round != m.round {
				delete(m.entries, k)
			}
		}
	}
	m.round++
	m.used = 0
}
