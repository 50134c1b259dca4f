//go:build linux

package behaviour

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
)

// collect serves a Zipkin collector (API v2, JSON) on c: each span is kept as
// one line.
func (b *Backend) collect(c net.Conn) {
	for r := bufio.NewReader(c); ; {
		m, err := readHead(r)
		if err != nil {
			return
		}
		if err := m.readBody(r, false, "POST"); err != nil {
			return
		}
		var spans []map[string]any
		status := "202 Accepted"
		if err := json.Unmarshal(m.Body, &spans); err != nil || !strings.HasPrefix(m.Start, "POST /api/v2/spans ") {
			status = "400 Bad Request"
			b.change(func() { b.lines = append(b.lines, fmt.Sprintf("not spans: %s %q\n", m.Start, clip(m.Body))) })
		}
		b.change(func() {
			for _, s := range spans {
				b.lines = append(b.lines, spanLine(s))
			}
		})
		if _, err := io.WriteString(c, "HTTP/1.1 "+status+"\r\ncontent-length: 0\r\n\r\n"); err != nil {
			return
		}
	}
}

// spanLine shows a span without its times, and with those identifiers that a
// request came with: random ones are "*". Of what else differs, nothing matters to
// who reads it: Envoy says its address, once more when the span ended, and that a
// span without parent is shared.
func spanLine(s map[string]any) string {
	for _, field := range []string{"timestamp", "duration"} {
		if n, ok := s[field].(float64); ok && n > 0 {
			delete(s, field)
		}
	}
	delete(s, "annotations")
	if e, ok := s["localEndpoint"].(map[string]any); ok {
		delete(e, "ipv4")
		delete(e, "port")
	}
	if s["parentId"] == nil {
		delete(s, "shared")
		s["traceId"] = "*"
	}
	if s["shared"] == nil {
		s["id"] = "*"
	}
	line, err := json.Marshal(s) // its keys come sorted
	if err != nil {
		return err.Error() + "\n"
	}
	return string(line) + "\n"
}
