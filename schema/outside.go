package schema

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meshc/meshc/schema/files"
	"github.com/meshc/meshc/schema/internal/parse"
)

// outside is what the results of .cue files depend on beside the file itself.
type outside struct {
	sum [sha256.Size]byte
	// open says that they may depend on more than sum covers, so that they
	// cannot be kept.
	open bool
}

// digestOutside digests what the .cue files among in may refer to: the other
// .cue files, and what lies in their modules and is no part of the input, such
// as vendored packages. It leaves open what any of them may embed.
func digestOutside(in []files.File) outside {
	var o outside
	h := sha256.New()
	paths, dirs := map[string]bool{}, map[string]bool{}
	for _, f := range in {
		if isCUE(f.Name) {
			fmt.Fprintf(h, "%s\x00%s", f.Shown, f.Sum)
			path := absolute(f)
			paths[path], dirs[filepath.Dir(path)] = true, true
			o.open = o.open || embeds(f.Data)
		}
	}
	if len(paths) == 0 {
		return o
	}
	roots := map[string]bool{}
	for dir := range dirs {
		root, isModule := parse.ModuleRoot(dir)
		roots[root] = isModule
	}
	for _, root := range slices.Sorted(maps.Keys(roots)) {
		m := module{root: root, whole: roots[root], known: paths, digest: h}
		m.walk()
		o.open = o.open || m.open
	}
	o.sum = [sha256.Size]byte(h.Sum(nil))
	return o
}

// embeds reports whether a .cue file may hold what stands in files of any kind.
func embeds(data []byte) bool { return bytes.Contains(data, []byte("@embed(")) }

// module is the folder that CUE finds packages in, or where that is no module,
// the folder of a package.
type module struct {
	root   string
	whole  bool            // it is a module: what lies deeper matters
	known  map[string]bool // paths of files that are digested already
	digest hash.Hash
	open   bool // something could not be seen
}

func (m *module) walk() {
	// An error is one of the visitor's, which returns none.
	_ = filepath.WalkDir(m.root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case path == m.root:
			return nil // if it is not there, nothing is there but what was read
		case strings.HasPrefix(d.Name(), "."), d.IsDir() && !m.whole:
			if d.IsDir() {
				return filepath.SkipDir // no import path leads there
			}
		case err != nil:
			m.open = true
		case d.Type()&fs.ModeSymlink != 0:
			m.link(path)
		case isCUE(path):
			m.file(path)
		}
		return nil
	})
}

func (m *module) file(path string) {
	if m.known[path] {
		return
	}
	data, err := os.ReadFile(path)
	m.open = m.open || err != nil || embeds(data)
	fmt.Fprintf(m.digest, "%s\x00%s", path, sha256.Sum256(data))
}

// link takes in a link. CUE looks where each one leads, and complains of those
// that lead nowhere, whatever their name.
func (m *module) link(path string) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		fmt.Fprintf(m.digest, "%s\x00%s", path, sha256.Sum256([]byte(err.Error())))
	case info.IsDir():
		m.open = m.open || m.whole // an import path may lead there
	case isCUE(path):
		m.file(path)
	}
}
