package http1

import (
	"bytes"

	"github.com/meshc/meshc/runtime/filter"
)

// message is what the first line and the fields say to the codec itself. Its
// strings lie in the receive buffer.
type message struct {
	method, path, authority, scheme string
	minor                           int // HTTP/1.minor

	maxFields    int
	length       int64 // content-length, or -1
	chunked      bool
	coded        bool // a transfer coding other than chunked
	host         bool // Host has been seen
	expect       bool // Expect: 100-continue
	expectOther  bool
	close        bool // Connection: close
	persist      bool // Connection: keep-alive
	wantsUpgrade bool // Connection: upgrade
	upgrade      string
	teTrailers   bool
	named        []string // other fields that Connection names
}

func malformed(reason string) *Error { return &Error{Status: 400, Reason: reason} }

func (m *message) reset(l Limits) {
	*m = message{maxFields: l.HeaderCount, minor: 1, length: -1, named: m.named[:0]}
}

// forget drops what points into a buffer; until the next message the peer
// counts as one of HTTP/1.1.
func (m *message) forget() {
	clear(m.named)
	*m = message{minor: 1, length: -1, named: m.named[:0]}
}

// cutLine splits b, which has a line end, behind it.
func cutLine(b []byte) (line, rest []byte) {
	i := bytes.IndexByte(b, '\n')
	return b[:i-1], b[i+1:]
}

// requestLine parses the first line of b and returns what follows it.
func (m *message) requestLine(b []byte) ([]byte, *Error) {
	line, rest := cutLine(b)
	i := bytes.IndexByte(line, ' ')
	if i < 0 || !validToken(line[:i]) {
		return nil, malformed("malformed request line")
	}
	m.method = text(line[:i])
	line = line[i+1:]
	if i = bytes.IndexByte(line, ' '); i < 0 {
		return nil, malformed("malformed request line")
	}
	target := line[:i]
	minor, e := version(line[i+1:])
	if e != nil {
		if m.method == "PRI" && string(line) == "* HTTP/2.0" {
			e.Reason = "HTTP/2 on a connection of HTTP/1"
			if string(rest) == "\r\n" {
				e.Err = ErrHTTP2
			}
		}
		return nil, e
	}
	m.minor = minor
	if !validTarget(target) || !m.target(target) {
		return nil, malformed("malformed request target")
	}
	return rest, nil
}

// version parses HTTP-version, which must be 1.0 or 1.1.
func version(b []byte) (minor int, e *Error) {
	if len(b) != 8 || string(b[:5]) != "HTTP/" || decimal(b[5:6]) < 0 || b[6] != '.' || decimal(b[7:]) < 0 {
		return 0, malformed("malformed HTTP version")
	}
	if b[5] != '1' || b[7] > '1' {
		return 0, &Error{Status: 505, Reason: "HTTP version is not 1.0 or 1.1"}
	}
	return int(b[7] - '0'), nil
}

// target parses the four forms of a request target (RFC 9112, 3.2).
func (m *message) target(b []byte) bool {
	switch {
	case m.method == "CONNECT":
		m.authority = text(b)
		return validAuthority(b, true)
	case b[0] == '/':
		m.path = text(b)
		return true
	case len(b) == 1 && b[0] == '*':
		m.path = "*"
		return m.method == "OPTIONS"
	}
	i := bytes.Index(b, []byte("://"))
	switch {
	case i >= 0 && equalFold(b[:i], "http"):
		m.scheme = "http"
	case i >= 0 && equalFold(b[:i], "https"):
		m.scheme = "https"
	default:
		return false
	}
	b = b[i+3:]
	if i = bytes.IndexAny(b, "/?"); i < 0 {
		i = len(b)
	}
	m.authority = text(b[:i])
	switch path := b[i:]; {
	case len(path) == 0 && m.method == "OPTIONS":
		m.path = "*"
	case len(path) == 0:
		m.path = "/"
	case path[0] == '?':
		m.path = "/" + text(path)
	default:
		m.path = text(path)
	}
	return validAuthority(b[:i], false)
}

