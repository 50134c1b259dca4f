package files_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshc/meshc/schema/files"
)

// deadline is generous: it only ends a test that fails.
const deadline = 30 * time.Second

var modes = map[string]files.WatchOptions{
	files.ByEvent: {Quiet: 2 * time.Millisecond, MaxDelay: 50 * time.Millisecond},
	files.ByPoll:  {Quiet: 2 * time.Millisecond, MaxDelay: 50 * time.Millisecond, Poll: 5 * time.Millisecond},
}

// follower keeps a tree up to date as serve does.
type follower struct {
	t       *testing.T
	mode    string
	watcher *files.Watcher
	reader  *files.Reader
}

func follow(t *testing.T, mode string, roots ...string) *follower {
	t.Helper()
	w, err := files.Watch(t.Context(), roots, modes[mode])
	must(t, err)
	t.Cleanup(func() { must(t, w.Close()) })
	return &follower{t: t, mode: mode, watcher: w, reader: files.NewReader(roots, nil)}
}

// told waits for a change.
func (f *follower) told() bool {
	f.t.Helper()
	select {
	case by := <-f.watcher.Changes():
		if by != f.mode {
			f.t.Fatalf("noticed by %q, want %q", by, f.mode)
		}
		return true
	case <-time.After(deadline):
		return false
	}
}

// next waits for a change and returns the tree that is there then.
func (f *follower) next() (files.Tree, bool) {
	f.t.Helper()
	if !f.told() {
		return files.Tree{}, false
	}
	return read(f.t, f.reader), true
}

// until waits for changes until the files are as wanted.
func (f *follower) until(step string, want ...string) {
	f.t.Helper()
	for last := []string(nil); ; {
		tree, ok := f.next()
		if !ok {
			f.t.Fatalf("%s: no change noticed; got %q, want %q", step, last, want)
		}
		if last = contents(tree); slices.Equal(last, want) {
			return
		}
	}
}

// step is one thing that is done to a tree, and the files it has afterwards.
type step struct {
	name string
	do   func(dir string) error
	want []string
}

func put(path, data string) func(string) error {
	return func(dir string) error {
		if err := os.MkdirAll(filepath.Dir(dir+"/"+path), 0o755); err != nil {
			return err
		}
		return os.WriteFile(dir+"/"+path, []byte(data), 0o644)
	}
}

func move(from, to string) func(string) error {
	return func(dir string) error { return os.Rename(dir+"/"+from, dir+"/"+to) }
}

func remove(path string) func(string) error {
	return func(dir string) error { return os.RemoveAll(dir + "/" + path) }
}

func link(target, path string) func(string) error {
	return func(dir string) error { return os.Symlink(target, dir+"/"+path) }
}

func all(dos ...func(string) error) func(string) error {
	return func(dir string) error {
		for _, do := range dos {
			if err := do(dir); err != nil {
				return err
			}
		}
		return nil
	}
}

