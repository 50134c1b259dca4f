package files_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/meshc/meshc/schema/files"
)

// write makes a file, with the directories above it.
func write(t testing.TB, path, data string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

func symlink(t testing.TB, target, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, r *files.Reader) files.Tree {
	t.Helper()
	tree, err := r.Read(t.Context())
	must(t, err)
	return tree
}

// contents lists the files of a tree as "name=data".
func contents(tree files.Tree) []string {
	list := []string{}
	for _, f := range tree.Files {
		list = append(list, f.Name+"="+string(f.Data))
	}
	return list
}

// findings lists the findings of a tree as "code place", without the
// directory dir in front.
func findings(tree files.Tree, dir string) []string {
	list := []string{}
	for _, d := range tree.Diagnostics {
		list = append(list, d.Code+" "+strings.TrimPrefix(d.Place.String(), dir+"/"))
	}
	return list
}

func wantEqual(t *testing.T, what string, got, want []string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

func TestStdinIsReadOnce(t *testing.T) {
	r := files.NewReader([]string{"-"}, strings.NewReader("a: 1"))
	for range 2 {
		wantEqual(t, "files", contents(read(t, r)), []string{"stdin=a: 1"})
	}
}

func TestStdinThatDoesNotEnd(t *testing.T) {
	in, out := io.Pipe()
	r := files.NewReader([]string{"-"}, in)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		fmt.Fprint(out, "a: ") // returns once it is being read
		cancel()
	}()
	if _, err := r.Read(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("err = %v", err)
	}
	go func() {
		fmt.Fprint(out, "1")
		out.Close()
	}()
	wantEqual(t, "files", contents(read(t, r)), []string{"stdin=a: 1"})
}

func TestReadEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := files.NewReader([]string{t.TempDir()}, nil).Read(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("err = %v", err)
	}
}

// A reader that has read before finds the same as a new one, whatever changed
// in between and however little of it shows.
func TestReadAgain(t *testing.T) {
	dir := t.TempDir()
	r := files.NewReader([]string{dir}, nil)
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"first", func() { write(t, dir+"/a.yaml", "1"); write(t, dir+"/d/b.yaml", "2") }},
		{"same size, at once", func() { write(t, dir+"/a.yaml", "3") }},
		{"same size and old time", func() {
			info, err := os.Stat(dir + "/a.yaml")
			must(t, err)
			write(t, dir+"/a.yaml", "4")
			must(t, os.Chtimes(dir+"/a.yaml", info.ModTime(), info.ModTime()))
		}},
		{"renamed over", func() { write(t, dir+"/.tmp", "5"); must(t, os.Rename(dir+"/.tmp", dir+"/a.yaml")) }},
		{"new file", func() { write(t, dir+"/d/new.yaml", "6") }},
		{"removed", func() { must(t, os.Remove(dir+"/d/b.yaml")) }},
		{"moved", func() { must(t, os.Rename(dir+"/d", dir+"/e")) }},
		{"directory replaced", func() {
			write(t, dir+"/.new/new.yaml", "7")
			must(t, os.RemoveAll(dir+"/e"))
			must(t, os.Rename(dir+"/.new", dir+"/e"))
		}},
		{"bad", func() { write(t, dir+"/a.yaml", "\xff") }},
		{"otherwise bad", func() { write(t, dir+"/a.yaml", "\xfe") }},
		{"good", func() { write(t, dir+"/a.yaml", "8") }},
		{"ignored", func() { write(t, dir+"/.meshcignore", "a.yaml") }},
		{"ignored otherwise", func() { write(t, dir+"/.meshcignore", "e.yaml") }},
		{"gone", func() { must(t, os.RemoveAll(dir)) }},
		{"back", func() { write(t, dir+"/a.yaml", "9") }},
	} {
		step.do()
		got, want := read(t, r), read(t, files.NewReader([]string{dir}, nil))
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %q %v\nwant %q %v", step.name, contents(got), findings(got, dir), contents(want), findings(want, dir))
		}
	}
}

