package diag

import (
	"fmt"
	"strings"
)

// appendGitHub writes findings as workflow commands, which GitHub Actions (and
// what is compatible with it) shows beside the lines of a change.
func appendGitHub(out []byte, ds []Diagnostic, s Summary) []byte {
	for i := range ds {
		d := &ds[i]
		var props []string
		if d.File != "" {
			props = append(props, "file="+githubProperty(d.File))
		}
		if d.Line > 0 {
			props = append(props, fmt.Sprintf("line=%d", d.Line))
		}
		if d.Column > 0 {
			props = append(props, fmt.Sprintf("col=%d", d.Column))
		}
		props = append(props, "title="+githubProperty(d.Code))
		message := d.sentence()
		for _, r := range d.Related {
			message += "\n" + visible(r.Place.String()) + ": " + visible(r.Message)
		}
		out = fmt.Appendf(out, "::%s %s::%s\n", githubCommand(d.Severity), strings.Join(props, ","), githubData(message))
	}
	return append(out, s.text()+"\n"...)
}

func githubCommand(s Severity) string {
	if s == Note {
		return "notice"
	}
	return s.String()
}

// The escapes are those of the runner's toolkit (packages/core/src/command.ts).
var (
	githubDataEscapes     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	githubPropertyEscapes = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

func githubData(s string) string     { return githubDataEscapes.Replace(s) }
func githubProperty(s string) string { return githubPropertyEscapes.Replace(visible(s)) }
