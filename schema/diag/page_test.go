package diag

import (
	"io/fs"
	"strings"
	"testing"
)

func TestEveryCodeHasAPageAndEveryPageACode(t *testing.T) {
	for _, code := range Codes() {
		p, err := ReadPage(code)
		if err != nil {
			t.Errorf("%v: write schema/diag/pages/%s.txtar (%s)", err, code, Title(code))
			continue
		}
		if paragraphs := strings.Count(p.Prose, "\n\n") + 1; paragraphs < 2 {
			t.Errorf("%s: %d paragraphs say too little: what it means, why it matters, what to do", code, paragraphs)
		}
		if (len(p.Wrong) == 0) != (len(p.Right) == 0) {
			t.Errorf("%s has %d wrong and %d right files: both or none", code, len(p.Wrong), len(p.Right))
		}
	}
	entries, err := fs.ReadDir(pages, "pages")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if Title(strings.TrimSuffix(e.Name(), ".txtar")) == "" {
			t.Errorf("pages/%s belongs to no code", e.Name())
		}
	}
}

func TestFindCode(t *testing.T) {
	for _, tc := range []struct{ in, code, near string }{
		{"MC0301", "MC0301", ""},
		{"mc301", "MC0301", ""},
		{"301", "MC0301", ""},
		{" 0301 ", "MC0301", ""},
		{"MC-301", "MC0301", ""},
		{"MC1", "MC0001", ""},
		{"[MC0301]", "MC0301", ""},
		{"error[MC0301]:", "MC0301", ""},
		{"MC0381", "", "MC0301"},
		{"MC9999", "", ""},
		{"MCO301", "", "MC0301"},
		{"MC03011", "", "MC0301"},
		{"", "", ""},
		{"MC", "", ""},
		{"a code", "", ""},
	} {
		if code, near := FindCode(tc.in); code != tc.code || near != tc.near {
			t.Errorf("FindCode(%q) = %q, %q, want %q, %q", tc.in, code, near, tc.code, tc.near)
		}
	}
}
