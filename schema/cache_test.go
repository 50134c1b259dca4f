package schema_test

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/files"
)

// everyFile returns the input of all archives of this package's tests: every
// kind of document, right and wrong, in every notation.
func everyFile(t testing.TB) files.Tree {
	t.Helper()
	var in files.Tree
	for _, dir := range []string{"load", "rules"} {
		archives, err := filepath.Glob(filepath.Join("testdata", dir, "*.txtar"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range archives {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range archive.Files {
				if slices.Contains(files.Extensions(), filepath.Ext(f.Name)) {
					name := strings.TrimSuffix(filepath.Base(path), ".txtar") + "/" + f.Name
					in.Files = append(in.Files, file(name, string(f.Data)))
				}
			}
		}
	}
	return in
}

// cached loads in with a cache that was written as content, and returns what
// the cache then is.
func cached(t testing.TB, in files.Tree, content string) (r schema.Result, written string, changed bool) {
	t.Helper()
	c := schema.NewCache(content, schema.Program{1})
	l := schema.NewLoader()
	l.UseCache(c)
	r = l.Load(context.Background(), in)
	var b bytes.Buffer
	if err := c.Write(&b); err != nil {
		t.Fatal(err)
	}
	return r, b.String(), c.Changed()
}

func TestCacheGivesWhatTheFilesSay(t *testing.T) {
	in := everyFile(t)
	want := schema.NewLoader().Load(context.Background(), in)
	first, content, _ := cached(t, in, "")
	second, _, _ := cached(t, in, content)
	for name, got := range map[string]schema.Result{"empty": first, "full": second} {
		if d := difference(reflect.ValueOf(want), reflect.ValueOf(got)); d != "" {
			t.Errorf("with a cache that is %s: Result%s", name, d)
		}
	}
	kinds := map[string]bool{}
	for _, d := range want.Documents {
		kinds[string(d.Dialect)+"/"+d.Kind] = true
	}
	if len(kinds) < 19 {
		t.Errorf("the archives hold documents of only %d kinds", len(kinds))
	}
}

func TestCacheKnowsWhatChanged(t *testing.T) {
	const brokenCUE = "type: \"Mesh\"\nname: \"a\" & \"b\"\n"
	in := tree(
		file("a.json", `{"type": "Mesh", "name": "a"}`),
		file("a.yaml", "type: Mesh\nname: {}\n"),
		file("c/c.cue", "package c\nm: {type: \"Mesh\", name: \"c\"}\n"),
		file("d/d.cue", "package d\nm: {type: \"Mesh\", name: \"d\"}\n"),
	)
	_, full, _ := cached(t, in, "")
	for _, c := range []struct {
		name    string
		in      files.Tree
		content string
		want    bool // changed
	}{
		{"nothing was known", in, "", true},
		{"all was known", in, full, false},
		{"some of it is gone", tree(in.Files[0]), full, false},
		{"another content", tree(file("a.json", `{"type": "Mesh", "name": "b"}`)), full, true},
		{"another name", tree(file("b.json", `{"type": "Mesh", "name": "a"}`)), full, true},
		{"another program", in, strings.Replace(full, "\x01\x00", "\x02\x00", 1), true},
		{"damaged", in, full[:len(full)-1] + "?", true},
		{"another .cue file among them", tree(append(slices.Clone(in.Files), file("e.cue", "package e\n"))...), full, true},
		{"one .cue file less", tree(in.Files[:3]...), full, true},
		{"what CUE cannot evaluate is not kept", tree(file("a.cue", brokenCUE)), "", false},
		{"what CUE embeds is not known for sure", tree(file("a.cue", "@extern(embed)\nm: _ @embed(file=b.yaml)\n"), file("b.yaml", "type: Mesh\nname: b\n")), "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, written, changed := cached(t, c.in, c.content)
			if changed != c.want {
				t.Errorf("the cache changed: %v, want %v", changed, c.want)
			}
			if strings.Contains(written, ".cue") && strings.Contains(c.name, "for sure") {
				t.Error("it was kept")
			}
		})
	}
}

// What is not asked for is forgotten, though not at once: the next run may be
// over another directory.
func TestCacheForgets(t *testing.T) {
	_, content, _ := cached(t, tree(file("old.yaml", "type: Mesh\nname: old\n")), "")
	for n := range 20 {
		if held := strings.Contains(content, `"name":"old"`); held != (n <= 8) {
			t.Fatalf("after %d runs without it: held %v", n, held)
		}
		_, content, _ = cached(t, tree(file("new.yaml", fmt.Sprintf("type: Mesh\nname: new%d\n", n))), content)
	}
}

// FuzzCache gives a loader any bytes as its cache. Checksums are put right
// where forge says so, as if the damage had been done before they were made:
// then the result may be wrong, but nothing breaks.
func FuzzCache(f *testing.F) {
	in := tree(
		file("a.json", `{"kind": "Service", "apiVersion": "v1", "metadata": {"name": "a"}, "spec": {"ports": [{"port": 80}]}}`),
		file("b.yaml", "# meshc:ignore MC0401\ntype: Mesh\nname: b\n---\nhost: c.test\n---\ntype: Mesh\nname: {}\n"),
	)
	want := schema.NewLoader().Load(context.Background(), in)
	_, full, _ := cached(f, in, "")
	for _, n := range []int{0, 1, 60, 400, len(full) / 2, len(full) - 1, len(full)} {
		f.Add(full[:n], false)
		f.Add(full[:n]+full[min(n+1, len(full)):], false)
	}
	f.Add(strings.Replace(full, "c.test", "d.test", 1), false)
	for _, entry := range schema.Entries(full, schema.Program{1}) {
		f.Add(entry, true)
	}
	f.Fuzz(func(t *testing.T, content string, forge bool) {
		if forge {
			content = schema.Forge(full, schema.Program{1}, content)
		}
		got, _, _ := cached(t, in, content)
		if d := difference(reflect.ValueOf(want), reflect.ValueOf(got)); d != "" && !forge {
			t.Errorf("Result%s", d)
		}
	})
}

// difference says where two values differ, or "". Nil and empty are the same.
func difference(a, b reflect.Value) string {
	if a.IsValid() != b.IsValid() || a.IsValid() && a.Type() != b.Type() {
		return fmt.Sprintf(": %v and %v", a, b)
	}
	if !a.IsValid() {
		return ""
	}
	switch a.Kind() {
	case reflect.Pointer, reflect.Interface:
		if a.IsNil() != b.IsNil() {
			return fmt.Sprintf(": %v and %v", a, b)
		}
		return difference(a.Elem(), b.Elem())
	case reflect.Struct:
		for i := range a.NumField() {
			if d := difference(a.Field(i), b.Field(i)); d != "" {
				return "." + a.Type().Field(i).Name + d
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range min(a.Len(), b.Len()) {
			if d := difference(a.Index(i), b.Index(i)); d != "" {
				return fmt.Sprintf("[%d]%s", i, d)
			}
		}
		if a.Len() != b.Len() {
			return fmt.Sprintf(": %d and %d elements", a.Len(), b.Len())
		}
	case reflect.Map:
		for _, k := range slices.Concat(a.MapKeys(), b.MapKeys()) {
			if d := difference(a.MapIndex(k), b.MapIndex(k)); d != "" {
				return fmt.Sprintf("[%v]%s", k, d)
			}
		}
	default:
		if !a.Equal(b) {
			return fmt.Sprintf(": %v and %v", a, b)
		}
	}
	return ""
}
