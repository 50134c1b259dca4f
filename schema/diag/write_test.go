package diag_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/meshc/meshc/schema/diag"
)

func place(file string, line, column int) diag.Place {
	return diag.Place{File: file, Line: line, Column: column}
}

// findings holds one of each sort, out of order.
func findings() ([]diag.Diagnostic, diag.Summary) {
	ds := []diag.Diagnostic{
		{Code: diag.CodeNoInput, Severity: diag.Error, Message: "there is no input"},
		{
			Code: diag.CodeDuplicateName, Severity: diag.Error, Place: place("mesh/web, 1.yaml", 2, 7), Path: "metadata.name",
			Message: `Service "shop/web" is defined twice`, Hint: "rename one",
			Related: []diag.Related{{Place: place("base.yaml", 4, 9), Message: "the other definition"}},
		},
		{Code: diag.CodeIgnoredKind, Severity: diag.Note, Place: place("mesh/web, 1.yaml", 5, 1), Message: "Deployment is left out"},
		{Code: diag.CodeInvalid, Severity: diag.Warning, Place: place("base.yaml", 3, 8), Path: "spec.ports[0].port", Message: "70000 is 100% too large", Hint: "give 1 to 65535"},
		{Code: diag.CodeUnreadable, Severity: diag.Error, Place: place("/srv/a:b.yaml", 0, 0), Message: "permission denied"},
	}
	s := diag.Summary{Files: 3, Documents: 1, Ignored: 1}
	s.Count(ds)
	return ds, s
}

func source(file string) []byte {
	return map[string][]byte{
		"base.yaml":        []byte("kind: Service\r\nspec:\r\n\tport: 70000\r\n    name: web\r\n"),
		"mesh/web, 1.yaml": []byte("\uFEFFkind: Service\nname: web # 網\n\n\nkind: Deployment"),
	}[file]
}