// Every way a tree can change is noticed, and so is the next change after it,
// where the watch has to have followed. The tree is at p/root.
func TestWatch(t *testing.T) {
	for _, c := range []struct {
		name  string
		setup func(dir string) error
		root  string // p/root if empty
		steps []step
	}{
		{name: "written in place", setup: put("p/root/a.yaml", "1"), steps: []step{
			{"shorter", put("p/root/a.yaml", ""), []string{"a.yaml="}},
			{"longer", put("p/root/a.yaml", "22"), []string{"a.yaml=22"}},
			{"the same size", put("p/root/a.yaml", "33"), []string{"a.yaml=33"}},
		}},
		{name: "renamed over", setup: put("p/root/a.yaml", "1"), steps: []step{
			{"once", all(put("p/root/.a.swp", "2"), move("p/root/.a.swp", "p/root/a.yaml")), []string{"a.yaml=2"}},
			{"twice", all(put("p/root/a.yaml~", "3"), move("p/root/a.yaml~", "p/root/a.yaml")), []string{"a.yaml=3"}},
		}},
		{name: "files come and go", setup: put("p/root/a.yaml", "1"), steps: []step{
			{"new", put("p/root/b.yaml", "2"), []string{"a.yaml=1", "b.yaml=2"}},
			{"gone", remove("p/root/a.yaml"), []string{"b.yaml=2"}},
			{"renamed", move("p/root/b.yaml", "p/root/c.yaml"), []string{"c.yaml=2"}},
			{"renamed away", move("p/root/c.yaml", "p/root/c.txt"), []string{}},
			{"and back", move("p/root/c.txt", "p/root/c.yaml"), []string{"c.yaml=2"}},
		}},
		{name: "directories come and go", setup: put("p/root/a.yaml", "1"), steps: []step{
			{"several at once", put("p/root/d/e/f/x.yaml", "2"), []string{"a.yaml=1", "d/e/f/x.yaml=2"}},
			{"the deepest is watched", put("p/root/d/e/f/x.yaml", "33"), []string{"a.yaml=1", "d/e/f/x.yaml=33"}},
			{"renamed", move("p/root/d", "p/root/g"), []string{"a.yaml=1", "g/e/f/x.yaml=33"}},
			{"watched under its new name", put("p/root/g/e/f/x.yaml", "4"), []string{"a.yaml=1", "g/e/f/x.yaml=4"}},
			{"moved out", move("p/root/g", "out"), []string{"a.yaml=1"}},
			{"and in", move("out", "p/root/h"), []string{"a.yaml=1", "h/e/f/x.yaml=4"}},
			{"watched again", put("p/root/h/e/y.yaml", "5"), []string{"a.yaml=1", "h/e/f/x.yaml=4", "h/e/y.yaml=5"}},
			{"removed and made anew", all(remove("p/root/h"), put("p/root/h/x.yaml", "6")), []string{"a.yaml=1", "h/x.yaml=6"}},
			{"the new one is watched", put("p/root/h/x.yaml", "77"), []string{"a.yaml=1", "h/x.yaml=77"}},
		}},
		{name: "two directories change places", setup: all(put("p/root/d/x.yaml", "d"), put("p/root/e/x.yaml", "e")), steps: []step{
			{"swap", all(move("p/root/d", "p/root/.d"), move("p/root/e", "p/root/d"), move("p/root/.d", "p/root/e")), []string{"d/x.yaml=e", "e/x.yaml=d"}},
			{"write to one", put("p/root/d/x.yaml", "1"), []string{"d/x.yaml=1", "e/x.yaml=d"}},
			{"and the other", put("p/root/e/x.yaml", "2"), []string{"d/x.yaml=1", "e/x.yaml=2"}},
		}},
		{name: "a ConfigMap mount", setup: all(put("p/root/..1/a.yaml", "1"), link("..1", "p/root/..data"), link("..data/a.yaml", "p/root/a.yaml")), steps: []step{
			{"swap", all(put("p/root/..2/a.yaml", "2"), link("..2", "p/root/..tmp"), move("p/root/..tmp", "p/root/..data"), remove("p/root/..1")), []string{"a.yaml=2"}},
			{"again", all(put("p/root/..3/a.yaml", "3"), link("..3", "p/root/..tmp"), move("p/root/..tmp", "p/root/..data"), remove("p/root/..2")), []string{"a.yaml=3"}},
			{"in place", put("p/root/..3/a.yaml", "44"), []string{"a.yaml=44"}},
		}},
		{name: "a link to a file outside", setup: all(put("out/o.yaml", "1"), put("p/root/b.yaml", "b"), link("../../out/o.yaml", "p/root/a.yaml")), steps: []step{
			{"in place", put("out/o.yaml", "22"), []string{"a.yaml=22", "b.yaml=b"}},
			{"renamed over", all(put("out/n", "3"), move("out/n", "out/o.yaml")), []string{"a.yaml=3", "b.yaml=b"}},
			{"target gone", remove("out"), []string{"b.yaml=b"}},
			{"target back", put("out/o.yaml", "4"), []string{"a.yaml=4", "b.yaml=b"}},
		}},
		{name: "a chain of links outside", setup: all(put("v1/x.yaml", "1"), put("v2/x.yaml", "2"), put("p/root/.keep", ""), link("v1", "current"), link("../../current/x.yaml", "p/root/a.yaml")), steps: []step{
			{"the middle one", all(link("v2", "next"), move("next", "current")), []string{"a.yaml=2"}},
			{"its new target", put("v2/x.yaml", "33"), []string{"a.yaml=33"}},
		}},
		{name: "a link to a directory outside", setup: all(put("out/deep/o.yaml", "1"), put("p/root/b.yaml", "b"), link("../../out/deep", "p/root/d")), steps: []step{
			{"in place", put("out/deep/o.yaml", "22"), []string{"b.yaml=b", "d/o.yaml=22"}},
			{"a parent replaced", all(put("new/deep/o.yaml", "3"), move("out", "old"), move("new", "out")), []string{"b.yaml=b", "d/o.yaml=3"}},
			{"in place again", put("out/deep/o.yaml", "4"), []string{"b.yaml=b", "d/o.yaml=4"}},
			{"the link replaced", all(put("other/o.yaml", "5"), remove("p/root/d"), link("../../other", "p/root/d")), []string{"b.yaml=b", "d/o.yaml=5"}},
			{"its new target", put("other/sub/x.yaml", "6"), []string{"b.yaml=b", "d/o.yaml=5", "d/sub/x.yaml=6"}},
		}},
		{name: "the root goes and comes back", setup: put("p/root/a.yaml", "1"), steps: []step{
			{"gone", remove("p/root"), []string{}},
			{"back", put("p/root/a.yaml", "2"), []string{"a.yaml=2"}},
			{"watched", put("p/root/a.yaml", "33"), []string{"a.yaml=33"}},
			{"at once", all(remove("p/root"), put("p/root/d/a.yaml", "4")), []string{"d/a.yaml=4"}},
			{"watched again", put("p/root/d/a.yaml", "55"), []string{"d/a.yaml=55"}},
			{"with its parent", remove("p"), []string{}},
			{"back again", put("p/root/a.yaml", "6"), []string{"a.yaml=6"}},
			{"parent replaced", all(put("q/root/a.yaml", "7"), move("p", "old"), move("q", "p")), []string{"a.yaml=7"}},
			{"the new one is watched", put("p/root/a.yaml", "88"), []string{"a.yaml=88"}},
		}},
		{name: "the root comes later", setup: put("x", ""), root: "p/q/r", steps: []step{
			{"parent", put("p/x.yaml", "1"), nil},
			{"all of it", put("p/q/r/a.yaml", "1"), []string{"a.yaml=1"}},
			{"watched", put("p/q/r/a.yaml", "22"), []string{"a.yaml=22"}},
		}},
		{name: "a root that is a link", setup: all(put("v1/a.yaml", "1"), put("v2/a.yaml", "2"), link("v1", "cur")), root: "cur", steps: []step{
			{"in place", put("v1/a.yaml", "11"), []string{"a.yaml=11"}},
			{"swapped", all(link("v2", "next"), move("next", "cur")), []string{"a.yaml=2"}},
			{"in place again", put("v2/a.yaml", "22"), []string{"a.yaml=22"}},
		}},
		{name: "a root that is a file", setup: put("p/a.yaml", "1"), root: "p/a.yaml", steps: []step{
			{"in place", put("p/a.yaml", "22"), []string{"a.yaml=22"}},
			{"renamed over", all(put("p/n", "3"), move("p/n", "p/a.yaml")), []string{"a.yaml=3"}},
			{"in place again", put("p/a.yaml", "44"), []string{"a.yaml=44"}},
			{"gone", remove("p/a.yaml"), []string{}},
			{"back", put("p/a.yaml", "5"), []string{"a.yaml=5"}},
			{"with its directory", all(remove("p"), put("p/a.yaml", "66")), []string{"a.yaml=66"}},
		}},
		{name: "ignore files", setup: all(put("p/root/a.yaml", "1"), put("p/root/d/x.yaml", "2")), steps: []step{
			{"new", put("p/root/.meshcignore", "d/"), []string{"a.yaml=1"}},
			{"changed", put("p/root/.meshcignore", "a.yaml"), []string{"d/x.yaml=2"}},
			{"what is back is watched", put("p/root/d/x.yaml", "33"), []string{"d/x.yaml=33"}},
			{"gone", remove("p/root/.meshcignore"), []string{"a.yaml=1", "d/x.yaml=33"}},
		}},
	} {
		for mode := range modes {
			t.Run(c.name+"/"+mode, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				must(t, c.setup(dir))
				root := dir + "/p/root"
				if c.root != "" {
					root = dir + "/" + c.root
				}
				f := follow(t, mode, root)
				read(t, f.reader)
				for _, s := range c.steps {
					must(t, s.do(dir))
					if s.want != nil {
						f.until(s.name, s.want...)
					}
				}
			})
		}
	}
}

