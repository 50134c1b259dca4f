package schema

import (
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/meshc/meshc/schema/meshc"
	"github.com/meshc/meshc/schema/tree"
)

// buffers are what JSON is put together in.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// canonical writes n as JSON without blanks, keys sorted by their bytes,
// numbers as they were written in JSON's notation.
func canonical(n *tree.Node) string {
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	*buffer = appendJSON((*buffer)[:0], n)
	return string(*buffer)
}

// ValueText returns what a module is handed of a value: a string as it is,
// anything else as canonical JSON, "" for what nobody wrote.
func ValueText(v meshc.Value) string {
	switch {
	case v.Node == nil || v.Node.Kind == tree.Null:
		return ""
	case v.Node.Kind == tree.String:
		return v.Node.Text
	}
	return canonical(v.Node)
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
	var room [16]*tree.Field
	fields := room[:0]
	for i := range n.Fields {
		fields = append(fields, &n.Fields[i])
	}
	slices.SortFunc(fields, func(a, b *tree.Field) int { return strings.Compare(a.Key, b.Key) })
	b = append(b, '{')
	for i, f := range fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, f.Key), ':')
		b = appendJSON(b, f.Value)
	}
	return append(b, '}')
}

// appendString quotes s, escaping only what JSON demands; bytes that are not
// UTF-8 become U+FFFD.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	start := 0 // of what stays as it is
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		n := 1
		if c >= utf8.RuneSelf {
			var r rune
			if r, n = utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			if c >= utf8.RuneSelf {
				b = utf8.AppendRune(b, utf8.RuneError)
			} else {
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
		}
		i += n
		start = i
	}
	return append(append(b, s[start:]...), '"')
}
