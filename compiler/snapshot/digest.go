package snapshot

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"sync"
)

// Digest is the SHA-256 of a part's content. It is written as lower-case hex.
type Digest [sha256.Size]byte

// DigestOf returns the digest of v, which must be built of the package's own
// types, strings, numbers and booleans. As in JSON, fields go by their JSON
// names and those marked "-" do not count; a field without a value counts as one
// that the type does not have.
func DigestOf[T any](v T) Digest {
	buf := buffers.Get().(*[]byte)
	*buf = appendContent((*buf)[:0], reflect.ValueOf(&v).Elem())
	sum := sha256.Sum256(*buf)
	buffers.Put(buf)
	return sum
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// appendContent appends v in a form that tells where it ends, so that no two
// values of a type have the same.
func appendContent(b []byte, v reflect.Value) []byte {
	switch v.Kind() {
	case reflect.String:
		return appendText(b, v.String())
	case reflect.Bool:
		if v.Bool() {
			return append(b, 1)
		}
		return append(b, 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return binary.AppendVarint(b, v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return binary.AppendUvarint(b, v.Uint())
	case reflect.Array: // a Digest
		return append(b, v.Bytes()...)
	case reflect.Slice: // that of a List
		b = binary.AppendUvarint(b, uint64(v.Len()))
		for i := range v.Len() {
			b = appendContent(b, v.Index(i))
		}
		return b
	case reflect.Struct:
		for _, f := range fieldsOf(v.Type()) {
			before := len(b)
			b = appendText(b, f.name)
			content := len(b)
			b = appendContent(b, v.Field(f.index))
			if empty(b[content:]) {
				b = b[:before]
			}
		}
		return append(b, 0)
	}
	// A type that cannot be part of a snapshot: a mistake in meshc.
	panic(fmt.Sprintf("snapshot: digest of %s", v.Type()))
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// empty reports whether content is that of a zero value.
func empty(content []byte) bool {
	for _, c := range content {
		if c != 0 {
			return false
		}
	}
	return true
}

// field is one that counts for the digest.
type field struct {
	index int
	name  string
}

var knownFields sync.Map // []field by reflect.Type

func fieldsOf(t reflect.Type) []field {
	if known, ok := knownFields.Load(t); ok {
		return known.([]field)
	}
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch name {
		case "-":
			continue
		case "":
			name = f.Name
		}
		out = append(out, field{i, name})
	}
	knownFields.Store(t, out)
	return out
}

// IsZero reports whether d has not been filled in.
func (d Digest) IsZero() bool { return d == Digest{} }

// String returns the digest as 64 hex digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Short returns the first 12 hex digits, enough for a log line.
func (d Digest) Short() string { return hex.EncodeToString(d[:6]) }

// MarshalText writes the digest as hex.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads 64 hex digits.
func (d *Digest) UnmarshalText(b []byte) error {
	if len(b) != hex.EncodedLen(len(d)) {
		return fmt.Errorf("digest must be %d hex digits, got %d", hex.EncodedLen(len(d)), len(b))
	}
	_, err := hex.Decode(d[:], b)
	return err
}
