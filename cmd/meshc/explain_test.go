//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/files"
)

// TestPages runs what the pages of meshc explain show: the wrong example gives
// the page's code and no other error, the right one gives neither the code nor
// an error nor a warning.
func TestPages(t *testing.T) {
	for _, code := range diag.Codes() {
		t.Run(code, func(t *testing.T) {
			page, err := diag.ReadPage(code)
			if err != nil {
				t.Fatalf("%v: write schema/diag/pages/%s.txtar (%s)", err, code, diag.Title(code))
			}
			if len(page.Wrong) == 0 {
				checkState(t, code)
				return
			}
			wrong := validateExample(t, page.Wrong, 0o644)
			if !slices.ContainsFunc(wrong, func(f finding) bool { return f.Code == code }) {
				t.Errorf("the wrong example does not give %s but %v", code, wrong)
			}
			for _, f := range wrong {
				if f.Code != code && f.Severity == "error" {
					t.Errorf("the wrong example has another error: %v", f)
				}
			}
			right := validateExample(t, page.Right, 0o600)
			for _, f := range right {
				if f.Code == code || f.Severity != "note" {
					t.Errorf("the right example gives %v", f)
				}
			}
			out := command(t, 0, "explain", code)
			if !strings.Contains(out, "["+code+"]: ") || strings.Contains(out, os.TempDir()) {
				t.Errorf("the page shows no finding of its code, or where it was made:\n%s", out)
			}
		})
	}
}

// states are the codes whose wrong state is not one of text. Each function
// makes the state and returns the arguments of a command that meets it.
var states = map[string]func(t *testing.T, dir string) []string{
	diag.CodeUnreadable: func(_ *testing.T, dir string) []string {
		return []string{"validate", filepath.Join(dir, "nowhere")}
	},
	diag.CodeNotRegular: func(t *testing.T, dir string) []string {
		pipe := filepath.Join(dir, "mesh.yaml")
		if err := syscall.Mkfifo(pipe, 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{"validate", pipe}
	},
	diag.CodeTooLarge: func(t *testing.T, dir string) []string {
		large := write(t, dir, "routes.yaml", "")
		if err := os.Truncate(large, files.MaxSize+1); err != nil {
			t.Fatal(err)
		}
		return []string{"validate", large}
	},
	diag.CodeNotUTF8: func(t *testing.T, dir string) []string {
		return []string{"validate", write(t, dir, "mesh.yaml", "type: Mesh\nname: caf\xe9\n")}
	},
	// Made by TestWatchLimit of schema/files: the limit is the system's.
	diag.CodeWatchLimit: nil,
	diag.CodeNoInput: func(_ *testing.T, dir string) []string {
		return []string{"validate", dir}
	},
	diag.CodeExtension: func(t *testing.T, dir string) []string {
		return []string{"validate", write(t, dir, "mesh.txt", "type: Mesh\nname: shop\n")}
	},
	// The right state would need a module, which is no text.
	diag.CodeDigest: func(t *testing.T, dir string) []string {
		write(t, dir, "plugin.yaml", "type: WasmPlugin\nname: headers\nconf: {module: {path: headers.wasm, sha256: "+strings.Repeat("a", 64)+"}, listeners: [gateway]}\n")
		write(t, dir, "headers.wasm", "the module, built anew\n")
		return []string{"validate", dir}
	},
	diag.CodeModule: func(t *testing.T, dir string) []string {
		write(t, dir, "plugin.yaml", "type: WasmPlugin\nname: headers\nconf: {module: {path: headers.go}, listeners: [gateway]}\n")
		write(t, dir, "headers.go", "package main\n")
		return []string{"validate", dir}
	},
	diag.CodeSnapshotFile: func(t *testing.T, dir string) []string {
		return []string{"serve", write(t, dir, "mesh.snapshot", "hello\n")}
	},
}

// checkState makes the state that a page without files is about, and wants its
// code, and the page to show what meshc says.
func checkState(t *testing.T, code string) {
	state, ok := states[code]
	if !ok {
		t.Fatalf("the page of %s has no example, and states does not make one", code)
	}
	if state == nil {
		return
	}
	args := state(t, t.TempDir())
	var out bytes.Buffer
	run(t.Context(), append([]string{"meshc"}, args...), strings.NewReader(""), &out, &out)
	if !strings.Contains(out.String(), "["+code+"]: ") {
		t.Errorf("meshc %s: no %s in:\n%s", args[0], code, out.String())
	}
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

type finding struct {
	Code, Severity, File, Path, Message string
	Line                                int
}

// validateExample puts an example into a directory, every file of this mode,
// and returns what meshc validate finds.
func validateExample(t *testing.T, example []diag.PageFile, mode os.FileMode) []finding {
	t.Helper()
	dir := t.TempDir()
	for _, f := range example {
		if err := writeExample(filepath.Join(dir, f.Name), f.Data, mode); err != nil {
			t.Fatal(err)
		}
	}
	var out, stderr bytes.Buffer
	run(t.Context(), []string{"meshc", "validate", "--format", "json", dir}, strings.NewReader(""), &out, &stderr)
	var result struct{ Diagnostics []finding }
	if err := json.Unmarshal(out.Bytes(), &result); err != nil {
		t.Fatalf("%v\n%s%s", err, out.String(), stderr.String())
	}
	return result.Diagnostics
}

// command runs meshc, wants an exit code, and returns its standard output.
func command(t *testing.T, code int, args ...string) string {
	t.Helper()
	var out, stderr bytes.Buffer
	if got := run(t.Context(), append([]string{"meshc"}, args...), strings.NewReader(""), &out, &stderr); got != code {
		t.Errorf("meshc %s: exit code %d, want %d\n%s", strings.Join(args, " "), got, code, stderr.String())
	}
	return out.String()
}
