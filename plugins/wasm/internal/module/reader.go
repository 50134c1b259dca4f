package module

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// reader reads from data[pos:end]. After the first error everything it returns is zero.
type reader struct {
	data     []byte
	pos, end int
	err      error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
	r.pos = r.end
}

var errEnd = errors.New("it ends too early")

func (r *reader) byte() byte {
	if r.err != nil || r.pos >= r.end {
		r.ended()
		return 0
	}
	b := r.data[r.pos]
	r.pos++
	return b
}

func (r *reader) ended() {
	if r.err == nil {
		r.err = errEnd
	}
	r.pos = r.end
}

func (r *reader) skip(n int) {
	if r.err != nil || n > r.end-r.pos {
		r.ended()
		return
	}
	r.pos += n
}

func (r *reader) u32() uint32 {
	if r.err == nil && r.pos < r.end && r.data[r.pos] < 0x80 { // most are one byte
		r.pos++
		return uint32(r.data[r.pos-1])
	}
	v := r.uleb(5)
	if v > 1<<32-1 {
		r.fail("a number over 32 bits at %#x", r.pos)
		return 0
	}
	return uint32(v)
}

func (r *reader) u64() uint64 { return r.uleb(10) }

func (r *reader) uleb(most int) uint64 {
	var v uint64
	for i := range most {
		b := r.byte()
		if i == 9 && b > 1 {
			break
		}
		v |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			return v
		}
	}
	r.fail("a number that is too long at %#x", r.pos)
	return 0
}

// sleb reads a signed number of at most so many bytes. Only its length counts
// here; an engine checks its range.
func (r *reader) sleb(most int) {
	for range most {
		if r.byte() < 0x80 {
			return
		}
	}
	r.fail("a number that is too long at %#x", r.pos)
}

// count reads the length of a list whose entries have so many bytes at least,
// so that it can be no longer than what is left.
func (r *reader) count(entry, most int) uint32 {
	n := r.u32()
	if r.err == nil && (int64(n) > int64(r.end-r.pos)/int64(entry) || int64(n) > int64(most)) {
		r.fail("a list claims %d entries, %d bytes are left and %d entries allowed", n, r.end-r.pos, most)
	}
	if r.err != nil {
		return 0
	}
	return n
}

// index reads an index into a space of so many.
func (r *reader) index(count uint32, of string) uint32 {
	n := r.u32()
	if r.err == nil && n >= count {
		r.fail("%s %d, there are %d", of, n, count)
	}
	if r.err != nil {
		return 0
	}
	return n
}

func (r *reader) bytes() []byte {
	n := r.count(1, 1<<30)
	b := r.data[r.pos : r.pos+int(n)]
	r.pos += int(n)
	return b
}

func (r *reader) name() string {
	b := r.bytes()
	if !utf8.Valid(b) {
		r.fail("a name that is not UTF-8 at %#x", r.pos)
	}
	return string(b)
}

func (r *reader) types() []ValueType {
	n := r.count(1, maxParams)
	from := r.pos
	for range n {
		r.valueType()
	}
	if r.err != nil || n == 0 {
		return nil
	}
	return r.data[from:r.pos:r.pos]
}

func (r *reader) valueType() {
	switch t := r.byte(); t {
	case I32, I64, F32, F64, V128, FuncRef, ExternRef:
	case 0x69, 0x68, 0x74, 0x75:
		r.feature("exceptions")
	case 0x63, 0x64:
		r.feature("typed function references")
	default:
		if r.err == nil {
			r.fail("unknown value type 0x%02x at %#x", t, r.pos-1)
		}
	}
}

func (r *reader) globalType() {
	r.valueType()
	if mutable := r.byte(); mutable > 1 {
		r.fail("a global of the unknown mutability %d", mutable)
	}
}

func (r *reader) feature(name string) {
	if r.err == nil {
		r.err = &FeatureError{name, fmt.Sprintf("the type at %#x", r.pos-1)}
	}
	r.pos = r.end
}
