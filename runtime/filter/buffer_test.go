package filter_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/meshc/meshc/runtime/filter"
)

// TestBuffer holds a Buffer against a string that the same is done to.
func TestBuffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b filter.Buffer
		want := ""
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			p := rapid.StringN(0, 20, 40).Draw(t, "p")
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				b.View([]byte(p))
				want = p
			case 1:
				b.Append([]byte(p))
				want += p
			case 2, 3:
				b.Replace(0, 0, []byte(p))
				want = p + want
			case 4:
				start, length := rapid.IntRange(0, 60).Draw(t, "start"), rapid.IntRange(0, 60).Draw(t, "length")
				b.Replace(start, length, []byte(p))
				start = min(start, len(want))
				length = min(length, len(want)-start)
				want = want[:start] + p + want[start+length:]
			case 5:
				b.Reset()
				want = ""
			}
			if string(b.Bytes()) != want || b.Len() != len(want) {
				t.Fatalf("%q, want %q", b.Bytes(), want)
			}
		}
	})
}

// A filter that puts one piece in front after another costs what the pieces are.
func BenchmarkPrepend(b *testing.B) {
	piece := make([]byte, 50_000)
	for b.Loop() {
		var buffer filter.Buffer
		for range 200 {
			buffer.Replace(0, 0, piece)
		}
	}
}
