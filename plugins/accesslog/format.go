package accesslog

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// format is a format string that has been read: its parts in order.
type format []part

// part is a piece of text, or a command.
type part struct {
	text     string // where there is no command
	command  string // the name, "REQ"
	argument string // without the parentheses
	length   int    // of the value at most; 0 for no bound
	render   renderer
}

// command is %NAME%, %NAME(ARGUMENT)% or %NAME(ARGUMENT):LENGTH%.
var commandForm = regexp.MustCompile(`^%([A-Z0-9_]+)(?:\(([^)]*)\))?(?::([0-9]{1,9}))?%`)

// parseFormat reads an access log format: Envoy's, with Kuma's commands.
func parseFormat(s string) (format, error) {
	var out format
	for len(s) > 0 {
		at := strings.IndexByte(s, '%')
		if at != 0 {
			if at < 0 {
				at = len(s)
			}
			out = append(out, part{text: s[:at]})
			s = s[at:]
			continue
		}
		m := commandForm.FindStringSubmatch(s)
		if m == nil {
			return nil, fmt.Errorf("%q begins no command: a command is written %%NAME%%, %%NAME(ARGUMENT)%% or %%NAME(ARGUMENT):LENGTH%%", shorten(s))
		}
		p := part{command: m[1], argument: m[2]}
		if m[3] != "" {
			p.length, _ = strconv.Atoi(m[3])
		}
		make, known := commands[p.command]
		if !known {
			return nil, fmt.Errorf("%s is no command that meshc has", m[0])
		}
		var err error
		if p.render, err = make(p.argument); err != nil {
			return nil, fmt.Errorf("%s: %w", m[0], err)
		}
		out = append(out, p)
		s = s[len(m[0]):]
	}
	return out, nil
}

func shorten(s string) string {
	const shown = 20
	if len(s) > shown {
		return s[:shown] + "…"
	}
	return s
}

// absent stands for a value that is not there, as in Envoy.
const absent = "-"

// line renders e with the line end behind it.
func (f format) line(e *entry) []byte {
	out := make([]byte, 0, 256)
	for _, p := range f {
		if p.command == "" {
			out = append(out, p.text...)
			continue
		}
		v, ok := p.render(e)
		if !ok {
			v = absent
		} else if p.length > 0 && len(v) > p.length {
			v = v[:p.length]
		}
		out = append(out, v...)
	}
	return append(out, '\n')
}

// written is p as the user wrote it.
func (p part) written() string {
	if p.command == "" {
		return p.text
	}
	out := "%" + p.command
	if p.argument != "" {
		out += "(" + p.argument + ")"
	}
	if p.length > 0 {
		out += ":" + strconv.Itoa(p.length)
	}
	return out + "%"
}
