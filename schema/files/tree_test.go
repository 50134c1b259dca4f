package files_test

import (
	"crypto/sha256"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/files"
)

func TestTreeOfADirectory(t *testing.T) {
	for _, c := range []struct {
		name           string
		setup          func(dir string)
		files, finding []string
		vanished       bool
	}{
		{
			name: "every extension, at any depth, sorted by name",
			setup: func(dir string) {
				write(t, dir+"/b/c/deep.json", "1")
				write(t, dir+"/b.yaml", "2")
				write(t, dir+"/a.yml", "3")
				write(t, dir+"/b/x.cue", "4")
				write(t, dir+"/README.md", "no")
				write(t, dir+"/Makefile", "no")
			},
			files: []string{"a.yml=3", "b.yaml=2", "b/c/deep.json=1", "b/x.cue=4"},
		},
		{
			name: "leading dots and cue.mod are passed over",
			setup: func(dir string) {
				write(t, dir+"/a.yaml", "1")
				write(t, dir+"/.hidden.yaml", "no")
				write(t, dir+"/.git/x.yaml", "no")
				write(t, dir+"/cue.mod/module.cue", "no")
				write(t, dir+"/sub/cue.mod/module.cue", "no")
			},
			files: []string{"a.yaml=1"},
		},
		{
			name: "a ConfigMap mount",
			setup: func(dir string) {
				write(t, dir+"/..2024_01_01/a.yaml", "1")
				write(t, dir+"/..2024_01_01/b.yaml", "2")
				symlink(t, "..2024_01_01", dir+"/..data")
				symlink(t, "..data/a.yaml", dir+"/a.yaml")
				symlink(t, "..data/b.yaml", dir+"/b.yaml")
			},
			files: []string{"a.yaml=1", "b.yaml=2"},
		},
		{
			name: "links are followed, and one file is read once under its first name",
			setup: func(dir string) {
				write(t, dir+"/../elsewhere/far.yaml", "far")
				write(t, dir+"/z.yaml", "z")
				symlink(t, "z.yaml", dir+"/first.yaml")
				symlink(t, "../elsewhere", dir+"/out")
				symlink(t, dir+"/../elsewhere", dir+"/same")
				symlink(t, "out/far.yaml", dir+"/y.yaml")
			},
			files: []string{"first.yaml=z", "out/far.yaml=far"},
		},
		{
			name: "circles of links end",
			setup: func(dir string) {
				write(t, dir+"/a/x.yaml", "x")
				write(t, dir+"/b/y.yaml", "y")
				write(t, dir+"/../outside.yaml", "no")
				symlink(t, ".", dir+"/self")
				symlink(t, "../..", dir+"/a/above")
				symlink(t, "../b", dir+"/a/b")
				symlink(t, "../a", dir+"/b/a")
			},
			files: []string{"a/b/y.yaml=y", "a/x.yaml=x"},
		},
		{
			name: "a link that leads nowhere",
			setup: func(dir string) {
				write(t, dir+"/a.yaml", "1")
				symlink(t, "gone", dir+"/bad.yaml")
				symlink(t, "loop.yaml", dir+"/loop.yaml")
				symlink(t, "gone", dir+"/not-input")
			},
			files: []string{"a.yaml=1"}, finding: []string{"MC0001 bad.yaml", "MC0001 loop.yaml"},
		},
		{
			name: "a file that fails when it is read",
			setup: func(dir string) {
				write(t, dir+"/a.yaml", "1")
				symlink(t, "/proc/self/mem", dir+"/mem.yaml")
			},
			files: []string{"a.yaml=1"}, finding: []string{"MC0001 mem.yaml"},
		},
		{
			name: "what is not a file is not opened",
			setup: func(dir string) {
				write(t, dir+"/a.yaml", "1")
				must(t, syscall.Mkfifo(dir+"/fifo.yaml", 0o644))
				must(t, syscall.Mkfifo(dir+"/fifo", 0o644))
				symlink(t, "/dev/zero", dir+"/zero.json")
				l, err := net.Listen("unix", dir+"/s.cue")
				must(t, err)
				t.Cleanup(func() { l.Close() })
			},
			files: []string{"a.yaml=1"}, finding: []string{"MC0002 fifo.yaml", "MC0002 s.cue", "MC0002 zero.json"},
		},
		{
			name: "a directory may be called like a file",
			setup: func(dir string) {
				write(t, dir+"/d.yaml/x.yaml", "1")
			},
			files: []string{"d.yaml/x.yaml=1"},
		},
		{
			name: "too large by one byte",
			setup: func(dir string) {
				write(t, dir+"/a.yaml", "1")
				write(t, dir+"/big.yaml", "")
				must(t, os.Truncate(dir+"/big.yaml", files.MaxSize+1))
			},
			files: []string{"a.yaml=1"}, finding: []string{"MC0003 big.yaml"},
		},
		{
			name: "text is UTF-8",
			setup: func(dir string) {
				write(t, dir+"/bom.yaml", "\xef\xbb\xbfa: ü")
				write(t, dir+"/empty.yaml", "")
				write(t, dir+"/latin.yaml", "a: b\nü: x\xe9y\n")
				write(t, dir+"/nul.yaml", "a\nb\nc\x00")
				write(t, dir+"/utf16be.yaml", "\xfe\xff\x00a")
				write(t, dir+"/utf16le.yaml", "\xff\xfea\x00")
				write(t, dir+"/utf16none.yaml", "a\x00:\x00")
				write(t, dir+"/utf32be.yaml", "\x00\x00\xfe\xff\x00\x00\x00a")
			},
			files: []string{"bom.yaml=a: ü", "empty.yaml="},
			finding: []string{"MC0004 latin.yaml:2:5", "MC0004 nul.yaml:3:2", "MC0004 utf16be.yaml:1:1",
				"MC0004 utf16le.yaml:1:1", "MC0004 utf16none.yaml:1:2", "MC0004 utf32be.yaml:1:1"},
		},
		{
			name:    "nothing at all",
			setup:   func(dir string) { write(t, dir+"/README.md", "no") },
			finding: []string{"MC0006 " + "DIR"},
		},
		{
			name:     "not there",
			setup:    func(dir string) { must(t, os.Remove(dir)) },
			finding:  []string{"MC0001 " + "DIR"},
			vanished: true,
		},
		{
			name: "a parent that is a file",
			setup: func(dir string) {
				must(t, os.Remove(dir))
				must(t, os.Remove(filepath.Dir(dir)))
				write(t, filepath.Dir(dir), "a file")
			},
			finding:  []string{"MC0001 " + "DIR"},
			vanished: true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir() + "/parent/root"
			must(t, os.MkdirAll(dir, 0o755))
			c.setup(dir)
			tree := read(t, files.NewReader([]string{dir}, nil))
			for i := range c.finding {
				c.finding[i] = strings.ReplaceAll(c.finding[i], "DIR", dir)
			}
			wantEqual(t, "files", contents(tree), c.files)
			wantEqual(t, "findings", findings(tree, dir), c.finding)
			if tree.Vanished != c.vanished {
				t.Errorf("vanished = %v, want %v", tree.Vanished, c.vanished)
			}
			for _, f := range tree.Files {
				if f.Sum != sha256.Sum256(f.Data) {
					t.Errorf("%s: the sum is not that of the data", f.Name)
				}
				if f.Shown != dir+"/"+f.Name {
					t.Errorf("%s is shown as %s", f.Name, f.Shown)
				}
			}
			for _, d := range tree.Diagnostics {
				if d.Severity != diag.Error || d.Message == "" || strings.Contains(d.Message, dir) {
					t.Errorf("finding %+v", d)
				}
			}
		})
	}
}