// A change counts from the moment Watch returns, read or not, and also while
// the one who was told of an earlier change is still at work.
func TestNoChangeIsLost(t *testing.T) {
	for mode := range modes {
		t.Run(mode, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir+"/a.yaml", "1")
			f := follow(t, mode, dir)
			write(t, dir+"/a.yaml", "before the first read")
			f.until("before", "a.yaml=before the first read")
			for i := range 20 {
				// Told of one change, and busy with it, when the next comes.
				write(t, dir+"/a.yaml", fmt.Sprint("told ", i))
				if !f.told() {
					t.Fatal("no change noticed")
				}
				write(t, dir+"/a.yaml", fmt.Sprint("busy ", i))
				f.until("busy", fmt.Sprint("a.yaml=busy ", i))
			}
		})
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	for mode, options := range modes {
		ctx, cancel := context.WithCancel(t.Context())
		w, err := files.Watch(ctx, []string{t.TempDir()}, options)
		must(t, err)
		cancel()
		must(t, w.Close())
		must(t, w.Close())
		if _, err := files.Watch(ctx, []string{t.TempDir()}, options); err != context.Canceled {
			t.Errorf("%s: err = %v", mode, err)
		}
	}
}

// After any edits, once the watch has nothing more to say, the tree that was
// followed is the tree that is there. At every moment a reader that has read
// before finds the same as a new one.
func TestFollowedTreeEqualsFreshTree(t *testing.T) {
	for mode := range modes {
		for seed := range uint64(4) {
			t.Run(fmt.Sprint(mode, "/", seed), func(t *testing.T) {
				t.Parallel()
				top := t.TempDir()
				dir := top + "/p/root"
				must(t, os.MkdirAll(dir, 0o755))
				must(t, os.MkdirAll(top+"/out", 0o755))
				f := follow(t, mode, dir, dir+"/d0")
				last, again := read(t, f.reader), files.NewReader([]string{dir, dir + "/d0"}, nil)
				random := rand.New(rand.NewPCG(seed, 0))
				for round := range 40 {
					var done []string
					for range 1 + random.IntN(4) {
						done = append(done, edit(random, top, round))
					}
					if mode == files.ByPoll {
						// Polling does not notice what is undone between two looks; see RATIONALE.
						_ = os.WriteFile(dir+"/round.yaml", []byte(fmt.Sprint(round)), 0o644) // there may be no root
					}
					want := read(t, files.NewReader([]string{dir, dir + "/d0"}, nil))
					if got := read(t, again); !reflect.DeepEqual(got, want) {
						t.Fatalf("after %q, read again:\n got %s\nwant %s", done, summary(got), summary(want))
					}
					for !reflect.DeepEqual(last, want) {
						next, ok := f.next()
						if !ok {
							t.Fatalf("after %q, followed:\n got %s\nwant %s", done, summary(last), summary(want))
						}
						last = next
					}
				}
			})
		}
	}
}

