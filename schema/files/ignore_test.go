package files_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/meshc/meshc/schema/files"
)

// ignoreCases were checked against git ls-files: each lists the paths that
// are left, of its paths.
var ignoreCases = []struct {
	name  string
	rules string
	paths string // separated by spaces
	left  string
}{
	{"a name matches at any depth", "a.yaml", "a.yaml b.yaml d/a.yaml d/e/a.yaml", "b.yaml"},
	{"a directory takes all with it", "d", "d/a.yaml d/e/a.yaml x/d/a.yaml b.yaml", "b.yaml"},
	{"a slash in front anchors", "/a.yaml", "a.yaml d/a.yaml", "d/a.yaml"},
	{"a slash in the middle anchors", "d/a.yaml", "d/a.yaml x/d/a.yaml", "x/d/a.yaml"},
	{"a slash at the end wants a directory", "a.yaml/", "a.yaml d/a.yaml/x.yaml", "a.yaml"},
	{"star", "*.yml", "a.yml d/b.yml a.yaml", "a.yaml"},
	{"star does not cross a slash", "d/*.yaml", "d/a.yaml d/e/a.yaml", "d/e/a.yaml"},
	{"question mark", "a?.yaml", "a.yaml ab.yaml abc.yaml", "a.yaml abc.yaml"},
	{"two stars in front", "**/d/a.yaml", "d/a.yaml x/d/a.yaml x/y/d/a.yaml a.yaml", "a.yaml"},
	{"two stars at the end", "d/**", "d/a.yaml d/e/a.yaml x/d/a.yaml", "x/d/a.yaml"},
	{"two stars in the middle", "d/**/a.yaml", "d/a.yaml d/e/a.yaml d/e/f/a.yaml d/b.yaml", "d/b.yaml"},
	{"two stars among others are one", "d**a.yaml", "da.yaml dxa.yaml d/a.yaml", "d/a.yaml"},
	{"two stars twice", "**/d/**/e/*.yaml", "d/e/a.yaml x/d/y/z/e/a.yaml d/a.yaml e/a.yaml", "d/a.yaml e/a.yaml"},
	{"two stars alone", "**", "a.yaml d/a.yaml", ""},
	{"the last rule decides", "*.yaml\n!a.yaml\nd/a.yaml", "a.yaml b.yaml d/a.yaml d/b.yaml e/a.yaml", "a.yaml e/a.yaml"},
	{"nothing returns from an ignored directory", "d/\n!d/a.yaml", "d/a.yaml b.yaml", "b.yaml"},
	{"but from one whose content is ignored", "d/*\n!d/a.yaml", "d/a.yaml d/b.yaml", "d/a.yaml"},
	{"all but", "/*\n!/keep", "a.yaml keep/a.yaml d/keep/a.yaml", "keep/a.yaml"},
	{"comments and empty lines", "# a.yaml\n\n\\#b.yaml\n", "a.yaml #b.yaml", "a.yaml"},
	{"an exclamation mark in the name", "\\!a.yaml", "!a.yaml a.yaml", "a.yaml"},
	{"spaces at the end", "a.yaml  \n", "a.yaml b.yaml", "b.yaml"},
	{"line ends of Windows", "a.yaml\r\nb.yaml\r\n", "a.yaml b.yaml c.yaml", "c.yaml"},
	{"a byte order mark", "\ufeffa.yaml\n", "a.yaml b.yaml", "b.yaml"},
	{"sets", "[ab].yaml\n[!x-z]1.yaml\n[^y-z]2.yaml", "a.yaml c.yaml a1.yaml x1.yaml x2.yaml y2.yaml", "c.yaml x1.yaml y2.yaml"},
	{"a set with a bracket", "[]a].yaml", "].yaml a.yaml b.yaml", "b.yaml"},
	{"a set with a class", "[[:digit:]_].yaml\n[[:upper:]]x.yaml", "1.yaml _.yaml a.yaml Ax.yaml ax.yaml", "a.yaml ax.yaml"},
	{"a set that does not end", "[a.yaml\n[[:digit:.yaml", "a.yaml [a.yaml", "[a.yaml a.yaml"},
	{"an escaped star", "\\*.yaml", "*.yaml a.yaml", "a.yaml"},
	{"a backslash at the end", "a.yaml\\", "a.yaml a.yaml\\/b.yaml", "a.yaml a.yaml\\/b.yaml"},
	{"case counts", "A.yaml", "a.yaml A.yaml", "a.yaml"},
	{"slashes only", "/\n!\n!/\n", "a.yaml", "a.yaml"},
}

func TestIgnoreRules(t *testing.T) {
	for _, c := range ignoreCases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for path := range strings.FieldsSeq(c.paths) {
				write(t, dir+"/"+path, "x")
			}
			write(t, dir+"/.meshcignore", c.rules)
			tree := read(t, files.NewReader([]string{dir}, nil))
			got := []string{}
			for _, f := range tree.Files {
				got = append(got, f.Name)
			}
			want := strings.Fields(c.left)
			slices.Sort(want)
			wantEqual(t, "files", got, want)
		})
	}
}

// A nearer ignore file overrules a farther one, and speaks of paths relative
// to its own directory. A root named below an ignored directory is read.
func TestNestedIgnoreFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/.meshcignore", "a.yaml\n/d/e/b.yaml\nout\n")
	write(t, dir+"/d/.meshcignore", "!a.yaml\n/e/c.yaml\n")
	write(t, dir+"/d/e/.meshcignore", "/a.yaml\n!b.yaml")
	for _, name := range []string{"a.yaml", "d/a.yaml", "d/e/a.yaml", "d/e/f/a.yaml", "d/e/b.yaml", "d/e/c.yaml", "c.yaml", "out/x.yaml"} {
		write(t, dir+"/"+name, "x")
	}
	names := func(roots ...string) string {
		var list []string
		for _, f := range read(t, files.NewReader(roots, nil)).Files {
			list = append(list, f.Name)
		}
		return strings.Join(list, " ")
	}
	if got, want := names(dir), "c.yaml d/a.yaml d/e/b.yaml d/e/f/a.yaml"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := names(dir+"/out"), "x.yaml"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := names(dir+"/a.yaml"), "a.yaml"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A link to a directory is walked like a directory, so it is ignored like one.
func TestIgnoredLinkToDirectory(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/.meshcignore", "link/")
	write(t, dir+"/a.yaml", "a")
	other := t.TempDir()
	write(t, other+"/x.yaml", "x")
	symlink(t, other, dir+"/link")
	wantEqual(t, "files", contents(read(t, files.NewReader([]string{dir}, nil))), []string{"a.yaml=a"})
}

func TestBadIgnoreFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a.yaml", "a")
	write(t, dir+"/.meshcignore", "a\x00")
	must(t, os.Mkdir(dir+"/d", 0o755))
	symlink(t, "gone", dir+"/d/.meshcignore")
	tree := read(t, files.NewReader([]string{dir}, nil))
	wantEqual(t, "files", contents(tree), []string{"a.yaml=a"})
	wantEqual(t, "findings", findings(tree, dir), []string{"MC0004 .meshcignore:1:2", "MC0001 d/.meshcignore"})
}
