package scaffold_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/meshc/meshc/cmd/meshc/internal/scaffold"
)

func TestGoProjectBuilds(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "my-filter")
	if _, err := scaffold.New(dir, "go", "my-filter"); err != nil {
		t.Fatal(err)
	}
	// Outside the repository, and with no other module to be had.
	run := func(env []string, args ...string) {
		t.Helper()
		cmd := exec.Command("go", args...)
		cmd.Dir = dir
		cmd.Env = append(append(os.Environ(), "GOFLAGS=", "GOWORK=off", "GOPROXY=off", "GOTOOLCHAIN=local"), env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	run(nil, "vet", "./...")
	wasm := []string{"GOOS=wasip1", "GOARCH=wasm"}
	run(wasm, "vet", ".")
	run(wasm, "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", "filter.wasm", ".")
	module, err := os.ReadFile(filepath.Join(dir, "filter.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(module, []byte("\x00asm\x01\x00\x00\x00")) || !bytes.Contains(module, []byte("proxy_abi_version_0_2_1")) {
		t.Error("what was built is no Proxy-Wasm module")
	}
	if len(module) > 3<<20 {
		t.Errorf("the module has %d bytes, want less than 3 MiB", len(module))
	}
}

func TestProjects(t *testing.T) {
	sources := map[string]string{"go": "main.go", "rust": "src/lib.rs", "assemblyscript": "assembly/index.ts"}
	for _, lang := range scaffold.Languages {
		dir := t.TempDir()
		files, err := scaffold.New(dir, lang, "my-filter")
		if err != nil {
			t.Fatal(err)
		}
		if !slices.IsSorted(files) {
			t.Errorf("%s: not in order: %q", lang, files)
		}
		for _, want := range []string{"README.md", "plugin.yaml", ".gitignore", "test/header.txtar", sources[lang]} {
			if !slices.Contains(files, want) {
				t.Errorf("%s: no file %s among %q", lang, want, files)
			}
		}
		for _, file := range files {
			text, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(file, "tmpl") || bytes.Contains(text, []byte("{{")) && !strings.HasPrefix(file, "sdk/") {
				t.Errorf("%s: %s is still a template", lang, file)
			}
			if bytes.Contains(text, []byte("github.com/meshc")) {
				t.Errorf("%s: %s needs this repository", lang, file)
			}
		}
	}
}

func TestRefuses(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	isFile := filepath.Join(full, "mine")
	for _, test := range []struct{ dir, lang, name, want string }{
		{full, "go", "ok", "is not empty: mine"},
		{isFile, "go", "ok", "mine"},
		{"", "cobol", "ok", "want one of assemblyscript, go, rust"},
		{"", "go", "", `name ""`},
		{"", "go", "Big", `name "Big"`},
		{"", "go", "../up", `name "../up"`},
		{"", "go", "a--b", `name "a--b"`},
		{"", "go", "1a", `name "1a"`},
		{"", "go", strings.Repeat("a", 64), "at most 63"},
	} {
		dir := test.dir
		if dir == "" {
			dir = filepath.Join(t.TempDir(), "project")
		}
		_, err := scaffold.New(dir, test.lang, test.name)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("New(%s, %q, %q): got %v, want %q", dir, test.lang, test.name, err, test.want)
		}
		if _, err := os.Stat(dir); test.dir == "" && err == nil {
			t.Errorf("New(%s, %q, %q) made the folder", dir, test.lang, test.name)
		}
	}
	if there, err := os.ReadDir(full); err != nil || len(there) != 1 {
		t.Errorf("the folder that was not empty now holds %v (%v)", there, err)
	}
}
