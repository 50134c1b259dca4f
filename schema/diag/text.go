package diag

import (
	"fmt"
	"slices"
)

// The colours of a terminal, as ANSI escape sequences.
const (
	bold   = "\x1b[1m"
	red    = "\x1b[1;31m"
	yellow = "\x1b[1;33m"
	cyan   = "\x1b[1;36m"
	faint  = "\x1b[2m"
	plain  = "\x1b[0m"
)

// appendText writes findings for people, a blank line between files:
//
//	shop.yaml:7:11: error[MC0304]: spec.ports[0].port: 70000 is not a port; give 1 to 65535
//	     7 |     port: 70000
//	       |           ^
//	  base.yaml:3:1: the other definition
//
//	2 files, 5 documents: 1 error, 0 warnings
//	meshc explain MC0304 says more
func appendText(out []byte, ds []Diagnostic, s Summary, o Options) []byte {
	paint := func(color, text string) string {
		if !o.Color {
			return text
		}
		return color + text + plain
	}
	var src *source
	for i := range ds {
		d := &ds[i]
		if i == 0 || d.File != ds[i-1].File {
			if i > 0 {
				out = append(out, '\n')
			}
			src = newSource(o, d.File)
		}
		if d.File != "" {
			out = append(out, paint(bold, visible(d.Place.String()))+": "...)
		}
		out = append(out, paint(severityColor(d.Severity), fmt.Sprintf("%s[%s]", d.Severity, visible(d.Code)))+": "+d.sentence()+"\n"...)
		if line, caret, ok := src.excerpt(d.Line, d.Column); ok {
			gutter := fmt.Sprintf("%6d |", d.Line)
			out = append(out, paint(faint, gutter)+" "+line+"\n"...)
			out = append(out, paint(faint, fmt.Sprintf("%*s", len(gutter), "|"))+" "+paint(severityColor(d.Severity), caret)+"\n"...)
		}
		for _, r := range d.Related {
			out = append(out, fmt.Sprintf("  %s: %s\n", paint(bold, visible(r.Place.String())), visible(r.Message))...)
		}
	}
	if o.NoSummary {
		return out
	}
	if len(ds) > 0 {
		out = append(out, '\n')
	}
	out = append(out, s.text()+"\n"...)
	if i := slices.IndexFunc(ds, func(d Diagnostic) bool { return d.Severity == Error }); i >= 0 {
		out = append(out, paint(faint, "meshc explain "+visible(ds[i].Code)+" says more")+"\n"...)
	}
	return out
}

func severityColor(s Severity) string {
	switch s {
	case Error:
		return red
	case Warning:
		return yellow
	}
	return cyan
}
