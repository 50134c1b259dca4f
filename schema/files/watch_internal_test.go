package files

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
)

// fakeNotifier lets a test be the operating system.
type fakeNotifier struct {
	events chan fsnotify.Event
	errors chan error

	mu      sync.Mutex
	watched []string
	added   int
	limit   int
	onAdd   func(dir string) // called before a watch is made
}

func newFake() *fakeNotifier {
	return &fakeNotifier{events: make(chan fsnotify.Event), errors: make(chan error), limit: 1 << 20}
}

func (f *fakeNotifier) open() (*notifier, error) {
	return &notifier{
		events: f.events, errors: f.errors,
		add: func(dir string) error {
			if f.onAdd != nil {
				f.onAdd(dir)
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if len(f.watched) >= f.limit {
				return os.NewSyscallError("inotify_add_watch", syscall.ENOSPC)
			}
			f.watched = append(f.watched, dir)
			f.added++
			return nil
		},
		remove: func(dir string) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.watched = slices.DeleteFunc(f.watched, func(w string) bool { return w == dir })
			return nil
		},
		list: f.list,
		close: func() error {
			close(f.events)
			close(f.errors)
			return nil
		},
	}, nil
}

func (f *fakeNotifier) list() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.watched)
}

func (f *fakeNotifier) adds() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.added
}

func start(t *testing.T, dir string, o WatchOptions, events func() (*notifier, error)) *Watcher {
	t.Helper()
	w, err := watch(t.Context(), []string{dir}, o, events)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func put(t *testing.T, path, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

// told reports whether a value is waiting, once all else is idle.
func told(w *Watcher) bool {
	synctest.Wait()
	select {
	case <-w.Changes():
		return true
	default:
		return false
	}
}

// A burst ends after 20 ms of quiet, and is cut short after 500 ms; what
// nobody has asked about is one value.
func TestBursts(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		w := start(t, dir, WatchOptions{}, f.open)
		change := func() { f.events <- fsnotify.Event{Name: dir + "/a.yaml", Op: fsnotify.Write} }
		if told(w) {
			t.Fatal("told of a change before there was one")
		}
		for range 5 {
			change()
			time.Sleep(19 * time.Millisecond)
			if told(w) {
				t.Fatal("told before the burst was over")
			}
		}
		time.Sleep(time.Millisecond)
		if !told(w) || told(w) {
			t.Fatal("not told once, 20 ms after the burst")
		}
		for range 50 {
			change()
			time.Sleep(10*time.Millisecond - time.Nanosecond)
			if told(w) {
				t.Fatal("told before the burst was over")
			}
		}
		time.Sleep(50 * time.Nanosecond)
		if !told(w) {
			t.Fatal("not told 500 ms after the burst began")
		}
		for range 3 {
			change()
			time.Sleep(time.Second)
		}
		if !told(w) || told(w) {
			t.Fatal("three bursts that nobody asked about are not one value")
		}
	})
}

func TestEventsThatDoNotCount(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/a.yaml", "1")
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		w := start(t, dir, WatchOptions{}, f.open)
		for _, e := range []fsnotify.Event{
			{Name: dir + "/.a.yaml.swp", Op: fsnotify.Create},
			{Name: dir + "/notes.txt", Op: fsnotify.Write},
			{Name: dir + "/../elsewhere", Op: fsnotify.Create},
			{Name: "/" + dir[1:] + "/cue.mod", Op: fsnotify.Create},
		} {
			f.events <- e
			time.Sleep(time.Second)
			if told(w) {
				t.Errorf("told of %v", e)
			}
		}
		for _, e := range []fsnotify.Event{
			{Name: dir, Op: fsnotify.Remove},
			{Name: dir + "/.meshcignore", Op: fsnotify.Write},
			{Name: dir + "/maybe-a-directory", Op: fsnotify.Create},
			{Name: "/nobody/knows", Op: fsnotify.Write},
		} {
			f.events <- e
			time.Sleep(time.Second)
			if !told(w) {
				t.Errorf("not told of %v", e)
			}
		}
	})
}

// A watch that is not needed any more is given back.
func TestWatchesAreGivenBack(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(dir+"/d/e", 0o755); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		w := start(t, dir, WatchOptions{}, f.open)
		if list := f.list(); !slices.Contains(list, dir+"/d/e") {
			t.Fatalf("watched: %q", list)
		}
		if err := os.Rename(dir+"/d", dir+"/.d"); err != nil {
			t.Fatal(err)
		}
		f.events <- fsnotify.Event{Name: dir + "/d", Op: fsnotify.Rename}
		time.Sleep(time.Second)
		if list := f.list(); !told(w) || slices.Contains(list, dir+"/d") || slices.Contains(list, dir+"/d/e") || !slices.Contains(list, dir) {
			t.Errorf("watched: %q", list)
		}
	})
}

// A directory is listed first and watched then; what is made in it in between
// is found all the same, as deep as it goes.
func TestDirectoriesMadeBeforeTheirParentIsWatched(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.onAdd = func(added string) {
			if strings.HasPrefix(added, dir) && len(added) < len(dir+"/d/d/d") {
				_ = os.Mkdir(added+"/d", 0o755)
			}
		}
		start(t, dir, WatchOptions{}, f.open)
		if list := f.list(); !slices.Contains(list, dir+"/d/d/d") {
			t.Errorf("watched: %q", list)
		}
	})
}

// When events are lost, anything may have changed, and any watch may be gone.
func TestOverflow(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		w := start(t, dir, WatchOptions{}, f.open)
		before := f.adds()
		f.errors <- fsnotify.ErrEventOverflow
		time.Sleep(time.Second)
		if !told(w) {
			t.Error("not told")
		}
		if f.adds() != 2*before {
			t.Errorf("%d of %d watches made anew", f.adds()-before, before)
		}
	})
}

// A system that has no more watches to give is named once, with what to do,
// and polling takes over without losing the change at hand.
func TestWatchLimit(t *testing.T) {
	for _, c := range []struct {
		name   string
		open   func(f *fakeNotifier) func() (*notifier, error)
		later  bool // the limit is met by a directory that is made later
		advice string
	}{
		{"instances", func(*fakeNotifier) func() (*notifier, error) {
			return func() (*notifier, error) { return nil, fmt.Errorf("inotify: %w", syscall.EMFILE) }
		}, false, "max_user_instances"},
		{"watches", func(f *fakeNotifier) func() (*notifier, error) { f.limit = 2; return f.open }, false, "max_user_watches"},
		{"watches, later", func(f *fakeNotifier) func() (*notifier, error) { return f.open }, true, "max_user_watches"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				f := newFake()
				w := start(t, dir, WatchOptions{Log: slog.New(slog.NewTextHandler(&log, nil))}, c.open(f))
				if c.later {
					f.mu.Lock()
					f.limit = len(f.watched)
					f.mu.Unlock()
					if err := os.Mkdir(dir+"/d", 0o755); err != nil {
						t.Fatal(err)
					}
					f.events <- fsnotify.Event{Name: dir + "/d", Op: fsnotify.Create}
					if by := <-w.Changes(); by != ByPoll {
						t.Errorf("noticed by %q", by)
					}
				}
				for i := range 3 {
					put(t, dir+"/a.yaml", strings.Repeat("x", i))
					if by := <-w.Changes(); by != ByPoll {
						t.Errorf("noticed by %q", by)
					}
				}
				w.Close()
				if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "code=MC0005") ||
					!strings.Contains(got, c.advice) || !strings.Contains(got, "level=ERROR") {
					t.Errorf("log: %s", got)
				}
			})
		})
	}
}