func summary(tree files.Tree) string {
	return fmt.Sprintf("%q %v vanished=%v", contents(tree), findings(tree, ""), tree.Vanished)
}

// edit makes one random change in or about top/p/root and says which. It may
// well fail, which is no change.
func edit(random *rand.Rand, top string, round int) string {
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	place := func() string {
		dir := top + "/" + pick("p/root", "p/root", "p/root/d0", "p/root/d1", "p/root/d0/d1", "out", "out/d0")
		return dir + "/" + pick("a.yaml", "b.yaml", "c.json", "d0", "d1", "x.txt", ".meshcignore", "cue.mod")
	}
	path, other := place(), place()
	data := pick("", "x", "y", "a.yaml\n", "d0/\n!b.yaml\n", "\xff", fmt.Sprint(round))
	var op string
	var err error
	switch op = pick("write", "write", "write", "replace", "mkdir", "remove", "rename", "rename", "link", "relink", "root", "parent"); op {
	case "write":
		err = os.WriteFile(path, []byte(data), 0o644)
	case "replace":
		if err = os.WriteFile(top+"/new", []byte(data), 0o644); err == nil {
			err = os.Rename(top+"/new", path)
		}
	case "mkdir":
		err = os.MkdirAll(path, 0o755)
	case "remove":
		err = os.RemoveAll(path)
	case "rename":
		err = os.Rename(path, other)
	case "link":
		err = os.Symlink(other, path)
	case "relink":
		if err = os.Symlink(other, top+"/new"); err == nil {
			err = os.Rename(top+"/new", path)
		}
	case "root":
		if random.IntN(4) == 0 {
			err = os.RemoveAll(top + "/p/root")
		} else {
			err = os.MkdirAll(top+"/p/root/d0/d1", 0o755)
		}
	case "parent":
		if random.IntN(4) == 0 {
			err = os.Rename(top+"/p", top+"/out/p")
		} else {
			err = os.Rename(top+"/out/p", top+"/p")
		}
	}
	_ = os.RemoveAll(top + "/new")
	return strings.ReplaceAll(fmt.Sprintf("%s %s %s %q: %v", op, path, other, data, err), top+"/", "")
}