func write(t testing.TB, f diag.Format, ds []diag.Diagnostic, s diag.Summary, o diag.Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := diag.Write(&b, f, ds, s, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestGolden compares each format with testdata/FORMAT.golden. The formats are
// a public interface: change a golden file only on purpose (MESHC_UPDATE=1).
func TestGolden(t *testing.T) {
	for file, tc := range map[string]struct {
		format diag.Format
		o      diag.Options
	}{
		"text":   {diag.Text, diag.Options{Source: source}},
		"color":  {diag.Text, diag.Options{Source: source, Color: true}},
		"json":   {diag.JSON, diag.Options{}},
		"sarif":  {diag.SARIF, diag.Options{}},
		"github": {diag.GitHub, diag.Options{}},
	} {
		t.Run(file, func(t *testing.T) {
			ds, s := findings()
			got := write(t, tc.format, ds, s, tc.o)
			if file == "color" {
				got = strings.ReplaceAll(got, "\x1b", "ESC")
			}
			golden := filepath.Join("testdata", file+".golden")
			if os.Getenv("MESHC_UPDATE") != "" {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
			if again, _ := findings(); !reflect.DeepEqual(ds, again) {
				t.Error("Write changed its argument")
			}
		})
	}
}

func TestNothingFound(t *testing.T) {
	s := diag.Summary{Files: 1, Documents: 2}
	for f, want := range map[diag.Format]string{
		diag.Text:   "1 file, 2 documents: 0 errors, 0 warnings\n",
		diag.GitHub: "1 file, 2 documents: 0 errors, 0 warnings\n",
		diag.JSON:   `{"diagnostics":[],"summary":{"files":1,"documents":2,"ignored":0,"errors":0,"warnings":0}}`,
		diag.SARIF: `{"$schema":"https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",` +
			`"version":"2.1.0","runs":[{"tool":{"driver":{"name":"meshc","rules":[]}},"columnKind":"unicodeCodePoints","results":[]}]}`,
	} {
		got := write(t, f, nil, s, diag.Options{})
		if strings.HasPrefix(want, "{") {
			var b bytes.Buffer
			if err := json.Compact(&b, []byte(got)); err != nil {
				t.Errorf("%s: %v", f, err)
			}
			got = b.String()
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", f, got, want)
		}
	}
}

func TestExcerpt(t *testing.T) {
	long := strings.Repeat("a", 300)
	wide := strings.Repeat("網", 300)
	for name, tc := range map[string]struct {
		line        string
		column      int
		text, caret string
	}{
		"start":              {"port: 1", 1, "port: 1", "^"},
		"middle":             {"port: 1", 7, "port: 1", "      ^"},
		"one past the end":   {"port:", 6, "port:", "     ^"},
		"CRLF":               {"port: 1\r", 7, "port: 1", "      ^"},
		"tabs":               {"\ta\tb", 4, "    a   b", "        ^"},
		"on a tab":           {"a\tb", 2, "a   b", " ^"},
		"wide":               {"網路: 1", 5, "網路: 1", "      ^"},
		"combining":          {"e\u0301: 1", 5, "e\u0301: 1", "   ^"},
		"control":            {"a\x1b[31m: 1", 9, `a\x1b[31m: 1`, "           ^"},
		"bidi override":      {"a\u202e: 1", 5, `a\u202e: 1`, "         ^"},
		"not UTF-8":          {"a\xff: 1", 5, `a\xff: 1`, "       ^"},
		"long, at the start": {long, 1, strings.Repeat("a", 98) + "…", "^"},
		"long, in between":   {long, 150, "…" + strings.Repeat("a", 98) + "…", strings.Repeat(" ", 50) + "^"},
		"long, at the end":   {long, 300, "…" + strings.Repeat("a", 98), strings.Repeat(" ", 98) + "^"},
		"long, past the end": {long, 301, "…" + strings.Repeat("a", 98), strings.Repeat(" ", 99) + "^"},
		"long and wide":      {wide, 150, "…" + strings.Repeat("網", 49) + "…", strings.Repeat(" ", 49) + "^"},
	} {
		t.Run(name, func(t *testing.T) {
			ds := []diag.Diagnostic{{Code: diag.CodeInvalid, Place: place("f", 2, tc.column), Message: "m"}}
			got := write(t, diag.Text, ds, diag.Summary{}, diag.Options{Source: func(string) []byte { return []byte("x\n" + tc.line + "\ny") }})
			want := "     2 | " + tc.text + "\n       | " + tc.caret + "\n"
			if !strings.Contains(got, want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

func TestNoExcerptWhereThePlaceIsNotInTheFile(t *testing.T) {
	for name, p := range map[string]diag.Place{
		"line 0": place("f", 0, 0), "column 0": place("f", 1, 0), "line past the end": place("f", 3, 1), "column past the end": place("f", 1, 3),
		"no file": place("", 1, 1), "unknown file": place("g", 1, 1),
	} {
		ds := []diag.Diagnostic{{Code: diag.CodeInvalid, Place: p, Message: "m"}}
		got := write(t, diag.Text, ds, diag.Summary{}, diag.Options{Source: func(file string) []byte {
			if file == "f" {
				return []byte("a\nb")
			}
			return nil
		}})
		if strings.Contains(got, "|") {
			t.Errorf("%s: got an excerpt:\n%s", name, got)
		}
	}
}

// hostile returns a finding whose every text comes from a hostile file.
func hostile(text string) []diag.Diagnostic {
	return []diag.Diagnostic{{
		Code: diag.CodeInvalid, Place: place(text, 1, 1), Path: text, Message: text, Hint: text,
		Related: []diag.Related{{Place: place(text, 1, 1), Message: text}},
	}}
}

func checkHarmless(t *testing.T, text string) {
	for _, f := range []diag.Format{diag.Text, diag.JSON, diag.SARIF, diag.GitHub} {
		out := write(t, f, hostile(text), diag.Summary{}, diag.Options{Source: func(string) []byte { return []byte(text) }})
		if !utf8.ValidString(out) {
			t.Errorf("%s: %q gives what is not UTF-8", f, text)
		}
		for _, r := range out {
			if r != '\n' && !unicode.IsGraphic(r) {
				t.Errorf("%s: %q gives a raw %U", f, text, r)
			}
		}
		switch f {
		case diag.JSON, diag.SARIF:
			if !json.Valid([]byte(out)) {
				t.Errorf("%s: %q gives what is not JSON", f, text)
			}
		case diag.GitHub:
			if n := strings.Count(out, "\n"); n != 2 {
				t.Errorf("%q gives %d lines, want a command and the summary:\n%s", text, n, out)
			}
		}
	}
}

func TestHostileTextStaysHarmless(t *testing.T) {
	for _, text := range []string{"\x1b[2J\x07", "a\nb\r\n::error::x", "\u009b31m", "\u202eabc", "\x7f", "\xff\xfe", "\u2028", "\U000e0001", "%0A%25"} {
		checkHarmless(t, text)
	}
}

func FuzzWrite(f *testing.F) {
	f.Add("\x1b[2J網\te\u0301\r\n\xff")
	f.Fuzz(checkHarmless)
}

func TestJSONKeepsTextAsItWas(t *testing.T) {
	const text = "a\x1b\u009b\u202e\U000e0001 <&> 網"
	var got struct{ Diagnostics []diag.Related }
	if err := json.Unmarshal([]byte(write(t, diag.JSON, hostile(text), diag.Summary{}, diag.Options{})), &got); err != nil {
		t.Fatal(err)
	}
	if got.Diagnostics[0].Message != text || got.Diagnostics[0].File != text {
		t.Errorf("got %q", got.Diagnostics[0])
	}
}

func TestGitHubEscapes(t *testing.T) {
	ds := []diag.Diagnostic{{Code: diag.CodeInvalid, Place: place("a,b:c%.yaml", 1, 2), Message: "100%, a:b"}}
	got, _, _ := strings.Cut(write(t, diag.GitHub, ds, diag.Summary{}, diag.Options{}), "\n")
	if want := "::error file=a%2Cb%3Ac%25.yaml,line=1,col=2,title=MC0304::100%25, a:b"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestManyFindingsOnOneLongLine hangs where each excerpt goes through the
// whole line again.
func TestManyFindingsOnOneLongLine(t *testing.T) {
	line := bytes.Repeat([]byte("網,"), 1<<18)
	ds := make([]diag.Diagnostic, 5_000)
	for i := range ds {
		ds[i] = diag.Diagnostic{Code: diag.CodeInvalid, Place: place("f", 1, 100*i+1), Message: "m"}
	}
	got := write(t, diag.Text, ds, diag.Summary{}, diag.Options{Source: func(string) []byte { return line }})
	if n := strings.Count(got, "^"); n != len(ds) {
		t.Errorf("%d excerpts of %d", n, len(ds))
	}
}

func TestParseFormat(t *testing.T) {
	for _, name := range []string{"text", "json", "sarif", "github"} {
		if f, err := diag.ParseFormat(name); err != nil || string(f) != name {
			t.Errorf("ParseFormat(%q) = %q, %v", name, f, err)
		}
	}
	if _, err := diag.ParseFormat("xml"); err == nil {
		t.Error("xml is no format")
	}
	if err := diag.Write(&bytes.Buffer{}, "xml", nil, diag.Summary{}, diag.Options{}); err == nil {
		t.Error("Write takes xml")
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestWriteReturnsTheWritersError(t *testing.T) {
	if err := diag.Write(fullDisk{}, diag.Text, nil, diag.Summary{}, diag.Options{}); err == nil {
		t.Error("no error")
	}
}
