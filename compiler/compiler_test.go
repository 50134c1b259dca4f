package compiler_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/meshc/meshc/compiler"
	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/files"
	"github.com/meshc/meshc/schema/meshc"
)

// TestCompile runs every archive of testdata through all stages: the files
// under in/ are loaded and compiled, and the sections snapshot and diagnostics
// must say what came of it. MESHC_UPDATE=1 rewrites the sections; read the
// change as you would read code.
func TestCompile(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, path := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := outputs(t, ar)
			if os.Getenv("MESHC_UPDATE") != "" {
				ar.Files = slices.DeleteFunc(ar.Files, func(f txtar.File) bool { return !strings.HasPrefix(f.Name, "in/") })
				ar.Files = append(ar.Files, got...)
				if err := os.WriteFile(path, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want := map[string]string{}
			for _, f := range ar.Files {
				if !strings.HasPrefix(f.Name, "in/") {
					want[f.Name] = string(f.Data)
				}
			}
			for _, f := range got {
				if want[f.Name] != string(f.Data) {
					t.Errorf("section %s:\n--- got\n%s--- want\n%s", f.Name, f.Data, want[f.Name])
				}
				delete(want, f.Name)
			}
			for name := range want {
				t.Errorf("section %s: nothing makes it", name)
			}
		})
	}
}

func outputs(t *testing.T, ar *txtar.Archive) []txtar.File {
	docs, diags := load(t, inputs(ar))
	c := compiler.New()
	c.Kinds, c.Check = testKinds(), checkUse
	for _, f := range ar.Files {
		if f.Name == "in/.node.json" { // a document to nobody: its name begins with a dot
			if err := json.Unmarshal(f.Data, &c.Node); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.Modules = func(d *schema.Document) (*schema.Module, bool) {
		for _, f := range ar.Files {
			if f.Name == "in/"+d.Body.(*meshc.WasmPlugin).Conf.Module.Path {
				return moduleOf(string(f.Data)), true
			}
		}
		return nil, true // schema.Sources has reported it
	}
	r := c.Compile(docs)
	var out []txtar.File
	section := func(name, text string) {
		if text != "" {
			out = append(out, txtar.File{Name: name, Data: []byte(text)})
		}
	}
	section("snapshot", render(r.Snapshot))
	section("diagnostics", findings(append(diags, r.Diagnostics...)))
	section("unsupported", findings(r.Unsupported))
	return out
}

func moduleOf(data string) *schema.Module {
	return &schema.Module{Sum: sha256.Sum256([]byte(data)), Data: data}
}

// checkModule refuses modules that do not say that they are one.
func checkModule(f snapshot.Filter, tcp bool, blob string) []string {
	if strings.HasPrefix(blob, "module ") {
		return nil
	}
	return []string{fmt.Sprintf("%s is no module (tcp %t)", f.Name, tcp)}
}

// inputs returns the documents under in/ as a tree.
func inputs(ar *txtar.Archive) files.Tree {
	var tree files.Tree
	for _, f := range ar.Files {
		if name, ok := strings.CutPrefix(f.Name, "in/"); ok && name[0] != '.' && !strings.HasSuffix(name, ".wasm") {
			tree.Files = append(tree.Files, file(name, f.Data))
		}
	}
	slices.SortFunc(tree.Files, func(a, b files.File) int { return strings.Compare(a.Name, b.Name) })
	return tree
}

func file(name string, data []byte) files.File {
	return files.File{Name: name, Shown: name, Data: data, Sum: sha256.Sum256(data)}
}

func load(t testing.TB, tree files.Tree) ([]*schema.Document, []diag.Diagnostic) {
	t.Helper()
	r := schema.NewLoader().Load(t.Context(), tree)
	return r.Documents, r.Diagnostics
}

func findings(ds []diag.Diagnostic) string {
	var b strings.Builder
	for _, d := range ds {
		fmt.Fprintf(&b, "%s: %s %s: %s: %s; %s\n", d.Place, d.Severity, d.Code, d.Path, d.Message, d.Hint)
		for _, r := range d.Related {
			fmt.Fprintf(&b, "\t%s: %s\n", r.Place, r.Message)
		}
	}
	return b.String()
}
