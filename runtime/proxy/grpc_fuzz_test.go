package proxy

import (
	"bytes"
	"testing"
)

// Whatever a server sends, messages come out as they were framed, or an error.
func FuzzReadMessage(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 2, 'h', 'i', 0, 0, 0, 0, 0})
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		var again []byte
		for {
			m, err := readMessage(r)
			if err != nil {
				break
			}
			var o outbox
			o.more.L = &o.mu
			o.put(m, true)
			again = append(again, o.data...)
		}
		if !bytes.HasPrefix(in, again) {
			t.Errorf("%x was read as %x", in, again)
		}
	})
}
