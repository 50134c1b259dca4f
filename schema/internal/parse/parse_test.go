package parse

import (
	"fmt"
	"strings"
	"testing"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// dump writes a tree as type@line:column with the values inside.
func dump(n *tree.Node) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s@%d:%d", n.Kind, n.Pos.Line, n.Pos.Column)
	if n.Text != "" {
		fmt.Fprintf(&b, " %q", n.Text)
	}
	for _, item := range n.Items {
		b.WriteString(" [" + dump(item) + "]")
	}
	for _, f := range n.Fields {
		fmt.Fprintf(&b, " {%s@%d:%d %s}", f.Key, f.KeyPos.Line, f.KeyPos.Column, dump(f.Value))
	}
	return b.String()
}

func dumpAll(docs []Document, ds []diag.Diagnostic) string {
	var out []string
	for _, d := range docs {
		out = append(out, dump(d.Root))
		for _, p := range d.Problems {
			out = append(out, fmt.Sprintf("%s %d:%d %s", p.Code, p.Line, p.Column, p.Path))
		}
		for _, s := range d.Silences {
			out = append(out, fmt.Sprintf("silence %s %d:%d", s.Code, s.Pos.Line, s.Pos.Column))
		}
	}
	for _, d := range ds {
		out = append(out, fmt.Sprintf("%s %d:%d %s", d.Code, d.Line, d.Column, d.Message))
	}
	return strings.Join(out, "\n")
}

func TestYAMLScalars(t *testing.T) {
	for _, c := range []struct {
		in      string
		kind    tree.Kind
		text    string
		trapped bool
	}{
		{"~", tree.Null, "", false},
		{"null", tree.Null, "", false},
		{"True", tree.Bool, "true", false},
		{"yes", tree.String, "yes", true},
		{"OFF", tree.String, "OFF", true},
		{"n", tree.String, "n", true},
		{"yeS", tree.String, "yeS", false},
		{"0", tree.Int, "0", false},
		{"+5", tree.Int, "5", false},
		{"-0", tree.Int, "0", false},
		{"12345678901234567890123", tree.Int, "12345678901234567890123", false},
		{"0x1F", tree.Int, "31", false},
		{"010", tree.Int, "8", true},
		{"-010", tree.Int, "-8", true},
		{"0o10", tree.Int, "8", true},
		{"0b11", tree.Int, "3", true},
		{"089", tree.Int, "89", true},
		{"1_000", tree.Int, "1000", true},
		{"--1", tree.String, "--1", false},
		{"1.", tree.Float, "1.0", false},
		{".5", tree.Float, "0.5", false},
		{"+1.50", tree.Float, "1.50", false},
		{"-01.5", tree.Float, "-1.5", false},
		{"1e3", tree.Float, "1e3", false},
		{"1:30", tree.String, "1:30", false},
		{"2020-05-12", tree.String, "2020-05-12", false},
		{"10.0.0.1", tree.String, "10.0.0.1", false},
		{"5s", tree.String, "5s", false},
		{"'5'", tree.String, "5", false},
		{"!!str 5", tree.String, "5", false},
		{"!!float 5", tree.Float, "5", false},
		{"!!binary aGk=", tree.String, "hi", false},
	} {
		docs, ds := YAML([]byte("v: " + c.in))
		if len(docs) != 1 || len(ds) != 0 {
			t.Errorf("%s: %d documents, %v", c.in, len(docs), ds)
			continue
		}
		v := docs[0].Root.Get("v")
		trapped := len(docs[0].Problems) == 1 && docs[0].Problems[0].Code == diag.CodeYAMLTrap
		if v.Kind != c.kind || v.Text != c.text || trapped != c.trapped || len(docs[0].Problems) > 1 {
			t.Errorf("%s: got %s %q, trapped %v: %v; want %s %q, trapped %v", c.in, v.Kind, v.Text, trapped, docs[0].Problems, c.kind, c.text, c.trapped)
		}
	}
}

