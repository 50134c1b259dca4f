package files

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/meshc/meshc/schema/diag"
)

// scanner finds the input files of a set of roots, again and again. It keeps
// the listing of each directory and lists it anew only when the directory
// changed, so a scan costs one stat a directory.
type scanner struct {
	roots    []root
	listings map[string]*listing    // by real path
	ignores  map[string]*ignoreFile // by real path
	files    int                    // found by the last scan
	// also are the absolute paths of files that matter and are no input: they
	// bear on what has to be watched, and polling looks at them.
	also []string
}

// root is one of the paths the user named.
type root struct {
	typed string
	abs   string // "" where the working directory is gone
}

// place is a file or directory by its three names.
type place struct {
	name  string // relative to the root, with slashes; "" is the root
	shown string // as the user may open it; "" is the working directory
	real  string // without links; "" is a link that leads nowhere
}

// entry returns the place of a directory's entry.
func (p place) entry(name string) place {
	return place{join(p.name, name, "/"), join(p.shown, name, string(filepath.Separator)), join(p.real, name, string(filepath.Separator))}
}

// join is what filepath.Join is to paths that are clean already.
func join(dir, name, separator string) string {
	if dir == "" || strings.HasSuffix(dir, separator) {
		return dir + name
	}
	return dir + separator + name
}

// candidate is a file to be read.
type candidate struct {
	place
	named   bool    // it is a root
	problem problem // why it cannot be, where that is known already
}

// found is the outcome of a scan.
type found struct {
	files    []candidate
	others   []candidate // roots that are no input files; polling looks at them all the same
	also     []candidate // the scanner's
	findings []diag.Diagnostic
	vanished bool
	stdin    bool
	needs    needs
}

// needs is what has to be watched for the outcome of a scan to stay true: the
// directories that were walked, and every single look-up on the way there.
type needs struct {
	walked map[string]stamp           // by real path
	steps  map[string]map[string]bool // directory → names looked up in it
}

func newScanner(roots []string) *scanner {
	if len(roots) == 0 {
		roots = []string{"."}
	}
	s := &scanner{}
	for _, typed := range roots {
		abs, err := filepath.Abs(typed)
		if err != nil || typed == "" {
			abs = ""
		}
		s.roots = append(s.roots, root{typed, abs})
	}
	return s
}

// scan walks the roots. It fails only with ctx.
func (s *scanner) scan(ctx context.Context) (*found, error) {
	w := &walk{
		ctx: ctx, scanner: s,
		out: &found{
			files: make([]candidate, 0, s.files),
			needs: needs{make(map[string]stamp, len(s.listings)), map[string]map[string]bool{}},
		},
		listings: make(map[string]*listing, len(s.listings)),
		ignores:  make(map[string]*ignoreFile, len(s.ignores)),
	}
	for _, r := range s.roots {
		if r.typed == Stdin {
			w.out.stdin = true
			continue
		}
		w.visited = map[string]bool{}
		w.walkRoot(r)
	}
	w.lookFor(s.also)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.listings, s.ignores, s.files = w.listings, w.ignores, len(w.out.files)
	if len(s.roots) > 1 || w.linked {
		w.out.deduplicate()
	}
	return w.out, nil
}

// deduplicate keeps the first of several ways that lead to one file.
func (f *found) deduplicate() {
	seen := make(map[string]bool, len(f.files))
	f.files = slices.DeleteFunc(f.files, func(c candidate) bool {
		again := c.real != "" && seen[c.real]
		seen[c.real] = true
		return again
	})
}

// walk is one scan under way.
type walk struct {
	ctx     context.Context
	scanner *scanner
	out     *found
	// These become the scanner's: what was not met is forgotten.
	listings map[string]*listing
	ignores  map[string]*ignoreFile

	visited map[string]bool // real paths of directories met under this root
	linked  bool            // a link was followed
}

// step notes a look-up.
func (w *walk) step(dir, name string) {
	names := w.out.needs.steps[dir]
	if names == nil {
		names = map[string]bool{}
		w.out.needs.steps[dir] = names
	}
	names[name] = true
}

// find notes a finding.
func (w *walk) find(shown string, p problem) {
	w.out.findings = append(w.out.findings, p.at(shown))
}

