package http1

import "sync"

// The sizes of pooled buffers: what a small message needs, what one read
// should be able to take, and a header section at the default limit.
const (
	small = 4 << 10
	large = 32 << 10
	huge  = 64 << 10
)

// buffer is receive or send storage, taken from a pool while a message is in
// flight.
type buffer struct{ b []byte }

var pools [3]sync.Pool

// class returns the index of the smallest pool whose buffers hold n bytes, and
// their size.
func class(n int) (int, int) {
	switch {
	case n <= small:
		return 0, small
	case n <= large:
		return 1, large
	case n <= huge:
		return 2, huge
	}
	return -1, n
}

// take returns a buffer of at least n bytes.
func take(n int) *buffer {
	i, size := class(n)
	if i >= 0 {
		if b, _ := pools[i].Get().(*buffer); b != nil {
			return b
		}
	}
	return &buffer{make([]byte, size)}
}

// release gives b back; what lies in it is no longer valid.
func (b *buffer) release() {
	if i, size := class(len(b.b)); i >= 0 && size == len(b.b) {
		pools[i].Put(b)
	}
}

// fit returns a buffer that holds the first n bytes of b, and no more storage
// than they need: b itself, or a small copy in its place.
func (b *buffer) fit(n int) *buffer {
	if len(b.b) <= small || n > small {
		return b
	}
	s := take(small)
	copy(s.b, b.b[:n])
	b.release()
	return s
}