// A root that holds no documents, as a built snapshot does not, is watched.
func TestWatchWhatIsNoInput(t *testing.T) {
	for mode := range modes {
		t.Run(mode, func(t *testing.T) {
			dir := t.TempDir()
			must(t, put("built.meshc", "1")(dir))
			f := follow(t, mode, dir+"/built.meshc")
			for _, content := range []string{"22", "333"} {
				must(t, put("built.meshc", content)(dir))
				if !f.told() {
					t.Fatalf("no change noticed after %s", content)
				}
			}
		})
	}
}

// Files that documents name are watched wherever they are, there or not, from
// the state in which they were read.
func TestWatchNamedFiles(t *testing.T) {
	for mode := range modes {
		t.Run(mode, func(t *testing.T) {
			dir := t.TempDir()
			must(t, put("in/a.yaml", "a")(dir))
			must(t, put("lib/m.wasm", "1")(dir))
			f := follow(t, mode, dir+"/in")
			var named *files.Named
			look := func(path string) {
				if named == nil || named.Path != path {
					named = nil
				}
				named = files.ReadNamed(path, 1<<20, named)
				f.watcher.Also([]*files.Named{named})
			}
			// until waits for changes until the file holds want.
			until := func(step, want string) {
				t.Helper()
				for named.Data != want {
					if !f.told() {
						t.Fatalf("%s: no change noticed; got %q", step, named.Data)
					}
					look(named.Path)
				}
			}
			read(t, f.reader)
			look(dir + "/lib/m.wasm")
			for _, s := range []struct {
				name string
				do   func(dir string) error
				want string
			}{
				{"rewritten in place", put("lib/m.wasm", "22"), "22"},
				{"replaced", all(put("lib/new", "333"), move("lib/new", "lib/m.wasm")), "333"},
				{"removed", remove("lib/m.wasm"), ""},
				{"back again", put("lib/m.wasm", "4444"), "4444"},
				{"its folder replaced", all(put("other/m.wasm", "55555"), move("lib", "gone"), move("other", "lib")), "55555"},
				{"its folder gone", remove("lib"), ""},
				{"a link now", all(put("real/x.wasm", "666666"), put("lib/y", ""), link("../real/x.wasm", "lib/m.wasm")), "666666"},
				{"what the link leads to", put("real/x.wasm", "7777777"), "7777777"},
			} {
				must(t, s.do(dir))
				until(s.name, s.want)
			}

			// Changed between the read and the watch, in a folder not there before.
			named = files.ReadNamed(dir+"/late/m.wasm", 1<<20, nil)
			must(t, put("late/m.wasm", "late")(dir))
			f.watcher.Also([]*files.Named{named})
			until("changed before it was watched", "late")
		})
	}
}