// statusLine parses the first line of b and returns what follows it; h gets
// :status.
func (m *message) statusLine(b []byte, h *filter.Headers) (rest []byte, status int, e *Error) {
	line, rest := cutLine(b)
	// Servers are known that leave out the space before an empty reason.
	if len(line) < 12 || line[8] != ' ' || len(line) > 12 && line[12] != ' ' || !validValue(line) {
		return nil, 0, malformed("malformed status line")
	}
	minor, e := version(line[:8])
	if e != nil {
		return nil, 0, e
	}
	if status = int(decimal(line[9:12])); status < 100 {
		return nil, 0, malformed("malformed status line")
	}
	m.minor = minor
	h.Add(":status", text(line[9:12]))
	return rest, status, nil
}

// fields parses the lines of b up to the empty one. What lives as long as the
// message goes into h, the rest into m.
func (m *message) fields(b []byte, h *filter.Headers) *Error {
	for count := 0; len(b) > 2; count++ {
		if count == m.maxFields {
			return &Error{Status: 431, Reason: "too many header fields"}
		}
		var line []byte
		line, b = cutLine(b)
		name, value, e := field(line)
		if e != nil {
			return e
		}
		if e := m.take(name, value, h); e != nil {
			return e
		}
	}
	if m.teTrailers {
		h.Add("te", "trailers")
	}
	for _, name := range m.named {
		h.Remove(name)
	}
	return nil
}

// field splits a line, and makes its name lower-case in place.
func field(line []byte) (name, value []byte, e *Error) {
	n := 0
	for n < len(line) && lower[line[n]] != 0 {
		line[n] = lower[line[n]]
		n++
	}
	if n == 0 || n == len(line) || line[n] != ':' {
		switch {
		case line[0] == ' ' || line[0] == '\t':
			return nil, nil, malformed("folded header line")
		case n < len(line) && (line[n] == ' ' || line[n] == '\t'):
			return nil, nil, malformed("space in a header name")
		}
		return nil, nil, malformed("malformed header name")
	}
	value = trim(line[n+1:])
	if !validValue(value) {
		return nil, nil, malformed("control character in a header value")
	}
	return line[:n], value, nil
}

// take hands one field to h or to m.
func (m *message) take(name, value []byte, h *filter.Headers) *Error {
	switch string(name) {
	case "content-length":
		if m.length >= 0 {
			return malformed("more than one content-length")
		}
		if m.length = decimal(value); m.length < 0 {
			return malformed("malformed content-length")
		}
	case "transfer-encoding":
		if m.chunked || m.coded {
			return malformed("more than one transfer-encoding")
		}
		m.chunked = equalFold(value, "chunked")
		m.coded = !m.chunked
		if m.method != "" {
			return nil
		}
	case "connection":
		return m.connection(value)
	case "upgrade":
		if m.upgrade == "" {
			m.upgrade = text(value)
		}
		return nil
	case "te":
		eachToken(value, func(t []byte) bool {
			m.teTrailers = m.teTrailers || equalFold(t, "trailers")
			return true
		})
		return nil
	case "keep-alive", "proxy-connection":
		return nil
	case "expect":
		if equalFold(value, "100-continue") {
			m.expect = true
		} else {
			m.expectOther = true
		}
	case "host":
		// In a response it means nothing.
		if m.method == "" {
			return nil
		}
		if m.host {
			return malformed("more than one host")
		}
		m.host = true
		if !validAuthority(value, false) {
			return malformed("malformed host")
		}
		// That of an absolute target, or of CONNECT, outranks it (RFC 9112, 3.2.2).
		if m.authority == "" {
			m.authority = text(value)
		}
		return nil
	}
	h.Add(text(name), text(value))
	return nil
}

