//go:build linux

package behaviour

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Message is one HTTP message as it was on the wire, transfer coding undone. Of
// HTTP/2, method, path and status are in the start line "GET / HTTP/2" or
// "HTTP/2 200"; the other pseudo headers are fields, a :scheme of http left out.
type Message struct {
	Start   string // request line or status line
	Header  []Field
	Body    []byte
	Trailer []Field
	// UntilClose says that the end of the connection ended the body.
	UntilClose bool
	// Reset says how the stream of HTTP/2 ended if not in order.
	Reset string
}

// Field is a header or trailer field, its name in lower case.
type Field struct{ Name, Value string }

// get returns the first field called name, or "".
func (m *Message) get(name string) string {
	for _, f := range m.Header {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// status returns the status code of a response, 0 where there is none.
func (m *Message) status() int {
	_, rest, _ := strings.Cut(m.Start, " ")
	code, _, _ := strings.Cut(rest, " ")
	n, _ := strconv.Atoi(code)
	return n
}

// longestShown is the length in bytes up to which a body is shown whole.
const longestShown = 300

// String is the form that cases compare.
func (m *Message) String() string {
	var b strings.Builder
	if m.Start != "" {
		b.WriteString(m.Start + "\n")
	}
	writeFields(&b, "", m.Header)
	rest := m.Body
	if m.grpc() {
		// Five bytes before each message say whether it is compressed, and its length.
		for len(rest) >= 5 && rest[0] == 0 && uint64(binary.BigEndian.Uint32(rest[1:])) <= uint64(len(rest)-5) {
			end := 5 + int(binary.BigEndian.Uint32(rest[1:]))
			writeBody(&b, "message", rest[5:end])
			rest = rest[end:]
		}
	}
	if len(rest) > 0 {
		writeBody(&b, "body", rest)
	}
	writeFields(&b, "trailer ", m.Trailer)
	if m.Reset != "" {
		b.WriteString(m.Reset + "\n")
	}
	if m.UntilClose {
		b.WriteString("until close\n")
	}
	return b.String()
}

func writeBody(b *strings.Builder, what string, data []byte) {
	if len(data) > longestShown {
		fmt.Fprintf(b, "%s %d bytes sha256 %x\n", what, len(data), sha256.Sum256(data))
		return
	}
	fmt.Fprintf(b, "%s %q\n", what, data)
}

// grpc tells whether the body is messages of gRPC.
func (m *Message) grpc() bool {
	kind := m.get("content-type")
	return kind == "application/grpc" || strings.HasPrefix(kind, "application/grpc+")
}

// grpcMessage is data as gRPC sends it, not compressed.
func grpcMessage(data string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(data))), data...)
}

func writeFields(b *strings.Builder, prefix string, fields []Field) {
	for _, f := range fields {
		b.WriteString(prefix + strings.TrimSuffix(f.Name+": "+f.Value, " ") + "\n")
	}
}

// readHead reads a start line and header fields. It is strict: lines end in
// CRLF, names have no space. io.EOF means that nothing came at all.
func readHead(r *bufio.Reader) (*Message, error) {
	start, err := readLine(r)
	if err != nil {
		return nil, err
	}
	m := &Message{Start: start}
	m.Header, err = readFields(r)
	return m, noEOF(err)
}

func readFields(r *bufio.Reader) ([]Field, error) {
	var fields []Field
	for {
		line, err := readLine(r)
		if err != nil {
			return fields, noEOF(err)
		}
		if line == "" {
			return fields, nil
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			return fields, fmt.Errorf("not a field line: %q", line)
		}
		fields = append(fields, Field{strings.ToLower(name), strings.Trim(value, " \t")})
	}
}

func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		if line != "" {
			err = fmt.Errorf("%w in the line %q", noEOF(err), line)
		}
		return "", err
	}
	if !strings.HasSuffix(line, "\r\n") {
		return "", fmt.Errorf("line without CRLF: %q", line)
	}
	return line[:len(line)-2], nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// body returns the decoded body of m; trailers are in m once it has ended.
// A response without a length ends with the connection, a request has none.
func (m *Message) body(r *bufio.Reader, response bool, method string) (io.Reader, error) {
	if code := m.status(); response && (method == "HEAD" || code < 200 || code == 204 || code == 304) {
		return strings.NewReader(""), nil
	}
	length, coding := m.get("content-length"), m.get("transfer-encoding")
	switch {
	case coding == "chunked" && length == "":
		return &chunked{r: r, m: m}, nil
	case coding != "":
		return nil, fmt.Errorf("transfer-encoding %q, content-length %q: not a framing", coding, length)
	case length != "":
		n, err := strconv.ParseUint(length, 10, 63)
		if err != nil {
			return nil, fmt.Errorf("content-length: %w", err)
		}
		return &exactly{r, int64(n)}, nil
	case response:
		m.UntilClose = true
		return r, nil
	}
	return strings.NewReader(""), nil
}

// readBody reads the whole body of m into it.
func (m *Message) readBody(r *bufio.Reader, response bool, method string) error {
	body, err := m.body(r, response, method)
	if err != nil {
		return err
	}
	m.Body, err = io.ReadAll(body)
	return err
}

// exactly reads n bytes and calls fewer an error.
type exactly struct {
	r io.Reader
	n int64
}

func (e *exactly) Read(p []byte) (int, error) {
	if e.n == 0 {
		return 0, io.EOF
	}
	n, err := e.r.Read(p[:min(int64(len(p)), e.n)])
	e.n -= int64(n)
	return n, noEOF(err)
}

// chunked undoes the chunked transfer coding.
type chunked struct {
	r    *bufio.Reader
	m    *Message
	left exactly // of the chunk being read
	open bool    // a chunk was begun: a line end follows it
	done bool
}

func (c *chunked) Read(p []byte) (int, error) {
	if c.done {
		return 0, io.EOF
	}
	if c.left.n > 0 {
		return c.left.Read(p)
	}
	if c.open {
		if line, err := readLine(c.r); err != nil || line != "" {
			return 0, errors.Join(noEOF(err), fmt.Errorf("after a chunk: %q", line))
		}
	}
	line, err := readLine(c.r)
	if err != nil {
		return 0, noEOF(err)
	}
	size, _, _ := strings.Cut(line, ";")
	n, err := strconv.ParseUint(size, 16, 62)
	if err != nil {
		return 0, fmt.Errorf("chunk size: %w", err)
	}
	c.left, c.open = exactly{c.r, int64(n)}, true
	if n == 0 {
		c.done = true
		c.m.Trailer, err = readFields(c.r)
		return 0, err
	}
	return 0, nil
}

// pattern is n bytes that repeat with a prime period, so that a shift by any
// power of two shows.
func pattern(n int) []byte {
	const period = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJK" // 47
	return bytes.Repeat([]byte(period), n/len(period)+1)[:n]
}
