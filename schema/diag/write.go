package diag

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Format is a way to write findings down.
type Format string

// The formats.
const (
	Text   Format = "text"   // for people
	JSON   Format = "json"   // one object, for programs
	SARIF  Format = "sarif"  // SARIF 2.1.0, for code scanning
	GitHub Format = "github" // workflow commands, for annotations
)

// ParseFormat returns the format called name.
func ParseFormat(name string) (Format, error) {
	formats := []Format{Text, JSON, SARIF, GitHub}
	if f := Format(name); slices.Contains(formats, f) {
		return f, nil
	}
	return "", fmt.Errorf("unknown format %q: it must be text, json, sarif or github", name)
}

// Options alter how findings are written. The zero Options are plain text
// without excerpts.
type Options struct {
	// Color asks for ANSI colours; only Text has them.
	Color bool
	// Source returns the content of a file, for the excerpts of Text; nil, or
	// a nil result, means that there is no excerpt.
	Source func(file string) []byte
	// NoSummary leaves out what follows the findings; only Text heeds it.
	NoSummary bool
}

// Write writes ds and s to w in format f. It writes the findings in the order
// of Sort, whatever their order is, and leaves ds alone. What it writes holds
// no control character from the input but escaped ones. The error is w's, or
// says that f is unknown.
func Write(w io.Writer, f Format, ds []Diagnostic, s Summary, o Options) error {
	ds = slices.Clone(ds)
	Sort(ds)
	var out []byte
	var err error
	switch f {
	case Text:
		out = appendText(nil, ds, s, o)
	case JSON:
		out, err = marshalJSON(ds, s)
	case SARIF:
		out, err = marshalSARIF(ds)
	case GitHub:
		out = appendGitHub(nil, ds, s)
	default:
		_, err = ParseFormat(string(f))
	}
	if err != nil {
		return err
	}
	_, err = w.Write(out)
	return err
}

// sentence is a finding without its place, severity and code.
func (d *Diagnostic) sentence() string {
	var b strings.Builder
	if d.Path != "" {
		b.WriteString(visible(d.Path) + ": ")
	}
	b.WriteString(visible(d.Message))
	if d.Hint != "" {
		b.WriteString("; " + visible(d.Hint))
	}
	return b.String()
}

// text writes the counts of s as a line for people.
func (s Summary) text() string {
	line := plural(s.Files, "file") + ", " + plural(s.Documents, "document")
	if s.Ignored > 0 {
		line += fmt.Sprintf(", %d left out", s.Ignored)
	}
	return line + ": " + plural(s.Errors, "error") + ", " + plural(s.Warnings, "warning")
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
