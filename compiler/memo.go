package compiler

import "slices"

// memo keeps what was made from the same inputs in the compile before. Inputs
// are pointers to values that never change (or small comparable values), so
// equal inputs mean equal content; an entry that a compile did not ask for is
// dropped at its end.
type memo[T any] struct {
	entries map[string]*memoEntry[T]
	round   uint64
	used    int // entries asked for in this round
}

type memoEntry[T any] struct {
	inputs []any
	value  T
	round  uint64
}

// get returns the value for key, calling build only when key is new or its inputs changed.
func (m *memo[T]) get(key string, inputs []any, build func() T) T {
	e := m.entries[key]
	if e == nil {
		if m.entries == nil {
			m.entries = map[string]*memoEntry[T]{}
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
func (m *memo[T]) endCompile() {
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
