package offline

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/meshc/meshc/runtime/filter"
)

// Message is an HTTP request or response.
type Message struct {
	Headers  filter.Headers // pseudo headers first
	Body     []byte
	Trailers filter.Headers
}

// ParseRequest reads a request as text: request line, header lines, an empty
// line, the body as it is. Lines may end in LF or CRLF. Where there is a body
// and no content-length, it is added.
func ParseRequest(text []byte) (*Message, error) {
	start, fields, body, err := split(text)
	if err != nil {
		return nil, err
	}
	part := strings.Fields(start)
	if len(part) != 3 || !strings.HasPrefix(part[2], "HTTP/") {
		return nil, fmt.Errorf("line 1: %q is not a request line, such as GET /path HTTP/1.1", start)
	}
	m := &Message{Body: body}
	authority := ""
	for _, f := range fields {
		if f.Name == "host" {
			authority = f.Value
		}
	}
	// The order that a filter sees in Envoy for HTTP/1.1.
	m.Headers.Add(":authority", authority)
	m.Headers.Add(":path", part[1])
	m.Headers.Add(":method", part[0])
	m.Headers.Add(":scheme", "http")
	m.add(fields)
	return m, nil
}

// ParseResponse reads a response as ParseRequest reads a request.
func ParseResponse(text []byte) (*Message, error) {
	start, fields, body, err := split(text)
	if err != nil {
		return nil, err
	}
	version, rest, _ := strings.Cut(start, " ")
	status, _, _ := strings.Cut(rest, " ")
	if code, err := strconv.Atoi(status); err != nil || !strings.HasPrefix(version, "HTTP/") || code < 100 || code > 999 {
		return nil, fmt.Errorf("line 1: %q is not a status line, such as HTTP/1.1 200 OK", start)
	}
	m := &Message{Body: body}
	m.Headers.Add(":status", status)
	m.add(fields)
	return m, nil
}

func (m *Message) add(fields []filter.Field) {
	for _, f := range fields {
		if f.Name != "host" {
			m.Headers.Add(f.Name, f.Value)
		}
	}
	if _, ok := m.Headers.Get("content-length"); !ok && len(m.Body) > 0 {
		m.Headers.Add("content-length", strconv.Itoa(len(m.Body)))
	}
}

func split(text []byte) (start string, fields []filter.Field, body []byte, err error) {
	for n := 1; ; n++ {
		line, rest, more := bytes.Cut(text, []byte("\n"))
		text = rest
		l := strings.TrimSuffix(string(line), "\r")
		if n == 1 {
			if start = l; l == "" {
				return "", nil, nil, errors.New("line 1: the message is empty")
			}
		} else if l == "" {
			return start, fields, text, nil
		} else {
			name, value, ok := strings.Cut(l, ":")
			if !ok || name == "" || strings.ContainsAny(name, " \t") {
				return "", nil, nil, fmt.Errorf("line %d: %q is not a header, such as name: value", n, l)
			}
			fields = append(fields, filter.Field{Name: strings.ToLower(name), Value: strings.TrimSpace(value)})
		}
		if !more {
			return start, fields, nil, nil
		}
	}
}

// String returns the message as ParseRequest and ParseResponse read it. Trailers
// follow the body, after a line of their own.
func (m *Message) String() string {
	var b strings.Builder
	if status, ok := m.Headers.Get(":status"); ok {
		code, _ := strconv.Atoi(status)
		b.WriteString(strings.TrimSuffix("HTTP/1.1 "+status+" "+http.StatusText(code), " ") + "\n")
	} else {
		fmt.Fprintf(&b, "%s %s HTTP/1.1\n", m.Headers.Value(":method"), m.Headers.Value(":path"))
		if host, ok := m.Headers.Get(":authority"); ok && host != "" {
			b.WriteString("host: " + host + "\n")
		}
	}
	writeFields(&b, &m.Headers)
	if len(m.Body) > 0 {
		b.WriteString("\n")
		b.Write(m.Body)
		if m.Body[len(m.Body)-1] != '\n' {
			b.WriteString("\n")
		}
	}
	if m.Trailers.Len() > 0 {
		b.WriteString("\ntrailers:\n")
		writeFields(&b, &m.Trailers)
	}
	return b.String()
}

func writeFields(b *strings.Builder, h *filter.Headers) {
	for i := range h.Len() {
		if f := h.At(i); !strings.HasPrefix(f.Name, ":") {
			b.WriteString(strings.TrimSuffix(f.Name+": "+f.Value, " ") + "\n")
		}
	}
}

// keep adds o to m, which collects what a chain lets out. What o holds is
// copied.
func (m *Message) keep(o filter.Output) {
	if o.Headers != nil {
		m.Headers.Reset()
		clone(&m.Headers, o.Headers)
	}
	m.Body = append(m.Body, o.Data...)
	if o.Trailers != nil {
		clone(&m.Trailers, o.Trailers)
	}
}

func clone(to, from *filter.Headers) {
	for i := range from.Len() {
		f := from.At(i)
		to.Add(strings.Clone(f.Name), strings.Clone(f.Value))
	}
}
