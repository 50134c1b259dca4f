package files

import (
	"io/fs"
	"os"
	"time"
)

// listing is what was in a directory that matters.
type listing struct {
	stamp   stamp
	settled bool
	entries []entry // sorted by name
	ignore  bool    // there is an ignore file
	problem problem
	// at is what the directory went by when its entries' places were filled in.
	at place
}

type entry struct {
	name string
	kind fs.FileMode // type bits
	file candidate   // unless it is a directory or a link
}

// list returns what is in a directory.
func (w *walk) list(dir place) *listing {
	l := w.listings[dir.real] // met under another root
	if l == nil {
		l = list(dir.real, w.scanner.listings[dir.real])
		w.listings[dir.real] = l
	}
	if l.at != dir {
		l.at = dir
		for i := range l.entries {
			if e := &l.entries[i]; e.kind&(fs.ModeSymlink|fs.ModeDir) == 0 {
				e.file.place = dir.entry(e.name)
			}
		}
	}
	return l
}

// list lists the directory at a real path, unless old is up to date.
func list(dir string, old *listing) *listing {
	start := time.Now()
	info, err := os.Stat(dir)
	if err != nil {
		return &listing{problem: unreadable(err)}
	}
	l := &listing{stamp: stampOf(info)}
	l.settled = l.stamp.settled(start)
	if old != nil && old.settled && old.stamp == l.stamp {
		return old
	}
	all, err := os.ReadDir(dir)
	if err != nil {
		l.problem = unreadable(err)
	}
	for _, e := range all {
		switch kind := e.Type(); {
		case e.Name() == ignoreName:
			l.ignore = true
		case isHidden(e.Name()):
		case kind.IsDir(), kind&fs.ModeSymlink != 0, isInput(e.Name()):
			l.entries = append(l.entries, entry{name: e.Name(), kind: kind})
		}
	}
	return l
}
