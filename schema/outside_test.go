package schema_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/files"
)

// What a .cue file takes from files that are no input counts too: vendored
// packages, and what it embeds.
func TestCUEFollowsWhatLiesOutside(t *testing.T) {
	const names = "cue.mod/pkg/x.test/names/names.cue"
	for name, c := range map[string]struct{ input, imported, outside, first, second string }{
		"a vendored package": {
			"package p\nimport \"x.test/names\"\nm: {type: \"Mesh\", name: names.one}\n", "",
			names, "package names\none: \"a\"\n", "package names\none: \"b\"\n",
		},
		"an embedded file": {
			"@extern(embed)\npackage p\nm: {type: \"Mesh\", name: _name}\n_name: _ @embed(file=name.txt,type=text)\n", "",
			"name.txt", "a", "b",
		},
		"a file embedded in a package that is no input": {
			"package p\nimport \"x.test/names\"\nm: {type: \"Mesh\", name: names.one}\n",
			"@extern(embed)\npackage names\none: _ @embed(file=name.txt,type=text)\n",
			"cue.mod/pkg/x.test/names/name.txt", "a", "b",
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write := func(name, text string) {
				path := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			write("cue.mod/module.cue", "module: \"in.test/in\"\nlanguage: version: \"v0.17.0\"\n")
			write("p.cue", c.input)
			if c.imported != "" {
				write(names, c.imported)
			}
			l, cache := schema.NewLoader(), schema.NewCache("", schema.Program{})
			l.UseCache(cache)
			for want, text := range map[string]string{"a": c.first, "b": c.second} {
				write(c.outside, text)
				in, err := files.NewReader([]string{dir}, nil).Read(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				r := l.Load(context.Background(), in)
				if len(r.Documents) != 1 || r.Documents[0].Name != want {
					t.Errorf("got %v and %v, want Mesh %s", r.Documents, r.Diagnostics, want)
				}
			}
		})
	}
}
