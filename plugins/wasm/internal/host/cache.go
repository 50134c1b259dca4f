package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/meshc/meshc/plugins/wasm/internal/abi"
	"github.com/meshc/meshc/plugins/wasm/internal/module"
)

// cache keeps compiled modules, a folder each. In it are
//
//   - "wazero-…/…", the code, as wazero keeps it, which checks it by a checksum;
//   - "module", the module without its code (module.Hollow), with a digest.
//
// wazero decodes and validates a module at every start, also when it has its
// code: for a program in Go that is most of a start. So it is given the hollow
// module, for which the folder holds the whole one's code. See RATIONALE.md.
type cache struct{ dir string }

// kept is how many modules are kept; those that started longest ago go.
const kept = 32

// building is the beginning of the names of folders that are being made, which
// abandoned ones bear for a while.
const (
	building  = ".new-"
	abandoned = time.Hour
)

func newCache(dir string) (*cache, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &cache{dir}, nil
}

// entryName is the folder of a module: its digest, and what else decides about
// its code.
func entryName(code []byte, pages uint32) string {
	sum := sha256.Sum256(code)
	return fmt.Sprintf("%s-%d-%d", hex.EncodeToString(sum[:]), pages, module.Version)
}

// head begins the file "module": digest of what follows it, the ABI, the hollow module.
const head = "meshc hollow module 1\n"

func encode(version abi.Version, hollow []byte) []byte {
	payload := append([]byte{byte(version)}, hollow...)
	sum := sha256.Sum256(payload)
	return slices.Concat([]byte(head), sum[:], payload)
}

func decode(b []byte) (version abi.Version, hollow []byte, ok bool) {
	b, ok = bytes.CutPrefix(b, []byte(head))
	if !ok || len(b) < sha256.Size+1 {
		return 0, nil, false
	}
	sum, payload := b[:sha256.Size], b[sha256.Size:]
	if got := sha256.Sum256(payload); !bytes.Equal(got[:], sum) {
		return 0, nil, false
	}
	return abi.Version(payload[0]), payload[1:], true
}

// code is the one file in which wazero keeps code in a folder.
func codeFile(dir string) (string, os.FileInfo, error) {
	files, err := filepath.Glob(filepath.Join(dir, "wazero-*", "*"))
	if err != nil || len(files) != 1 {
		return "", nil, fmt.Errorf("%s holds %d files of code", filepath.Base(dir), len(files))
	}
	info, err := os.Lstat(files[0])
	return files[0], info, err
}

// load returns the module of an entry, or nil where there is none that is whole.
func (c *cache) load(ctx context.Context, entry string) *Module {
	dir := filepath.Join(c.dir, entry)
	file := filepath.Join(dir, "module")
	b, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	version, hollow, ok := decode(b)
	if !ok {
		return nil
	}
	_, before, err := codeFile(dir)
	if err != nil {
		return nil
	}
	m, err := newMachine(dir)
	if err != nil {
		return nil
	}
	compiled, err := m.compile(ctx, hollow)
	if err == nil {
		// Where wazero did not take the file, it has compiled the hollow module
		// and left that beside it, or in its place.
		var after os.FileInfo
		if _, after, err = codeFile(dir); err == nil &&
			(!os.SameFile(before, after) || before.Size() != after.Size() || !before.ModTime().Equal(after.ModTime())) {
			err = fmt.Errorf("%s was not taken", entry)
		}
	}
	if err != nil {
		m.close()
		if ctx.Err() == nil {
			os.RemoveAll(dir)
		}
		return nil
	}
	now := time.Now()
	os.Chtimes(file, now, now) //nolint:errcheck // it is only for the order in which entries go
	return &Module{compiled, version, m}
}

// store compiles a module into m, and keeps it. Its errors are those of the
// compilation: that it cannot be kept, as on a full disk, is none.
func (c *cache) store(ctx context.Context, entry string, metered []byte, m *Module) error {
	if c.compile(ctx, entry, metered, m) == nil {
		return nil
	}
	m.Close()
	var err error
	if m.machine, err = newMachine(""); err != nil {
		return err
	}
	m.compiled, err = m.machine.compile(ctx, metered)
	return err
}

func (c *cache) compile(ctx context.Context, entry string, metered []byte, m *Module) error {
	dir, err := os.MkdirTemp(c.dir, building)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	whole := filepath.Join(dir, "whole")
	if m.machine, err = newMachine(whole); err != nil {
		return err
	}
	if m.compiled, err = m.machine.compile(ctx, metered); err != nil {
		return err
	}
	if c.keep(ctx, entry, dir, whole, metered, m.version) == nil {
		c.prune()
	}
	return nil
}

// keep makes the entry of what has been compiled into the folder whole.
func (c *cache) keep(ctx context.Context, entry, dir, whole string, metered []byte, version abi.Version) error {
	hollow, err := module.Hollow(metered)
	if err != nil {
		return err
	}
	made := filepath.Join(dir, "entry")
	machine, err := newMachine(made)
	if err != nil {
		return err
	}
	_, err = machine.compile(ctx, hollow)
	machine.close()
	if err != nil {
		return err
	}
	from, _, err := codeFile(whole)
	if err != nil {
		return err
	}
	to, _, err := codeFile(made)
	if err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(made, "module"), encode(version, hollow), 0o600); err != nil {
		return err
	}
	os.RemoveAll(filepath.Join(c.dir, entry))
	return os.Rename(made, filepath.Join(c.dir, entry))
}

// prune takes away the entries over the bound, and what was never finished.
func (c *cache) prune() {
	type old struct {
		path string
		used time.Time
	}
	var all []old
	list, _ := os.ReadDir(c.dir)
	for _, e := range list {
		path := filepath.Join(c.dir, e.Name())
		if strings.HasPrefix(e.Name(), building) {
			if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > abandoned {
				os.RemoveAll(path)
			}
			continue
		}
		if info, err := os.Stat(filepath.Join(path, "module")); err == nil {
			all = append(all, old{path, info.ModTime()})
		}
	}
	slices.SortFunc(all, func(a, b old) int { return b.used.Compare(a.used) })
	for _, o := range all[min(kept, len(all)):] {
		os.RemoveAll(o.path)
	}
}
