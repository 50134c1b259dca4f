package diag

import (
	"embed"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"
)

// pages holds one txtar archive a code, MCnnnn.txtar. Its comment is the prose;
// the files under wrong/ give the finding, those under right/ do not.
//
//go:embed pages/*.txtar
var pages embed.FS

// Page is what meshc explain says about a code.
type Page struct {
	Code  string
	Title string
	// Prose is plain text in paragraphs: what the code means, why it matters,
	// what to do. It ends with a newline; indented lines are examples.
	Prose string
	// Wrong are the files of an input that gives the finding, and Right those
	// of one that does not. Both are empty where the state is not one of text.
	// When they are tried, everybody may read the wrong ones, and only their
	// owner the right ones.
	Wrong, Right []PageFile
}

// PageFile is one file of an example.
type PageFile struct {
	Name string // relative, with slashes
	Data []byte
}

// Codes returns every code, in order.
func Codes() []string { return slices.Sorted(maps.Keys(titles)) }

// ReadPage returns the page of a code. The error says that there is none, or
// what is wrong with how it is written.
func ReadPage(code string) (Page, error) {
	data, err := pages.ReadFile("pages/" + code + ".txtar")
	if err != nil {
		return Page{}, fmt.Errorf("%s has no page", code)
	}
	archive := txtar.Parse(data)
	p := Page{Code: code, Title: Title(code), Prose: strings.TrimSpace(string(archive.Comment)) + "\n"}
	for _, f := range archive.Files {
		folder, name, _ := strings.Cut(f.Name, "/")
		file := PageFile{Name: name, Data: f.Data}
		switch {
		case folder == "wrong" && name != "":
			p.Wrong = append(p.Wrong, file)
		case folder == "right" && name != "":
			p.Right = append(p.Right, file)
		default:
			return Page{}, fmt.Errorf("the page of %s has a file %s, which is neither below wrong/ nor below right/", code, f.Name)
		}
	}
	return p, nil
}

var codeDigits = regexp.MustCompile(`(?i)^\W*(?:[a-z]+\W)?(?:mc)?[-_ ]?([0-9]{1,4})\W*$`)

// FindCode returns the code that a user means by s: MC0301 for "MC0301",
// "mc301", "301" and "error[MC0301]". Where there is no such code it returns ""
// and the nearest code, if any is near.
func FindCode(s string) (code, near string) {
	written := strings.ToUpper(strings.TrimSpace(s))
	if m := codeDigits.FindStringSubmatch(s); m != nil {
		written = fmt.Sprintf("MC%04s", m[1])
	}
	if Title(written) != "" {
		return written, ""
	}
	return "", Nearest(written, Codes())
}

// firstParagraph returns the first paragraph of the prose as one line.
func (p Page) firstParagraph() string {
	text, _, _ := strings.Cut(p.Prose, "\n\n")
	return strings.Join(strings.Fields(text), " ")
}