func TestRoots(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "a.yaml", "a")
	write(t, "conf/b.yaml", "b")
	write(t, "conf/sub/c.json", "c")
	write(t, "other/b.yaml", "other b")
	write(t, "notes.txt", "x")
	write(t, ".dir/.named.yaml", "named")
	symlink(t, "conf", "link")
	must(t, syscall.Mkfifo("fifo", 0o644))
	for _, c := range []struct {
		name     string
		roots    []string
		stdin    string
		want     []string // name shown
		finding  []string
		vanished bool
	}{
		{name: "none is the working directory",
			want: []string{"a.yaml a.yaml", "conf/b.yaml conf/b.yaml", "conf/sub/c.json conf/sub/c.json", "other/b.yaml other/b.yaml"}},
		{name: "a file", roots: []string{"./conf/b.yaml"}, want: []string{"b.yaml ./conf/b.yaml"}},
		{name: "two directories with one name", roots: []string{"other", "conf"},
			want: []string{"b.yaml conf/b.yaml", "b.yaml other/b.yaml", "sub/c.json conf/sub/c.json"}},
		{name: "overlapping, the first wins", roots: []string{"conf/sub", "conf", "link", "conf/b.yaml"},
			want: []string{"b.yaml conf/b.yaml", "c.json conf/sub/c.json"}},
		{name: "a link to a directory", roots: []string{"link"}, want: []string{"b.yaml link/b.yaml", "sub/c.json link/sub/c.json"}},
		{name: "hidden, but named", roots: []string{".dir/.named.yaml"}, want: []string{".named.yaml .dir/.named.yaml"}},
		{name: "standard input", roots: []string{"-", "a.yaml", "-"}, stdin: "\xef\xbb\xbfhello",
			want: []string{"a.yaml a.yaml", "stdin <stdin>"}},
		{name: "standard input that is not text", roots: []string{"-"}, stdin: "a\n\xff", finding: []string{"MC0004 <stdin>:2:1"}},
		{name: "standard input too large", roots: []string{"-"}, stdin: strings.Repeat("a", files.MaxSize+1), finding: []string{"MC0003 <stdin>"}},
		{name: "an unknown extension", roots: []string{"notes.txt", "a.yaml"}, want: []string{"a.yaml a.yaml"}, finding: []string{"MC0007 notes.txt"}},
		{name: "a pipe", roots: []string{"fifo"}, finding: []string{"MC0002 fifo"}},
		{name: "one of two missing", roots: []string{"gone", "a.yaml"}, want: []string{"a.yaml a.yaml"}, finding: []string{"MC0001 gone"}, vanished: true},
		{name: "an empty name", roots: []string{"", "a.yaml"}, want: []string{"a.yaml a.yaml"}, finding: []string{"MC0001 "}, vanished: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree := read(t, files.NewReader(c.roots, strings.NewReader(c.stdin)))
			got := []string{}
			for _, f := range tree.Files {
				got = append(got, f.Name+" "+f.Shown)
			}
			wantEqual(t, "files", got, c.want)
			wantEqual(t, "findings", findings(tree, ""), c.finding)
			if tree.Vanished != c.vanished {
				t.Errorf("vanished = %v, want %v", tree.Vanished, c.vanished)
			}
		})
	}
}