func TestYAML(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"nothing", "", ""},
		{"empty documents", "---\n# comment\n---\n---\n...\n", ""},
		{"null that was written", "--- ~\n", "null@1:5"},
		{"columns count characters", "é: ü\nb: x\n", `map@1:1 {é@1:1 string@1:4 "ü"} {b@2:1 string@2:4 "x"}`},
		{"empty value is at its key", "a:\nb: 1\n", `map@1:1 {a@1:1 null@1:1} {b@2:1 integer@2:4 "1"}`},
		{"version directive", "%YAML 1.2\n---\na: 1\n", `map@3:1 {a@3:1 integer@3:4 "1"}`},
		{"merge keys", "a: &a {x: 1}\nb: {<<: *a, z: 2}\n", `map@1:1 {a@1:1 map@1:4 {x@1:8 integer@1:11 "1"}} {b@2:1 map@2:4 {z@2:13 integer@2:16 "2"} {x@1:8 integer@1:11 "1"}}`},
		{"merge key of a scalar", "<<: 1\n", "map@1:1\nMC0101 1:5 "},
		{"alias is at the alias", "a: &a {x: 1}\nb: *a\n", `map@1:1 {a@1:1 map@1:4 {x@1:8 integer@1:11 "1"}} {b@2:1 map@2:4 {x@1:8 integer@1:11 "1"}}`},
		{"a mistake is told where it is written, not at the alias", "a: &a {x: 1, x: 2}\nb: *a\n", `map@1:1 {a@1:1 map@1:4 {x@1:8 integer@1:11 "1"}} {b@2:1 map@2:4 {x@1:8 integer@1:11 "1"}}` + "\nMC0102 1:14 a.x"},
		{"anchor in itself", "a: &a [*a]\n", `MC0104 1:8 the anchor "a" contains itself`},
		{"duplicate key", "a: 1\na: 2\n", `map@1:1 {a@1:1 integer@1:4 "1"}` + "\nMC0102 2:1 a"},
		{"keys that are no strings", "1: a\ntrue: b\n[x]: c\n", "map@1:1\nMC0103 1:1 \nMC0103 2:1 \nMC0103 3:1 "},
		{"not a number", "a: .inf\n", `map@1:1 {a@1:1 number@1:4 ".inf"}` + "\nMC0304 1:4 a"},
		{"unknown anchor", "data: *hunter2\n", "MC0101 1:7 an alias of an anchor that is not there"},
		{"unknown tag", "a: !x 1\n", "map@1:1 {a@1:1 null@1:4}\nMC0101 1:4 a"},
		{"unknown tag on a key", "{!x a: 1}\n", "map@1:1\nMC0101 1:2 "},
		{"deep", strings.Repeat("[", 200) + strings.Repeat("]", 200), "MC0104 1:102 maps and lists are nested more than 100 deep"},
		{"very deep", strings.Repeat("[", 20000), "MC0104 1:1001 maps and lists are nested more than 100 deep"},
		{"open bracket", "a: [1, 2\nb: 3\n", "MC0101 2:2 did not find expected ',' or ']'"},
		{"open bracket at the end", "a: {x: 1\n", "MC0101 1:4 did not find expected ',' or '}'"},
		{"open quote", "a: 'x\nb: 3\n", "MC0101 1:4 the document ends inside a quoted scalar"},
		{"tab", "a:\n\t- 2\n", "MC0101 2:1 a tab where YAML wants spaces"},
		{"key without colon", "a:\n- 1\n-2\nb: 1\n", "MC0101 3:1 a key without a colon"},
		{"control character", "a: 1\nb: x\x07\n", "MC0101 2:5 control characters are not allowed (value: 7)"},
		{"neighbours of a mistake", "a: 1\n---\nb: [\n---\nc: 3\n--- {d: 4}\n", `map@1:1 {a@1:1 integer@1:4 "1"}` + "\n" + `map@5:1 {c@5:1 integer@5:4 "3"}` + "\n" + `map@6:5 {d@6:6 integer@6:9 "4"}` + "\nMC0101 4:1 did not find expected node content"},
		{"each mistake of a file", "a: [\n---\nb: {\n", "MC0101 2:1 did not find expected node content\nMC0101 4:1 did not find expected node content"},
		{"silences", "# meshc:ignore MC0001 why\na: 1 # meshc:ignore MC0002\nb: '# meshc:ignore MC0003'\n# meshc:ignored\n", `map@2:1 {a@2:1 integer@2:4 "1"} {b@3:1 string@3:4 "# meshc:ignore MC0003"}` + "\nsilence MC0001 1:1\nsilence MC0002 2:6"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := dumpAll(YAML([]byte(c.in))); got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
		})
	}
}

// An alias may not make a document grow without bound.
func TestYAMLAliasBomb(t *testing.T) {
	var b strings.Builder
	b.WriteString("a0: &a0 x\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9))
	}
	b.WriteString("---\nafter: 1\n")
	docs, ds := YAML([]byte(b.String()))
	if len(docs) != 1 || docs[0].Root.Get("after") == nil {
		t.Errorf("the document after it is lost")
	}
	if len(ds) != 1 || ds[0].Code != diag.CodeTooDeep {
		t.Errorf("got %v, want one %s", ds, diag.CodeTooDeep)
	}
}