// connection parses the options of a Connection field.
func (m *message) connection(value []byte) *Error {
	ok := eachToken(value, func(t []byte) bool {
		switch {
		case equalFold(t, "close"):
			m.close = true
		case equalFold(t, "keep-alive"):
			m.persist = true
		case equalFold(t, "upgrade"):
			m.wantsUpgrade = true
		case equalFold(t, "content-length"), equalFold(t, "te"):
			// Framing is not the peer's to take away; TE has its own rule.
		case !validToken(t) || len(m.named) == m.maxFields:
			return false
		default:
			for i := range t {
				t[i] = lower[t[i]]
			}
			m.named = append(m.named, text(t))
		}
		return true
	})
	if !ok {
		return malformed("malformed connection")
	}
	return nil
}

// eachToken calls f with the items of a comma-separated list, until it
// returns false; empty items are skipped (RFC 9110, 5.6.1.2).
func eachToken(list []byte, f func([]byte) bool) bool {
	for len(list) > 0 {
		item := list
		if i := bytes.IndexByte(list, ','); i >= 0 {
			item, list = list[:i], list[i+1:]
		} else {
			list = nil
		}
		if item = trim(item); len(item) > 0 && !f(item) {
			return false
		}
	}
	return true
}

// addRequest begins h with the pseudo fields, in the order that filters see in
// Envoy; :authority is not known yet.
func (m *message) addRequest(h *filter.Headers, scheme string) {
	if m.scheme != "" {
		scheme = m.scheme
	}
	h.Add(":authority", "")
	if m.method != "CONNECT" {
		h.Add(":path", m.path)
	}
	h.Add(":method", m.method)
	if m.method != "CONNECT" {
		h.Add(":scheme", scheme)
	}
}

// finishRequest checks what the fields say together.
func (m *message) finishRequest(h *filter.Headers) *Error {
	if !m.host && m.minor > 0 {
		return malformed("no host")
	}
	h.Set(":authority", m.authority)
	if m.method == "CONNECT" && (m.chunked || m.length > 0) {
		return malformed("CONNECT with a body")
	}
	if m.expectOther && m.minor > 0 {
		return &Error{Status: 417, Reason: "unknown expectation"}
	}
	return m.framing()
}

// framing refuses what could be understood in two ways (RFC 9112, 6.1 and 6.3).
func (m *message) framing() *Error {
	switch {
	case !m.chunked && !m.coded:
		return nil
	case m.length >= 0:
		return malformed("content-length and transfer-encoding together")
	case m.minor == 0:
		return malformed("transfer-encoding in HTTP/1.0")
	case m.coded:
		return &Error{Status: 501, Reason: "transfer coding is not chunked"}
	}
	return nil
}

// keepsAlive reports whether the peer keeps the connection (RFC 9112, 9.3).
func (m *message) keepsAlive() bool {
	return !m.close && (m.minor > 0 || m.persist)
}

// parseTrailers fills t with the fields of b. Those that frame or route a
// message, or that belong to a connection, are refused (RFC 9110, 6.5.1).
func parseTrailers(b []byte, t *filter.Headers, maxFields int) *Error {
	for count := 0; len(b) > 2; count++ {
		if count == maxFields {
			return &Error{Status: 431, Reason: "too many trailer fields"}
		}
		var line []byte
		line, b = cutLine(b)
		name, value, e := field(line)
		if e != nil {
			return e
		}
		if notInTrailers(text(name)) {
			return malformed("field not allowed in trailers")
		}
		t.Add(text(name), text(value))
	}
	return nil
}

// notInTrailers reports whether the field name, in lower case, would change
// how a message is framed or routed, or belongs to one connection.
func notInTrailers(name string) bool {
	switch name {
	case "content-length", "transfer-encoding", "host", "connection", "keep-alive",
		"proxy-connection", "upgrade", "te", "trailer", "expect":
		return true
	}
	return false
}
