// Package files reads the user's tree of input files in one consistent read,
// and watches it. What comes out are bytes that are known to be UTF-8 text,
// and findings about whatever is not. What the bytes say is the business of
// package schema.
//
// The two halves meet nowhere but at the file system: [Watch] only says that
// something may have changed, and [Reader.Read] finds out what. So a signal too
// many costs a few milliseconds and a signal is never the only carrier of news.
package files

import (
	"path"
	"slices"

	"github.com/meshc/meshc/schema/diag"
)

// MaxSize is the size in bytes of the largest file that is read.
const MaxSize = 16 << 20

// Stdin is the root that names standard input.
const Stdin = "-"

// StdinShown is the path under which standard input is shown.
const StdinShown = "<stdin>"

// ignoreName is the file that says what to leave out, as .gitignore does.
const ignoreName = ".meshcignore"

// File is one input file. Its Data is shared between reads: read it only.
type File struct {
	// Name is the file's path relative to its root, with slashes; the base
	// name for a root that is itself a file; "stdin" for standard input.
	Name string
	// Shown is the path as the user may open it: the root as typed, joined
	// with Name; "<stdin>" for standard input.
	Shown string
	// Named says that the file is itself a root, and not found in one.
	Named bool
	// Data is the content: UTF-8 without a byte order mark and without NUL.
	Data []byte
	// Sum is the SHA-256 of Data.
	Sum [32]byte
}

// Tree is what one Read found.
type Tree struct {
	// Files are sorted by Name, then Shown.
	Files []File
	// Diagnostics are sorted as diag.Sort does. A file that has one is not
	// among Files.
	Diagnostics []diag.Diagnostic
	// Vanished says that a root is not there, or not any more.
	Vanished bool
}

// Extensions returns the extensions of input files, each with its dot.
func Extensions() []string { return []string{".yaml", ".yml", ".json", ".cue"} }

// isInput reports whether a file of this name is read.
func isInput(name string) bool { return slices.Contains(Extensions(), path.Ext(name)) }

// isHidden reports whether a directory's entry is passed over, whatever it is:
// what starts with a dot, and the place where CUE keeps its modules.
func isHidden(name string) bool { return name[0] == '.' || name == "cue.mod" }
