package host

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/meshc/meshc/plugins/wasm/internal/abi"
)

// plugin is the smallest module that is one: ABI 0.2.1, a memory, a malloc. Its
// proxy_on_vm_start says yes.
const plugin = "\x00asm\x01\x00\x00\x00" +
	"\x01\x0f\x03\x60\x00\x00\x60\x01\x7f\x01\x7f\x60\x02\x7f\x7f\x01\x7f" + // types
	"\x03\x04\x03\x00\x01\x02" + // functions
	"\x05\x03\x01\x00\x01" + // memory
	"\x07\x41\x04" + "\x06memory\x02\x00" + "\x17proxy_abi_version_0_2_1\x00\x00" + "\x06malloc\x00\x01" + "\x11proxy_on_vm_start\x00\x02" +
	"\x0a\x0e\x03" + "\x02\x00\x0b" + "\x04\x00\x41\x08\x0b" + "\x04\x00\x41\x01\x0b"

// compiled compiles plugin and sees that its code is there.
func compiled(t *testing.T, dir string, memory uint64) *Module {
	t.Helper()
	e, err := NewEngine(dir)
	if err != nil {
		t.Fatal(err)
	}
	m, err := e.Compile(t.Context(), plugin, memory)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	i, err := m.Start(&Config{CallTimeout: time.Second, StartTimeout: time.Second}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	if _, err := i.AddRoot(&Plugin{Name: "p", Log: func(abi.Level, string) {}}); err != nil {
		t.Fatal(err)
	}
	return m
}

func entries(t *testing.T, dir string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "wasm", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// What is in the folder is used, and only when it is whole: otherwise the module
// is compiled as if it were not there.
func TestCache(t *testing.T) {
	for name, harm := range map[string]func(entry, module, code string) error{
		"whole":     func(entry, module, code string) error { return nil },
		"no module": func(entry, module, code string) error { return os.Remove(module) },
		"changed module": func(entry, module, code string) error {
			b, err := os.ReadFile(module)
			if err == nil {
				b[len(b)-1]++
				err = os.WriteFile(module, b, 0o600)
			}
			return err
		},
		"cut module": func(entry, module, code string) error { return os.Truncate(module, 30) },
		"no code":    func(entry, module, code string) error { return os.Remove(code) },
		"empty code": func(entry, module, code string) error { return os.Truncate(code, 0) },
		"cut code":   func(entry, module, code string) error { return os.Truncate(code, 60) },
		"changed code": func(entry, module, code string) error {
			b, err := os.ReadFile(code)
			if err == nil {
				b[len(b)/2]++
				err = os.WriteFile(code, b, 0o600)
			}
			return err
		},
		"code of another name": func(entry, module, code string) error { return os.Rename(code, code+"0") },
		"code of another version": func(entry, module, code string) error {
			return os.Rename(filepath.Dir(code), filepath.Join(entry, "wazero-v0.0.0-amd64-linux"))
		},
		"more code": func(entry, module, code string) error { return os.WriteFile(code+"0", nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			compiled(t, dir, 1<<20)
			all := entries(t, dir)
			if len(all) != 1 {
				t.Fatalf("kept: %q", all)
			}
			file, _, err := codeFile(all[0])
			if err != nil {
				t.Fatal(err)
			}
			code, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := harm(all[0], filepath.Join(all[0], "module"), file); err != nil {
				t.Fatal(err)
			}
			e, err := NewEngine(dir)
			if err != nil {
				t.Fatal(err)
			}
			m := e.cache.load(t.Context(), filepath.Base(all[0]))
			if m != nil {
				m.Close()
			}
			if got, want := m != nil, name == "whole"; got != want {
				t.Errorf("taken: %v", got)
			}
			compiled(t, dir, 1<<20)
			again, err := os.ReadFile(file)
			if err != nil || string(again) != string(code) {
				t.Errorf("afterwards the folder holds other code (%v)", err)
			}
		})
	}
}

// The modules that were used last are kept, and no more.
func TestCacheBound(t *testing.T) {
	dir := t.TempDir()
	first := func() bool {
		_, err := os.Stat(filepath.Join(dir, "wasm", entryName(readOnly(plugin), 1)))
		return err == nil
	}
	compiled(t, dir, pageSize)
	unfinished := filepath.Join(dir, "wasm", building+"1")
	if err := os.Mkdir(unfinished, 0o700); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-2 * abandoned)
	if err := os.Chtimes(unfinished, long, long); err != nil {
		t.Fatal(err)
	}
	old := func() { // all that is there
		for _, e := range entries(t, dir) {
			os.Chtimes(filepath.Join(e, "module"), long, long) //nolint:errcheck // one has no module
		}
	}
	for n := range kept - 1 {
		compiled(t, dir, uint64(n+2)*pageSize)
	}
	if n := len(entries(t, dir)); n != kept || !first() {
		t.Errorf("%d entries; the first: %v", n, first())
	}
	old()
	compiled(t, dir, pageSize) // used again
	compiled(t, dir, 100*pageSize)
	if n := len(entries(t, dir)); n != kept || !first() {
		t.Errorf("%d entries; the first, used again: %v", n, first())
	}
	old()
	for n := range kept {
		compiled(t, dir, uint64(n+200)*pageSize)
	}
	if n := len(entries(t, dir)); n != kept || first() {
		t.Errorf("%d entries; the first, not used again: %v", n, first())
	}
	for _, e := range entries(t, dir) {
		if info, err := os.Stat(filepath.Join(e, "module")); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v %v", info, err)
		}
	}
}
