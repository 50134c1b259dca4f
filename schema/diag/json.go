package diag

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// report is the JSON format. It is a public interface: fields are only added.
type report struct {
	Diagnostics []Diagnostic `json:"diagnostics"`
	Summary     Summary      `json:"summary"`
}

func marshalJSON(ds []Diagnostic, s Summary) ([]byte, error) {
	r := report{Diagnostics: make([]Diagnostic, len(ds)), Summary: s}
	for i, d := range ds {
		if d.Related == nil {
			d.Related = []Related{}
		}
		r.Diagnostics[i] = d
	}
	return encode(r)
}

// encode writes v as indented JSON in which everything that is not harmless is
// escaped, so that it can be printed on a terminal and still means the same.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	out := make([]byte, 0, b.Len())
	for rest := b.Bytes(); len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		switch {
		case r == '\n' || r == utf8.RuneError || harmless(r):
			out = append(out, rest[:n]...)
		case r < 0x10000:
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			hi, lo := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, hi, lo)
		}
		rest = rest[n:]
	}
	return out, nil
}
