package filter

import "strings"

// Field is one header field. Names are lower-case; the pseudo fields :method,
// :path, :authority, :scheme (requests) and :status (responses) come first.
type Field struct{ Name, Value string }

// Headers is an ordered list of fields in which names may repeat.
//
// The strings of received headers may lie in a buffer of the connection and
// are valid until the stream ends; whoever keeps one longer clones it. The
// zero Headers is empty and ready for use.
type Headers struct {
	fields []Field
}

// Len returns the number of fields, pseudo fields included.
func (h *Headers) Len() int { return len(h.fields) }

// At returns field i.
func (h *Headers) At(i int) Field { return h.fields[i] }

// Get returns the first value of name, and whether there is one.
func (h *Headers) Get(name string) (string, bool) {
	for i := range h.fields {
		if h.fields[i].Name == name {
			return h.fields[i].Value, true
		}
	}
	return "", false
}

// Value returns the first value of name, or "".
func (h *Headers) Value(name string) string { v, _ := h.Get(name); return v }

// Add appends a field. A name that is not lower-case is made so.
func (h *Headers) Add(name, value string) {
	h.fields = append(h.fields, Field{strings.ToLower(name), value})
}

// Set gives name one value: in the place of the first field of that name, or,
// where there is none, at the end (a pseudo field: before all others).
func (h *Headers) Set(name, value string) {
	name = strings.ToLower(name)
	for i := range h.fields {
		if h.fields[i].Name == name {
			h.fields[i].Value = value
			h.removeFrom(i+1, name)
			return
		}
	}
	h.fields = append(h.fields, Field{name, value})
	if name != "" && name[0] == ':' {
		i := 0
		for i < len(h.fields)-1 && h.fields[i].Name[0] == ':' {
			i++
		}
		copy(h.fields[i+1:], h.fields[i:])
		h.fields[i] = Field{name, value}
	}
}

// Remove deletes every field of name.
func (h *Headers) Remove(name string) { h.removeFrom(0, strings.ToLower(name)) }

func (h *Headers) removeFrom(i int, name string) {
	kept := h.fields[:i]
	for _, f := range h.fields[i:] {
		if f.Name != name {
			kept = append(kept, f)
		}
	}
	clear(h.fields[len(kept):])
	h.fields = kept
}

// Reset empties h and keeps its storage for the next message.
func (h *Headers) Reset() {
	clear(h.fields)
	h.fields = h.fields[:0]
}

// CopyFrom makes h hold src's fields; the strings are shared.
func (h *Headers) CopyFrom(src *Headers) {
	h.Reset()
	h.fields = append(h.fields, src.fields...)
}

// Bytes returns the size of all names and values.
func (h *Headers) Bytes() int {
	n := 0
	for i := range h.fields {
		n += len(h.fields[i].Name) + len(h.fields[i].Value)
	}
	return n
}