// A tree that is written to all the time is never passed off as read.
func TestTreeThatDoesNotHoldStill(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/quiet.yaml", "1")
	busy := files.Probe(files.NewReader([]string{dir}, nil), func(pass int) {
		write(t, dir+"/busy.yaml", fmt.Sprint(pass))
	})
	tree := read(t, busy)
	wantEqual(t, "findings", findings(tree, dir), []string{"MC0001 busy.yaml"})
}

// What changes during a read is read again, and what is read together was
// there together.
func TestChangeDuringARead(t *testing.T) {
	dir := t.TempDir()
	for i := range 300 {
		write(t, fmt.Sprintf("%s/%03d.yaml", dir, i), "old")
	}
	r := files.Probe(files.NewReader([]string{dir}, nil), func(pass int) {
		switch pass {
		case 1:
			write(t, dir+"/000.yaml", "new")
			write(t, dir+"/299.yaml", "new")
		case 2:
			must(t, os.Remove(dir+"/001.yaml"))
		}
	})
	tree := read(t, r)
	if len(tree.Diagnostics) > 0 || len(tree.Files) != 299 {
		t.Fatalf("%d files, findings %v", len(tree.Files), tree.Diagnostics)
	}
	for _, f := range tree.Files {
		want := "old"
		if f.Name == "000.yaml" || f.Name == "299.yaml" {
			want = "new"
		}
		if string(f.Data) != want {
			t.Errorf("%s = %s, want %s", f.Name, f.Data, want)
		}
	}
}

// What did not change is not read again: the data is the very same.
func TestUnchangedIsNotReadAgain(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a.yaml", "1")
	write(t, dir+"/b.yaml", "1")
	r := files.NewReader([]string{dir}, nil)
	first := read(t, r)
	write(t, dir+"/b.yaml", "2")
	second := read(t, r)
	if &first.Files[0].Data[0] != &second.Files[0].Data[0] {
		t.Error("a.yaml did not change, and its data is another")
	}
	if string(second.Files[1].Data) != "2" || string(first.Files[1].Data) != "1" {
		t.Errorf("b.yaml was %q and is %q", first.Files[1].Data, second.Files[1].Data)
	}
}

func BenchmarkReadOneChanged(b *testing.B) {
	for _, perDir := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("files=10000/dir=%d", perDir), func(b *testing.B) {
			dir := b.TempDir()
			name := func(i int) string { return fmt.Sprintf("%s/d%d/f%05d.yaml", dir, i/perDir, i) }
			for i := range 10_000 {
				write(b, name(i), fmt.Sprintf("a: %d\n", i))
			}
			r := files.NewReader([]string{dir}, nil)
			read(b, r)
			for i := 0; b.Loop(); i++ {
				write(b, name(i%10_000), fmt.Sprintf("b: %d\n", i))
				if n := len(read(b, r).Files); n != 10_000 {
					b.Fatal(n)
				}
			}
		})
	}
}

// TestEmptiedFile: a file that was emptied a moment ago is about to be written;
// one that stays empty is empty.
func TestEmptiedFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.yaml")
	write(t, path, "a: 1")
	write(t, filepath.Join(dir, "empty.yaml"), "")
	var at func(pass int)
	r := files.Probe(files.Patient(files.NewReader([]string{dir}, nil), time.Hour), func(pass int) { at(pass) })
	at = func(int) {}
	wantEqual(t, "at first", contents(read(t, r)), []string{"a.yaml=a: 1", "empty.yaml="})

	write(t, path, "")
	left := 5
	at = func(int) {
		if left--; left == 0 {
			write(t, path, "a: 2")
		}
	}
	wantEqual(t, "as it is written", contents(read(t, r)), []string{"a.yaml=a: 2", "empty.yaml="})

	at = func(int) {}
	write(t, path, "")
	files.Patient(r, 20*time.Millisecond)
	wantEqual(t, "for good", contents(read(t, r)), []string{"a.yaml=", "empty.yaml="})
	files.Patient(r, time.Hour)
	wantEqual(t, "later", contents(read(t, r)), []string{"a.yaml=", "empty.yaml="})
}
