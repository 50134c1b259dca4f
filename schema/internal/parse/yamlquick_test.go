package parse

import (
	"bytes"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// corpus returns the YAML files among the test data and examples of this
// repository, those inside archives included, and those in the directory that
// MESHC_REALWORLD names.
func corpus(t testing.TB) [][]byte {
	t.Helper()
	var out [][]byte
	isYAML := func(name string) bool { return strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml") }
	read := func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if isYAML(path) {
			out = append(out, data)
		}
		if ext := filepath.Ext(path); ext == ".txtar" || ext == ".txt" {
			for _, f := range txtar.Parse(data).Files {
				if isYAML(f.Name) {
					out = append(out, f.Data)
				}
			}
		}
		return nil
	}
	roots := []string{"../../testdata", "../../diag/pages", "../../../examples", "../../../compiler/testdata", "../../../cmd/meshc/testdata"}
	if elsewhere := os.Getenv("MESHC_REALWORLD"); elsewhere != "" {
		roots = append(roots, elsewhere)
	}
	for _, root := range roots {
		if err := filepath.WalkDir(root, read); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// checkQuick wants the quick parser to decline, or to say what the library says.
func checkQuick(t *testing.T, data []byte) (quick bool) {
	t.Helper()
	docs, ok := quickYAML(data)
	if !ok {
		return false
	}
	want, problems := libraryYAML(bytes.Clone(data))
	if len(problems) > 0 {
		t.Fatalf("quick takes what the library refuses: %v\n%q", problems, data)
	}
	if !reflect.DeepEqual(docs, want) {
		t.Fatalf("%q\n  quick %s\nlibrary %s", data, dumpAll(docs, nil), dumpAll(want, nil))
	}
	return true
}

// Nearly all files must take the quick path, or it is worth nothing.
func TestQuickTakesMost(t *testing.T) {
	files := corpus(t)
	taken := 0
	for _, data := range files {
		if checkQuick(t, data) {
			taken++
		}
	}
	t.Logf("%d of %d files", taken, len(files))
	if taken < len(files)*9/10 {
		t.Errorf("the quick parser takes %d of %d files", taken, len(files))
	}
}

func FuzzQuickYAML(f *testing.F) {
	for i, data := range corpus(f) {
		if i%8 == 0 && len(data) < 1000 {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) { checkQuick(t, data) })
}

// yamlTokens are what YAML is made of; a text of random ones is right often
// enough, and wrong in every way.
var yamlTokens = []string{
	"a", "b", "c d", "1", "0x1", ".", "é", "~", "true", "<<",
	": ", ":", "- ", "-", "? ", "#", " #", " ", "  ", "    ", "\t",
	"\n", "\n", "\n", "\n ", "\n  ", "\n    ", "\n- ", "\n  - ", "\na: ", "\n  b: ", "\nc:\n", "\nd: e\n", "\r\n",
	"'", "\"", "''", "'a'", "\"b\"", "\\n", "\\u00e9", "\\\"", "\\\n",
	"[", "]", "{", "}", ",", ", ", "{a: ", "[a, ", "\"a\":",
	"|", ">", "|-\n", "|+\n", ">-\n", ">+\n", ">\n", "|2\n",
	"---", "\n---\n", "\n...\n", "\n--- ", "---\t", "%", "&a ", "*a", "!x ", "@", "`",
}

// FuzzQuickTokens takes each byte for a token.
func FuzzQuickTokens(f *testing.F) {
	f.Add([]byte{0, 10, 3})
	f.Fuzz(func(t *testing.T, choice []byte) {
		var data []byte
		for _, c := range choice {
			data = append(data, yamlTokens[int(c)%len(yamlTokens)]...)
		}
		checkQuick(t, data)
	})
}

// TestQuickTokens is the fuzz test above with choices that are always the same.
func TestQuickTokens(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	beginnings := []string{"", "k: ", "- ", "k:\n  ", "- a: ", "a:\n- ", "- - ", "k: [", "k: {a: ", "k: '", "k: \"", "k: |\n  ", "k: >\n  "}
	endings := []string{"", "\n", "]\n", "}\n", "'\n", "\"\n", "\nc: d\n", " # c\n"}
	taken := 0
	for range 50_000 {
		data := []byte(beginnings[r.IntN(len(beginnings))])
		for range r.IntN(10) {
			data = append(data, yamlTokens[r.IntN(len(yamlTokens))]...)
		}
		data = append(data, endings[r.IntN(len(endings))]...)
		if checkQuick(t, data) {
			taken++
		}
	}
	if taken < 2000 {
		t.Errorf("the quick parser takes only %d", taken)
	}
}

// What must not fall back to the library, or the tests above say nothing of it.
func TestQuickTakes(t *testing.T) {
	for _, data := range []string{
		"", "# nothing\n", "---\n---\n...\n", "a: 1\n---\nb: 2\n...\nc: 3", "--- # first\na: 1\n",
		"a:\n- b\n- c: d\n  e:\n  - f\ng:\n    - h\n", "- - a\n  -\n    b: c\n-\n", "a:\n  b:\n  c:\nd:\n",
		"'a': \"b\" # c\n\"d e\" : 'it''s'\n", "a: \"\\n\\x41\\u00e9\\U0001f600\\\\\"\n", "é: ü\nö: x\n",
		"a: 'b\n\n  c\n  d'\n", "a: \"b \\\n  \\ c\n  d\"\n", "a: b\n  c\n\n  - d\ne: f\n", "a: ::1\n",
		"a: {b: c, 'd':e, f: [1, [], {}]}\n", "a: [\n  b, # c\n  {d: e},\n]\nf: g\n", "{\"a\":1,\n\"b\":[true,null]}\n",
		"a: |\n  b\n   c\n\n  d\ne: |-\n  f\ng: |+\n  h\n\n\n", "a: > # b\n  c\n  d\n\n  e\n   f\n  g\n", "- |\n \tx\n- b\n",
		"a: 1\r\nb: |\r\n  c\r\n", strings.Repeat("[", 100) + strings.Repeat("]", 100), strings.Repeat("- ", 100) + "a",
	} {
		if !checkQuick(t, []byte(data)) {
			t.Errorf("not taken: %q", data)
		}
	}
	for _, data := range []string{
		strings.Repeat("[", 102) + strings.Repeat("]", 102), strings.Repeat("- ", 102) + "a", strings.Repeat("- ", 101) + "\n",
		"a: yes\n", "a: 1\na: 2\n", "1: a\n", "a: .inf\n", "a: &b c\n", "# meshc:ignore MC0001\na: 1\n", "a\n",
	} {
		if checkQuick(t, []byte(data)) {
			t.Errorf("taken: %q", data)
		}
	}
}

func BenchmarkYAML(b *testing.B) {
	data := []byte(`apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: shop
  labels:
    app: web
spec:
  type: ClusterIP
  selector:
    app: web
  ports:
  - name: http
    port: 80
    targetPort: 8080
`)
	for name, parse := range map[string]func([]byte){
		"quick":   func(b []byte) { quickYAML(b) },
		"library": func(b []byte) { libraryYAML(b) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				parse(data)
			}
		})
	}
}
