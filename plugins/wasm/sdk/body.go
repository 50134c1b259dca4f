package sdk

import (
	"math"

	"github.com/meshc/meshc/plugins/wasm/sdk/internal/host"
)

// Body is a piece of a body, or of a connection's data, that the host holds. It
// is reachable in the callback that got it. A filter that changes the length of
// a body removes content-length in the headers' callback.
type Body struct {
	buffer int32
	size   uint32
}

// Len returns how many bytes the callback was shown.
func (b Body) Len() int { return int(b.size) }

// Bytes returns a copy of all of it.
func (b Body) Bytes() []byte { return readBuffer(b.buffer) }

// Append appends all of it to dst. Where dst has the capacity, nothing is
// allocated.
func (b Body) Append(dst []byte) ([]byte, error) {
	v, s := host.BufferBytes(dst, b.buffer, 0, math.MaxInt32)
	return v, check(s)
}

// Range returns a copy of at most size bytes from start on.
func (b Body) Range(start, size int) ([]byte, error) {
	if start < 0 || size < 0 || start > math.MaxInt32 {
		return nil, BadArgument
	}
	v, s := host.BufferBytes(nil, b.buffer, uint32(start), uint32(min(size, math.MaxInt32)))
	return v, check(s)
}

// Replace puts data in place of all of it.
func (b Body) Replace(data []byte) error { return b.set(0, math.MaxInt32, data) }

// Prepend puts data before it.
func (b Body) Prepend(data []byte) error { return b.set(0, 0, data) }

// Add puts data behind it.
func (b Body) Add(data []byte) error { return b.set(math.MaxInt32, 0, data) }

func (b Body) set(start, length uint32, data []byte) error {
	return check(host.SetBufferBytes(b.buffer, start, length, data))
}

func readBuffer(buffer int32) []byte {
	v, _ := host.BufferBytes(nil, buffer, 0, math.MaxInt32)
	return v
}