func TestJSON(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"nothing", " \n", ""},
		{"values", `{"é": [1, -0, 1.50, "x", true, null]}`, `map@1:1 {é@1:2 list@1:7 [integer@1:8 "1"] [integer@1:11 "-0"] [number@1:15 "1.50"] [string@1:21 "x"] [boolean@1:26 "true"] [null@1:32]}`},
		{"several", "{}\n[]", "map@1:1\nlist@2:1"},
		{"duplicate key", `{"a": {"b": 1, "b": 2}}`, `map@1:1 {a@1:2 map@1:7 {b@1:8 integer@1:13 "1"}}` + "\nMC0102 1:16 a.b"},
		{"comma at the end", "{}\n{\"a\": 1,}", "map@1:1\nMC0101 2:9 invalid character '}' looking for beginning of object key string"},
		{"comment", "{\n \"é\": 1, // c\n}", "MC0101 2:10 invalid character '/' looking for beginning of object key string"},
		{"escape", `{"a": "x\q"}`, `MC0101 1:10 invalid character 'q' in string escape code`},
		{"end inside", `{"a": [1`, "MC0101 1:9 the file ends inside a value"},
		{"deep", strings.Repeat("[", 200) + strings.Repeat("]", 200), "MC0104 1:102 maps and lists are nested more than 100 deep"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := dumpAll(JSON([]byte(c.in))); got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
		})
	}
}

func FuzzYAML(f *testing.F) {
	for _, s := range []string{
		"a: 1\n", "a: &a [*a]\n", "<<: {a: 1}\n", "--- |\n x\n...\n---\n? [a]\n: b\n", "%YAML 1.2\n---\n{a: 010, b: !!binary aGk=}\n", "a: 'x\n---\nb: \"\\q\"\n", "# meshc:ignore MC0001\na: 1 # meshc:ignore\n", "\x01", "é: \t- x", "a: [1\n--- b",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		docs, ds := YAML(data)
		checkPlaces(t, data, docs, ds)
	})
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"a": [1, -0, 1.5e3, "\u00e9", null, true]}`, `{"a":1,"a":2}`, `[[[[`, `{} []`, `"\ud800"`, `{"a":1,}`, "\x00", `{"é": "` + "\t" + `"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		docs, ds := JSON(data)
		checkPlaces(t, data, docs, ds)
		if len(docs) != 1 || len(ds) > 0 || len(docs[0].Problems) > 0 {
			return
		}
		// JSON is YAML, where the YAML parser takes it at all: it has limits
		// on the length of keys and refuses some control characters.
		again, ds := YAML(data)
		if len(again) != 1 || len(ds) > 0 {
			return
		}
		if j, y := values(docs[0].Root), values(again[0].Root); j != y {
			t.Errorf("as JSON %s\nas YAML %s", j, y)
		}
	})
}

// values is a tree without its places.
func values(n *tree.Node) string {
	var b strings.Builder
	text := n.Text
	if n.Kind == tree.Int && text == "-0" {
		text = "0"
	}
	fmt.Fprintf(&b, "%s %q", n.Kind, text)
	for _, item := range n.Items {
		b.WriteString("[" + values(item) + "]")
	}
	for _, f := range n.Fields {
		fmt.Fprintf(&b, "{%q: %s}", f.Key, values(f.Value))
	}
	return b.String()
}

// checkPlaces wants every place to be in the file.
func checkPlaces(t *testing.T, data []byte, docs []Document, ds []diag.Diagnostic) {
	last := 2 // YAML takes more than a newline for the end of a line
	for _, r := range string(data) {
		if strings.ContainsRune("\n\r\u0085\u2028\u2029", r) {
			last++
		}
	}
	check := func(line, column int) {
		if line < 1 || line > last || column < 1 {
			t.Fatalf("%d:%d is not in the file of %d lines", line, column, last)
		}
	}
	var walk func(n *tree.Node)
	walk = func(n *tree.Node) {
		check(n.Pos.Line, n.Pos.Column)
		for _, item := range n.Items {
			walk(item)
		}
		for _, f := range n.Fields {
			check(f.KeyPos.Line, f.KeyPos.Column)
			walk(f.Value)
		}
	}
	for _, d := range docs {
		walk(d.Root)
		ds = append(ds, d.Problems...)
		for _, s := range d.Silences {
			check(s.Pos.Line, s.Pos.Column)
		}
	}
	for _, d := range ds {
		check(d.Line, d.Column)
	}
}
