//go:build linux

package behaviour

import (
	"slices"
	"strings"
)

// compare holds an expectation against what happened.
func (t *transcript) compare(s step, got string) {
	if t.update != nil {
		t.update(s, got+"\n")
		return
	}
	if want := strings.TrimRight(s.text, "\n"); strings.TrimRight(got, "\n") != want {
		t.report(s, difference(want, strings.TrimRight(got, "\n")))
	}
}

// difference shows two texts line by line.
func difference(want, got string) string {
	var b strings.Builder
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	b.WriteString("  want (-), got (+):\n")
	for i, j := 0, 0; i < len(w) || j < len(g); {
		switch {
		case i < len(w) && j < len(g) && w[i] == g[j]:
			b.WriteString("    " + w[i] + "\n")
			i, j = i+1, j+1
		case i < len(w) && (j >= len(g) || !slices.Contains(g[j:], w[i])):
			b.WriteString("  - " + w[i] + "\n")
			i++
		default:
			b.WriteString("  + " + g[j] + "\n")
			j++
		}
	}
	return b.String()
}
