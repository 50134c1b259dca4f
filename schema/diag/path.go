package diag

import (
	"strconv"
	"strings"
)

// Path writes string keys and int indices as a field path: spec.ports[0].port.
// A key that is not a plain word stands in brackets, as in tags["kuma.io/service"].
func Path(parts ...any) string {
	var b strings.Builder
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b.WriteString("[" + strconv.Itoa(p) + "]")
		case string:
			if p == "" || strings.ContainsAny(p, "./[]\" ") {
				b.WriteString("[" + strconv.Quote(p) + "]")
				continue
			}
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(p)
		}
	}
	return b.String()
}