func (w *walk) walkRoot(r root) {
	real, info, err := w.resolveRoot(r)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		w.out.vanished = true
		message := "is not there"
		if r.typed == "" {
			message = "an empty path names no file" // as of a variable that is not set
		}
		w.find(r.typed, problem{code: diag.CodeUnreadable, message: message,
			hint: `name a file or directory that exists, or "-" for standard input`})
	case err != nil:
		w.find(r.typed, unreadable(err))
	case info.IsDir():
		shown := filepath.Clean(r.typed)
		if shown == "." {
			shown = ""
		}
		w.walkDir(place{"", shown, real}, nil)
	case info.Mode().IsRegular() && !isInput(r.typed):
		w.find(r.typed, problem{code: diag.CodeExtension, message: "has no extension that says what it holds",
			hint: "name it .yaml, .yml, .json or .cue"})
		w.out.others = append(w.out.others, candidate{place: place{filepath.Base(r.abs), r.typed, real}})
	default:
		w.out.files = append(w.out.files, candidate{place: place{filepath.Base(r.abs), r.typed, real}, named: true})
	}
}

// lookFor notes the look-ups that lead to the scanner's further files, whatever
// is there.
func (w *walk) lookFor(paths []string) {
	dirs := map[string]string{} // real paths, "" where there is no directory
	for _, path := range paths {
		dir := filepath.Dir(path)
		real, known := dirs[dir]
		if !known {
			from, rest := top(dir)
			real, _ = resolve(from, rest, w.step) // "" with an error
			dirs[dir] = real
		}
		if real != "" {
			real, _ = resolve(real, filepath.Base(path), w.step)
		}
		w.out.also = append(w.out.also, candidate{place: place{shown: path, real: real}})
	}
}

func (w *walk) resolveRoot(r root) (string, fs.FileInfo, error) {
	if r.abs == "" {
		return "", nil, fs.ErrNotExist
	}
	dir, rest := top(r.abs)
	return w.follow(dir, rest)
}

// follow returns what is at the end of a path, and its real path.
func (w *walk) follow(dir, rest string) (string, fs.FileInfo, error) {
	real, err := resolve(dir, rest, w.step)
	if err != nil {
		return "", nil, err
	}
	info, err := os.Stat(real)
	return real, info, err
}

// walkDir takes in a directory. What it holds is left out as ignores says.
func (w *walk) walkDir(dir place, ignores ignoreStack) {
	if w.visited[dir.real] || w.ctx.Err() != nil {
		return
	}
	w.visited[dir.real] = true
	list := w.list(dir)
	w.out.needs.walked[dir.real] = list.stamp
	if list.problem.code != "" {
		w.find(cmp.Or(dir.shown, "."), list.problem)
		return
	}
	if list.ignore {
		ignores = w.stack(ignores, dir)
	}
	for i := range list.entries {
		w.walkEntry(dir, &list.entries[i], ignores)
	}
}

func (w *walk) walkEntry(dir place, e *entry, ignores ignoreStack) {
	switch {
	case e.kind&fs.ModeSymlink != 0:
		w.walkLink(dir, e.name, ignores)
	case e.kind.IsDir():
		if at := dir.entry(e.name); !ignores.ignores(at.name, true) {
			w.walkDir(at, ignores)
		}
	case !ignores.ignores(e.file.name, false):
		w.out.files = append(w.out.files, e.file)
	}
}

func (w *walk) walkLink(dir place, name string, ignores ignoreStack) {
	w.linked = true
	at := dir.entry(name)
	real, info, err := w.follow(dir.real, name)
	at.real = real
	isDir := err == nil && info.IsDir()
	switch {
	case !isDir && !isInput(name), ignores.ignores(at.name, isDir):
	case err != nil:
		w.out.files = append(w.out.files, candidate{place: at, problem: unreadable(err)})
	case !isDir:
		w.out.files = append(w.out.files, candidate{place: at})
	case !isWithin(dir.real, real): // or else it goes round in a circle
		w.walkDir(at, ignores)
	}
}

// stack puts the ignore file of dir on top of those of the directories above.
func (w *walk) stack(ignores ignoreStack, dir place) ignoreStack {
	at := dir.entry(ignoreName)
	real, _, err := w.follow(dir.real, ignoreName)
	if err != nil {
		w.find(at.shown, unreadable(err))
		return ignores
	}
	file := loadIgnoreFile(real, w.scanner.ignores[real])
	w.ignores[real] = file
	if file.content.problem.code != "" {
		w.find(at.shown, file.content.problem)
	}
	return append(slices.Clip(ignores), ignoreFrame{strings.Count(at.name, "/"), file.rules})
}
