package foreign

import (
	"bytes"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// maxField is the highest field number of the messages.
const maxField = 5

// kind is how a field of a message is written.
type kind byte

const (
	absent kind = iota
	isText
	isBytes
	isNumber
)

// fields are the fields of a message by their number.
type fields [maxField + 1]kind

// message is what a message's fields hold; what is not there is zero, as in proto3.
type message struct {
	bytes   [maxField + 1][]byte // copied
	numbers [maxField + 1]uint64
}

// decode reads a protobuf message: the last of a repeated field counts, unknown
// fields and those of another wire type are passed over, text has to be UTF-8.
// It is false for what Envoy's protobuf library does not parse.
func decode(b []byte, want fields) (m message, ok bool) {
	for len(b) > 0 {
		number, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return m, false
		}
		b = b[n:]
		k := absent
		if number <= maxField {
			k = want[number]
		}
		switch {
		case k == isNumber && wire == protowire.VarintType:
			v, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return m, false
			}
			m.numbers[number], b = v, b[n:]
		case (k == isText || k == isBytes) && wire == protowire.BytesType:
			v, n := protowire.ConsumeBytes(b)
			if n < 0 || k == isText && !utf8.Valid(v) {
				return m, false
			}
			m.bytes[number], b = bytes.Clone(v), b[n:]
		default:
			n := protowire.ConsumeFieldValue(number, wire, b)
			if n < 0 {
				return m, false
			}
			b = b[n:]
		}
	}
	return m, true
}
