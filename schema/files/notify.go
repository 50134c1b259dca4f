package files

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"github.com/fsnotify/fsnotify"
)

// notifier is what is used of fsnotify: watches on single directories, by real path.
type notifier struct {
	events      <-chan fsnotify.Event
	errors      <-chan error
	add, remove func(dir string) error
	list        func() []string
	close       func() error
}

func newNotifier() (*notifier, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	return &notifier{events: w.Events, errors: w.Errors, add: w.Add, remove: w.Remove, list: w.WatchList, close: w.Close}, nil
}

// subscription keeps watches on every directory whose entries bear on the
// tree, and says when one of them changed.
//
// The directories are those that are walked, and those in which a name was
// looked up on the way: the parents of the roots up to the top, and what
// symbolic links lead through. So it does not matter which of the directories
// in a path is replaced, nor how many are missing.
type subscription struct {
	notifier *notifier
	log      *slog.Logger
	dirty    chan struct{} // capacity 1: something changed since it was last emptied
	pumped   chan struct{} // closed when the pump has ended

	// relevant tells the pump which events count.
	relevant atomic.Pointer[needs]
	// overflowed says that events were lost, and with them perhaps the news
	// that a watch is gone.
	overflowed atomic.Bool
	// watched is what was at each path when its watch was made.
	watched map[string]stamp
}

func subscribe(n *notifier, log *slog.Logger) *subscription {
	s := &subscription{
		notifier: n, log: log,
		dirty: make(chan struct{}, 1), pumped: make(chan struct{}),
		watched: map[string]stamp{},
	}
	s.relevant.Store(&needs{})
	go s.pump()
	return s
}

func (s *subscription) close() {
	// What fsnotify fails to close at the end of the process is of no use to anyone.
	_ = s.notifier.close()
	<-s.pumped
}

// size is how many directories are needed.
func (s *subscription) size() int { return len(s.relevant.Load().dirs()) }

// pump takes events as they come. It never waits for anyone, for fsnotify may
// hold its lock while it waits for the pump, and update needs that lock.
func (s *subscription) pump() {
	defer close(s.pumped)
	events, errs := s.notifier.events, s.notifier.errors
	for events != nil || errs != nil {
		select {
		case e, ok := <-events:
			if !ok {
				events = nil
			} else if s.relevant.Load().concern(e) {
				s.mark()
			}
		case err, ok := <-errs:
			if !ok {
				errs = nil
				continue
			}
			if errors.Is(err, fsnotify.ErrEventOverflow) {
				s.overflowed.Store(true)
			} else {
				s.log.Warn("watching for changes", "error", err.Error())
			}
			s.mark()
		}
	}
}

func (s *subscription) mark() {
	select {
	case s.dirty <- struct{}{}:
	default:
	}
}

// maxRounds bounds how often update goes after a tree that grows while it is
// being watched.
const maxRounds = 8

// update brings the watches in line with the tree as it is. A directory is
// watched only after it was listed, so what was made in it meanwhile may have
// gone unnoticed: update scans again until there is nothing new to watch. It
// fails with ctx, or because the system has no more watches to give.
func (s *subscription) update(ctx context.Context, scanner *scanner) error {
	for range maxRounds {
		found, err := scanner.scan(ctx)
		if err != nil {
			return err
		}
		before := s.relevant.Swap(&found.needs)
		added, err := s.apply(&found.needs)
		if err != nil {
			return err
		}
		if !added && found.needs.equal(before) {
			return nil
		}
	}
	s.mark()
	return nil
}

// apply makes the watches that are missing and drops those not needed, and
// reports whether it made any.
func (s *subscription) apply(n *needs) (added bool, err error) {
	need := n.dirs()
	all := s.overflowed.Swap(false)
	// Drop first: fsnotify knows a directory that was renamed by its old path
	// and would not watch it under a second one.
	for dir, was := range s.watched {
		if is, ok := need[dir]; all || !ok || !is.sameThing(was) {
			delete(s.watched, dir)
			// An error here says that there is no such watch any more.
			_ = s.notifier.remove(dir)
		}
	}
	// A watch ends by itself when its directory is deleted or renamed, and a new
	// directory may well get the old one's inode.
	alive := map[string]bool{}
	for _, dir := range s.notifier.list() {
		alive[dir] = true
	}
	for dir, is := range need {
		if _, ok := s.watched[dir]; ok && alive[dir] {
			continue
		}
		switch err := s.notifier.add(dir); {
		case err == nil:
			s.watched[dir] = is
			added = true
		case isLimit(err):
			return added, err
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
			added = true // gone since the scan: scan again
		default:
			// Not allowed to read one of the parents, most likely; a directory
			// of the tree that cannot be read is for the Reader to report.
			s.log.Debug("cannot watch", "directory", dir, "error", err.Error())
		}
	}
	return added, nil
}

// dirs returns the directories to watch and what they are at present.
func (n *needs) dirs() map[string]stamp {
	dirs := maps.Clone(n.walked)
	for dir := range n.steps {
		if _, ok := dirs[dir]; ok {
			continue
		}
		if info, err := os.Stat(dir); err == nil {
			dirs[dir] = stampOf(info)
		}
	}
	return dirs
}

func (n *needs) equal(m *needs) bool {
	return maps.EqualFunc(n.walked, m.walked, stamp.sameThing) &&
		maps.EqualFunc(n.steps, m.steps, func(a, b map[string]bool) bool { return maps.Equal(a, b) })
}

// concern reports whether an event may bear on the tree.
func (n *needs) concern(e fsnotify.Event) bool {
	path := filepath.Clean(e.Name)
	dir, name := filepath.Dir(path), filepath.Base(path)
	_, isWalked := n.walked[dir]
	names, isStep := n.steps[dir]
	switch {
	case n.steps[path] != nil, names[name]:
		return true
	case isWalked && name == ignoreName, n.isWalked(path):
		return true
	case isWalked && isHidden(name):
		return false
	case isWalked:
		return e.Op != fsnotify.Write || isInput(name) // only files are written to
	case isStep:
		return false
	}
	return true // a directory needed until a moment ago
}

func (n *needs) isWalked(dir string) bool { _, ok := n.walked[dir]; return ok }

func isLimit(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// limitAdvice says which limit of the system err is about; see inotify(7).
func limitAdvice(err error) string {
	if errors.Is(err, syscall.ENOSPC) {
		return "raise sysctl fs.inotify.max_user_watches above the number of directories"
	}
	return "raise sysctl fs.inotify.max_user_instances, or the number of open files (ulimit -n)"
}
