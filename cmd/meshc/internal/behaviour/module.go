//go:build linux

package behaviour

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// writeModule puts the module of a folder into dir, and its document, too, if
// that is what path names.
func writeModule(dir, path string) error {
	folder := path
	if filepath.Ext(path) == ".yaml" {
		folder = filepath.Dir(path)
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(folder)+".yaml"), text, 0o644); err != nil {
			return err
		}
	}
	data, err := module(folder)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, filepath.Base(folder)+".wasm"), data, 0o644)
}

var (
	buildsMu sync.Mutex
	builds   = map[string][]byte{} // by folder
)

// module returns the Wasm module of a folder: the one that is there by the
// folder's name, or else what its Go files build to. That is built once in a run,
// for Envoy and the built-in proxy to get the same bytes.
func module(folder string) ([]byte, error) {
	name := filepath.Base(folder) + ".wasm"
	if goFiles, _ := filepath.Glob(filepath.Join(folder, "*.go")); len(goFiles) == 0 {
		return os.ReadFile(filepath.Join(folder, name))
	}
	buildsMu.Lock()
	defer buildsMu.Unlock()
	if data, ok := builds[folder]; ok {
		return data, nil
	}
	dir, err := os.MkdirTemp("", "meshc-module-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, name)
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", out, ".")
	cmd.Dir = folder
	cmd.Env = envWith("GOOS=wasip1", "GOARCH=wasm")
	if said, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build %s: %w\n%s", folder, err, said)
	}
	data, err := os.ReadFile(out)
	builds[folder] = data
	return data, err
}
