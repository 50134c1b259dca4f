package main

import (
	"crypto/sha256"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"

	"github.com/meshc/meshc/schema"
)

func cacheFlag() cli.Flag {
	return &cli.StringFlag{Name: "cache", Usage: "`DIR` that keeps what files said from one run to the next; safe to delete, holds the documents, secrets included"}
}

// useCache makes d look into the cache in dir, if dir is not empty, and returns
// what is to be called when d has loaded: it writes the cache. A cache that
// cannot be used is no more than a warning.
func (d *documents) useCache(dir string, stderr io.Writer) (save func()) {
	nothing := func() {}
	if dir == "" {
		return nothing
	}
	warn := func(err error) {
		fmt.Fprintf(stderr, "meshc: warning: --cache %s: %v; every file is checked anew\n", dir, err)
	}
	program, err := thisProgram()
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		warn(err)
		return nothing
	}
	path := filepath.Join(dir, "documents.cache")
	content, err := readWhole(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		warn(err)
		return nothing
	}
	cache := schema.NewCache(content, program)
	d.loader.UseCache(cache)
	return func() {
		if !cache.Changed() {
			return
		}
		if err := replaceFile(path, 0o600, cache.Write); err != nil {
			warn(err)
		}
	}
}

// readWhole returns the content of a file, of which the caller may keep parts.
func readWhole(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var b strings.Builder
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		b.Grow(int(info.Size()))
	}
	_, err = io.Copy(&b, f)
	return b.String(), err
}

// thisProgram identifies what a cache depends on beside the files: the code
// and the rules that are part of it. A build of a known state of the source is
// told by that; of any other the linker's digest of the executable counts, or
// where there is none the bytes of it.
var thisProgram = sync.OnceValues(func() (schema.Program, error) {
	info, ok := debug.ReadBuildInfo()
	if ok && isReproducible(info) {
		return sha256.Sum256([]byte(info.String())), nil
	}
	f, err := os.Open("/proc/self/exe") // what runs, even when the file has been replaced
	if err != nil {
		path, err := os.Executable()
		if err != nil {
			return schema.Program{}, err
		}
		if f, err = os.Open(path); err != nil {
			return schema.Program{}, err
		}
	}
	defer f.Close()
	if id := linkedID(f); len(id) > 0 {
		return sha256.Sum256(id), nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return schema.Program{}, err
	}
	return schema.Program(h.Sum(nil)), nil
})

// linkedID returns the note in which Go's linker digests an ELF executable,
// nothing for what has none.
func linkedID(f io.ReaderAt) []byte {
	program, err := elf.NewFile(f)
	if err != nil {
		return nil
	}
	note := program.Section(".note.go.buildid")
	if note == nil {
		return nil
	}
	id, err := note.Data()
	if err != nil {
		return nil
	}
	return id
}

func isReproducible(info *debug.BuildInfo) bool {
	v := info.Main.Version
	replaced := slices.ContainsFunc(info.Deps, func(d *debug.Module) bool { return d.Replace != nil })
	return v != "" && v != "(devel)" && !strings.HasSuffix(v, "+dirty") && !replaced
}
