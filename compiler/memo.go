package compiler

import "slices"

// memo keeps what was made from the same inputs in the compile before. Inputs
// are pointers to values that never change, so equal pointers mean equal
// content; an entry that a compile did not ask for is dropped at its end.
type memo[T any] struct {
	old, new map[string]memoEntry[T]
}

type memoEntry[T any] struct {
	inputs []any
	value  T
}

// get returns the value for key, calling build only when key is new or its inputs changed.
func (m *memo[T]) get(key string, inputs []any, build func() T) T {
	if m.new == nil {
		m.new = make(map[string]memoEntry[T], len(m.old))
	}
	if e, ok := m.new[key]; ok && slices.Equal(e.inputs, inputs) {
		return e.value
	}
	e, ok := m.old[key]
	if !ok || !slices.Equal(e.inputs, inputs) {
		e = memoEntry[T]{inputs, build()}
	}
	m.new[key] = e
	return e.value
}

// endCompile forgets what the compile now ending did not use.
func (m *memo[T]) endCompile() { m.old, m.new = m.new, nil }
