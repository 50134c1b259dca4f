package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/meshc/meshc/"

// imports is the statement of policy: which packages of ours each package may
// import, tests aside. Data flows down; a package imports only what the data
// has already passed through. Adding a line is fine, and the moment to think.
var imports = map[string][]string{
	"compiler/snapshot":              {},
	"schema/diag":                    {},
	"schema/tree":                    {},
	"schema/files":                   {"schema/diag"},
	"schema/kubernetes":              {"schema/tree"},
	"schema/kong":                    {"schema/tree"},
	"schema/kuma":                    {"schema/tree"},
	"schema/meshc":                   {"schema/kuma", "schema/tree"},
	"schema/cue":                     {},
	"schema/internal/parse":          {"schema/diag", "schema/tree", "schema/cue", "schema/files"},
	"schema/internal/pem":            {},
	"schema/internal/plan":           {"schema/diag", "schema/tree", "schema/cue", "schema/kong", "schema/internal/pem"},
	"schema/internal/jsonschema":     {},
	"schema":                         {"schema/internal/jsonschema", "schema/diag", "schema/tree", "schema/files", "schema/kubernetes", "schema/kong", "schema/kuma", "schema/meshc", "schema/cue", "schema/internal/parse", "schema/internal/pem", "schema/internal/plan"},
	"compiler":                       {"compiler/snapshot", "schema", "schema/diag", "schema/kubernetes", "schema/kong", "schema/kuma", "schema/meshc"},
	"runtime/filter":                 {},
	"runtime/status":                 {"compiler/snapshot"},
	"runtime/publish":                {"compiler/snapshot"},
	"runtime/identity":               {"compiler/snapshot"},
	"runtime/proxy/http1":            {"runtime/filter"},
	"runtime/proxy/http2":            {"runtime/filter", "runtime/proxy/http1"},
	"runtime/proxy":                  {"compiler/snapshot", "runtime/filter", "runtime/identity", "runtime/proxy/http1", "runtime/proxy/http2"},
	"runtime/xds/envoy":              {"compiler/snapshot"},
	"runtime/xds/raw":                {},
	"runtime/xds":                    {"compiler/snapshot", "runtime/identity", "runtime/status", "runtime/xds/envoy"},
	"runtime/rest":                   {"compiler/snapshot", "runtime/status"},
	"plugins":                        {"runtime/filter"},
	"plugins/accesslog":              {"plugins", "runtime/filter"},
	"plugins/builtin":                {"plugins", "plugins/accesslog", "plugins/faultinjection", "plugins/tracing", "plugins/wasm"},
	"plugins/faultinjection":         {"plugins", "runtime/filter"},
	"plugins/tracing":                {"plugins", "runtime/filter"},
	"plugins/wasm":                   {"plugins", "runtime/filter", "plugins/wasm/internal/abi", "plugins/wasm/internal/host", "plugins/wasm/internal/module"},
	"plugins/wasm/internal/abi":      {"runtime/filter"},
	"plugins/wasm/internal/host":     {"runtime/filter", "plugins/wasm/internal/abi", "plugins/wasm/internal/foreign", "plugins/wasm/internal/module"},
	"plugins/wasm/internal/module":   {},
	"plugins/wasm/internal/foreign":  {"plugins/wasm/internal/abi", "runtime/filter"},
	"cmd/meshc":                      {"*"},
	"cmd/meshc/internal/behaviour":   {"runtime/xds/envoy"},
	"cmd/meshc/internal/bench":       {"compiler", "schema", "schema/diag", "schema/files"},
	"cmd/meshc/internal/offline":     {"plugins", "runtime/filter"},
	"examples/demo":                  {},
	"plugins/wasm/sdk":               {"plugins/wasm/sdk/internal/host"},
	"plugins/wasm/sdk/internal/host": {},
	"cmd/meshc/internal/scaffold":    {"plugins/wasm/sdk"},
	"examples/filters/headers-go":    {"plugins/wasm/sdk"},
	"examples/filters/ratelimit-go":  {"plugins/wasm/sdk"},
	"examples/filters/auth-go":       {"plugins/wasm/sdk"},
	"examples/filters/echo-tcp-go":   {"plugins/wasm/sdk"},
}

// fenced says who alone may import a large dependency.
var fenced = map[string][]string{
	"cuelang.org/go/":               {"schema", "schema/internal/", "cmd/meshc/internal/bench"},
	"github.com/fsnotify/fsnotify":  {"schema/files"},
	"github.com/tetratelabs/wazero": {"plugins/wasm"},
	"cel.dev/cel-go":                {"plugins/wasm/internal/foreign"},
	"github.com/envoyproxy/":        {"runtime/xds", "plugins"},
	"github.com/openzipkin/":        {"plugins/tracing"},
	"google.golang.org/grpc":        {"runtime/xds"},
	"github.com/urfave/cli/v2":      {"cmd/meshc"},
	"go.yaml.in/yaml/v4":            {"schema/internal/parse"},
}

func TestImports(t *testing.T) {
	root := filepath.Join("..", "..")
	seen := map[string]bool{}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == "testdata" || name != ".." && strings.HasPrefix(name, ".") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		pkg := path.Dir(filepath.ToSlash(rel))
		seen[pkg] = true
		src, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, src, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			checkImport(t, pkg, rel, imported)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range imports {
		if !seen[pkg] {
			t.Errorf("the table has a line for %s, which does not exist", pkg)
		}
	}
}

func checkImport(t *testing.T, pkg, file, imported string) {
	t.Helper()
	allowed, known := imports[pkg]
	if !known {
		t.Errorf("%s: package %s has no line in the table", file, pkg)
		return
	}
	if ours, ok := strings.CutPrefix(imported, module); ok {
		if !slices.Contains(allowed, ours) && !slices.Contains(allowed, "*") {
			t.Errorf("%s: %s may not import %s", file, pkg, ours)
		}
		return
	}
	if strings.Contains(strings.SplitN(imported, "/", 2)[0], ".") && pkg == "compiler/snapshot" {
		t.Errorf("%s: the snapshot imports nothing outside the standard library, but %s", file, imported)
	}
	for prefix, owners := range fenced {
		if imported != strings.TrimSuffix(prefix, "/") && !strings.HasPrefix(imported, strings.TrimSuffix(prefix, "/")+"/") {
			continue
		}
		if !slices.ContainsFunc(owners, func(o string) bool { return pkg == o || strings.HasPrefix(pkg, strings.TrimSuffix(o, "/")+"/") }) {
			t.Errorf("%s: %s may not import %s; only %v may", file, pkg, imported, owners)
		}
	}
}
