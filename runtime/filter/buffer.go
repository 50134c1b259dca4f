package filter

// Buffer is a piece of body in a filter's hands. The filter may read it and
// replace any part of it; what it holds when the callback returns is what goes
// on.
type Buffer struct {
	data []byte
	own  bool // data is the buffer's own storage, not the reader's
	// store is the storage where data has spare bytes in front of it, for a
	// filter that puts one piece in front after another.
	store []byte
	spare int
}

// View makes b show data, without copying, until it is changed.
func (b *Buffer) View(data []byte) { *b = Buffer{data: data} }

// Bytes returns the content, valid until the callback returns or the buffer is changed.
func (b *Buffer) Bytes() []byte { return b.data }

// Len returns the number of bytes held.
func (b *Buffer) Len() int { return len(b.data) }

// Append adds a copy of p at the end.
func (b *Buffer) Append(p []byte) {
	if !b.own {
		b.data, b.own = append(make([]byte, 0, len(b.data)+len(p)), b.data...), true
	}
	if cap(b.data)-len(b.data) < len(p) { // it moves
		b.store, b.spare = nil, 0
	}
	b.data = append(b.data, p...)
}

// Replace puts a copy of p in place of length bytes at start. Both are cut to
// what is there: start 0 and length 0 prepends, start at or past the end
// appends, start 0 and length of Len or more replaces all (Proxy-Wasm's
// set_buffer_bytes, as Envoy has it).
func (b *Buffer) Replace(start, length int, p []byte) {
	start = min(start, len(b.data))
	length = min(length, len(b.data)-start)
	if start == 0 && length == 0 {
		b.prepend(p)
		return
	}
	next := make([]byte, 0, len(b.data)-length+len(p))
	next = append(next, b.data[:start]...)
	next = append(next, p...)
	*b = Buffer{data: append(next, b.data[start+length:]...), own: true}
}

// prepend puts a copy of p in front. What there is already is copied now and
// then only: each time it is, it gets half its length of room.
func (b *Buffer) prepend(p []byte) {
	if len(p) == 0 {
		return
	}
	if b.spare < len(p) {
		spare := len(p) + (len(b.data)+len(p))/2
		store := make([]byte, spare+len(b.data))
		copy(store[spare:], b.data)
		*b = Buffer{data: store[spare:], own: true, store: store, spare: spare}
	}
	end := b.spare + len(b.data)
	b.spare -= len(p)
	copy(b.store[b.spare:], p)
	b.data = b.store[b.spare:end]
}

// Reset empties the buffer; storage of its own is kept.
func (b *Buffer) Reset() {
	if !b.own {
		b.data = nil
	}
	b.data = b.data[:0]
}
