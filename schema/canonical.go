package schema

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/meshc/meshc/schema/tree"
)

// canonical writes n as JSON without blanks, keys sorted by their bytes,
// numbers as they were written in JSON's notation.
func canonical(n *tree.Node) string {
	return string(appendJSON(nil, n))
}

func appendJSON(b []byte, n *tree.Node) []byte {
	switch n.Kind {
	case tree.Null:
		return append(b, "null"...)
	case tree.Bool, tree.Int, tree.Float:
		return append(b, n.Text...)
	case tree.String:
		return appendString(b, n.Text)
	case tree.List:
		b = append(b, '[')
		for i, item := range n.Items {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, item)
		}
		return append(b, ']')
	}
	fields := slices.Clone(n.Fields)
	slices.SortFunc(fields, func(a, b tree.Field) int { return strings.Compare(a.Key, b.Key) })
	b = append(b, '{')
	for i := range fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, fields[i].Key), ':')
		b = appendJSON(b, fields[i].Value)
	}
	return append(b, '}')
}

// appendString quotes s, escaping only what JSON demands; bytes that are not
// UTF-8 become U+FFFD.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, '\\', 'n')
		case r == '\r':
			b = append(b, '\\', 'r')
		case r == '\t':
			b = append(b, '\\', 't')
		case r < 0x20:
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}
