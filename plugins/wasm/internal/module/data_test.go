package module_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/meshc/meshc/plugins/wasm/internal/module"
)

// sections are those of a module by id.
func sections(data []byte) map[byte][]byte {
	all := map[byte][]byte{}
	for at := 8; at < len(data); {
		id, size, shift := data[at], 0, 0
		for at++; ; at++ {
			size |= int(data[at]&0x7f) << shift
			shift += 7
			if data[at] < 0x80 {
				break
			}
		}
		at++
		all[id] = data[at : at+size]
		at += size
	}
	return all
}

// memoryModule has a memory of a page and the given data section.
func memoryModule(data string) []byte {
	b := append([]byte("\x00asm\x01\x00\x00\x00"), 5, 3, 1, 0, 1, 7, 10, 1, 6)
	b = append(b, "memory\x02\x00"...)
	return append(append(b, 11, byte(len(data))), data...)
}

// Segments are joined where that cannot be told from the memory they make.
func TestData(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"near":         {"\x02" + "\x00\x41\x08\x0b\x02ab" + "\x00\x41\x0c\x0b\x01c", "\x01\x00\x41\x08\x0b\x05ab\x00\x00c"},
		"touching":     {"\x02" + "\x00\x41\x08\x0b\x02ab" + "\x00\x41\x0a\x0b\x01c", "\x01\x00\x41\x08\x0b\x03abc"},
		"far":          {"\x02" + "\x00\x41\x08\x0b\x02ab" + "\x00\x41\x80\x20\x0b\x01c", "\x02\x00\x41\x08\x0b\x02ab\x00\x41\x80\x20\x0b\x01c"},
		"too far":      {"\x02" + "\x00\x41\x08\x0b\x02ab" + "\x00\x41\xc0\x00\x0b\x01c", "\x02\x00\x41\x08\x0b\x02ab\x00\x41\xc0\x00\x0b\x01c"},
		"out of order": {"\x02" + "\x00\x41\x08\x0b\x02ab" + "\x00\x41\x04\x0b\x01c", "\x01\x00\x41\x04\x0b\x06c\x00\x00\x00ab"},
		"overlapping":  {"\x02" + "\x00\x41\x08\x0b\x02ab" + "\x00\x41\x09\x0b\x01c", ""},
		"passive":      {"\x02" + "\x00\x41\x08\x0b\x02ab" + "\x01\x01c", ""},
		"one":          {"\x01" + "\x00\x41\x08\x0b\x02ab", ""},
	} {
		if c.want == "" {
			c.want = c.in
		}
		in := memoryModule(c.in)
		out := meter(t, in)
		if got := sections(out)[11]; string(got) != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		a, _ := run(t, in, 1000)
		b, _ := run(t, out, 1000)
		before, _ := a.Memory().Read(0, 1<<16)
		after, _ := b.Memory().Read(0, 1<<16)
		if !bytes.Equal(before, after) {
			t.Errorf("%s: another memory", name)
		}
	}
}

// A hollow module is the same but for its code.
func TestHollow(t *testing.T) {
	whole := meter(t, goGuest(t))
	hollow, err := module.Hollow(whole)
	if err != nil {
		t.Fatal(err)
	}
	want, got := sections(whole), sections(hollow)
	if len(got[10]) >= len(want[10])/10 {
		t.Errorf("%d bytes of code of %d are left", len(got[10]), len(want[10]))
	}
	delete(want, 10)
	delete(got, 10)
	for id := range want {
		if !bytes.Equal(want[id], got[id]) {
			t.Errorf("section %d differs", id)
		}
	}
}

// What a module is compiled from is kept by its version: if it has changed, the
// version has to, too.
func TestVersion(t *testing.T) {
	sum := sha256.Sum256(meter(t, work().bytes()))
	if got, want := hex.EncodeToString(sum[:4]), "a255ba50"; module.Version != 1 || got != want {
		t.Errorf("version %d makes %s, it was %s", module.Version, got, want)
	}
}
