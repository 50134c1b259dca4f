package compiler_test

import (
	"bytes"
	"crypto/sha256"
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
	c.Check, c.Modules = checkModule, func(d *schema.Document) (*schema.Module, bool) {
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
		if name, ok := strings.CutPrefix(f.Name, "in/"); ok && !strings.HasSuffix(name, ".wasm") {
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

// render writes what a data plane would do, and leaves digests out.
func render(s snapshot.Snapshot) string {
	var b bytes.Buffer
	for _, p := range s.Proxies.All() {
		fmt.Fprintf(&b, "proxy %s\n", p.ID)
		for _, l := range p.Listeners.All() {
			fmt.Fprintf(&b, "  listener %s %s%s\n", l.Name, l.Protocol, renderTargets(l.Targets))
			for _, f := range l.Filters.All() {
				b.WriteString(renderFilter(f))
			}
			for _, h := range l.VirtualHosts.All() {
				fmt.Fprintf(&b, "    host %s: %s\n", h.Name, strings.Join(h.Domains.Slice(), " "))
				for _, r := range h.Routes.All() {
					b.WriteString("      ")
					if r.Name != h.Name {
						fmt.Fprintf(&b, "%s: ", r.Name)
					}
					fmt.Fprintf(&b, "%s%s", renderMatch(r), renderTargets(r.Targets))
					if r.HostFromEndpoint {
						b.WriteString(" (host from endpoint)")
					}
					if r.Filters.Len() > 0 {
						fmt.Fprintf(&b, " (through %s)", strings.Join(r.Filters.Slice(), " "))
					}
					b.WriteString("\n")
				}
			}
		}
	}
	for i, c := range s.Clusters.All() {
		protocol := string(c.Protocol)
		if c.HTTP2 {
			protocol += "+http2"
		}
		fmt.Fprintf(&b, "cluster %s %s %s %s, from %s\n", c.Name, protocol, c.Discovery, c.Balancing, strings.Join(c.Sources.Slice(), " "))
		for _, e := range s.Endpoints.At(i).Endpoints.All() {
			fmt.Fprintf(&b, "  %s:%d %s", e.Address, e.Port, e.Hostname)
			if e.Weight != 0 {
				fmt.Fprintf(&b, " *%d", e.Weight)
			}
			b.WriteString("\n")
		}
	}
	for _, blob := range s.Blobs.All() {
		fmt.Fprintf(&b, "blob %s %q\n", blob.Digest.Short(), blob.Data)
	}
	return strings.ReplaceAll(b.String(), " \n", "\n")
}

func renderFilter(f snapshot.Filter) string {
	out := fmt.Sprintf("    filter %s %s %s %s", f.Name, f.Kind, f.Blob.Short(), f.Config)
	if f.Clusters.Len() > 0 {
		out += " calls " + strings.Join(f.Clusters.Slice(), " ")
	}
	if f.Match.PathPrefix != "" || f.Match.Methods.Len() > 0 {
		out += fmt.Sprintf(" for %s %s", strings.Join(f.Match.Methods.Slice(), ","), f.Match.PathPrefix)
	}
	if f.PerRoute {
		out += " (on some routes)"
	}
	return out + fmt.Sprintf(", from %s\n", strings.Join(f.Sources.Slice(), " "))
}

// renderMatch writes what a route matches, and what it makes of the path.
func renderMatch(r snapshot.Route) string {
	out := r.PathPrefix
	if r.PathExact != "" {
		out = "= " + r.PathExact
	}
	if r.PathRegex != "" {
		out = "~ " + r.PathRegex
	}
	if r.Methods.Len() > 0 {
		out = strings.Join(r.Methods.Slice(), ",") + " " + out
	}
	for _, h := range r.Headers.All() {
		out += fmt.Sprintf(" %s=%s%s", h.Name, strings.Join(h.Values.Slice(), ","), h.Regex)
	}
	if r.Rewrite != (snapshot.PathRewrite{}) {
		out += fmt.Sprintf(" (s %s %s)", r.Rewrite.Regex, r.Rewrite.Substitution)
	}
	return out
}

func renderTargets(ts snapshot.List[snapshot.Target]) string {
	var b strings.Builder
	for _, t := range ts.All() {
		fmt.Fprintf(&b, " -> %s*%d", t.Cluster, t.Weight)
	}
	return b.String()
}
