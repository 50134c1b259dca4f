package abi

import (
	"encoding/binary"

	"github.com/meshc/meshc/runtime/filter"
)

// AppendPairs appends h as a guest reads it: the number of pairs, the sizes of
// each name and value, then names and values with a NUL after each; numbers
// are 32 bits, little-endian, and sizes are without the NUL.
func AppendPairs(b []byte, h *filter.Headers) []byte {
	n := h.Len()
	b = binary.LittleEndian.AppendUint32(b, uint32(n))
	for i := range n {
		f := h.At(i)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(f.Name)))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(f.Value)))
	}
	for i := range n {
		f := h.At(i)
		b = append(append(b, f.Name...), 0)
		b = append(append(b, f.Value...), 0)
	}
	return b
}

// ParsePairs calls each for every pair in b, in order; name and value are
// valid only during the call. Pairs over the limits, that are not the whole of b
// or lack a NUL are no pairs at all, as in Envoy: it reports false then and calls
// each for none.
func ParsePairs(b []byte, each func(name, value []byte)) bool {
	n, ok := checkPairs(b)
	if !ok {
		return false
	}
	sizes, text := b[4:], b[4+8*n:]
	for i := range n {
		name := binary.LittleEndian.Uint32(sizes[8*i:])
		value := binary.LittleEndian.Uint32(sizes[8*i+4:])
		each(text[:name], text[name+1:name+1+value])
		text = text[name+1+value+1:]
	}
	return true
}

// checkPairs returns the number of pairs in b if all of them lie in it.
func checkPairs(b []byte) (n int, ok bool) {
	if len(b) < 4 || len(b) > MaxPairsBytes {
		return 0, false
	}
	count := binary.LittleEndian.Uint32(b)
	if count > MaxPairs || 4+8*int(count) > len(b) {
		return 0, false
	}
	n = int(count)
	text := b[4+8*n:]
	for i := range 2 * n {
		size := uint64(binary.LittleEndian.Uint32(b[4+4*i:]))
		if size >= uint64(len(text)) || text[size] != 0 {
			return 0, false
		}
		text = text[size+1:]
	}
	return n, len(text) == 0
}
