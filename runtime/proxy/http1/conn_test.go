package http1_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/proxy/http1"
)

// script is a connection whose peer has already sent everything.
type script struct {
	net.Conn // nil: only the methods below are used
	in       string
	step     int // bytes a read returns at most; 0: all
	out      bytes.Buffer
	writes   int
}

func (s *script) Read(p []byte) (int, error) {
	if s.in == "" {
		return 0, io.EOF
	}
	n := len(s.in)
	if s.step > 0 {
		n = min(n, s.step)
	}
	n = copy(p, s.in[:n])
	s.in = s.in[n:]
	return n, nil
}

func (s *script) Write(p []byte) (int, error)     { s.writes++; return s.out.Write(p) }
func (s *script) Close() error                    { return nil }
func (s *script) SetReadDeadline(time.Time) error { return nil }

// tcpPair returns both ends of a loopback connection, closed at the end.
func tcpPair(t testing.TB) (near, far *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	for _, c := range []net.Conn{a, b} {
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	return b.(*net.TCPConn), a.(*net.TCPConn)
}

// headers makes a list of name, value pairs.
func headers(pairs ...string) *filter.Headers {
	h := &filter.Headers{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

// show prints headers one a line.
func show(h *filter.Headers) string {
	var b strings.Builder
	for i := range h.Len() {
		fmt.Fprintf(&b, "%s: %s\n", h.At(i).Name, h.At(i).Value)
	}
	return b.String()
}

// reader is what ServerConn and ClientConn have in common.
type reader interface {
	ReadHeaders(*filter.Headers) (bool, error)
	ReadData([]byte) (int, bool, error)
	ReadTrailers(*filter.Headers) error
}

// message is one whole message as the codec shows it.
type message struct{ Headers, Body, Trailers string }

// readMessage reads a whole message, size bytes of body at a time.
func readMessage(r reader, size int) (m message, err error) {
	var h filter.Headers
	end, err := r.ReadHeaders(&h)
	if err != nil {
		return m, err
	}
	m.Headers = strings.Clone(show(&h))
	var body strings.Builder
	for p := make([]byte, size); !end; {
		var n int
		if n, end, err = r.ReadData(p); err != nil {
			return m, err
		}
		body.Write(p[:n])
	}
	m.Body = body.String()
	if err := r.ReadTrailers(&h); err != nil {
		return m, err
	}
	m.Trailers = strings.Clone(show(&h))
	return m, nil
}

// serve reads requests off c until it ends or one is refused, and answers each
// of them 204. It returns what the error was: the status of an *Error, "" for
// an orderly end, or the text of another one.
func serve(c net.Conn, l http1.Limits, size int) (messages []message, verdict string) {
	s := http1.NewServerConn(c, l)
	for {
		m, err := readMessage(s, size)
		if err != nil {
			return messages, verdictOf(err)
		}
		messages = append(messages, m)
		if err := s.WriteHeaders(headers(":status", "204"), true); err != nil {
			return messages, err.Error()
		}
		if !s.Next() {
			return messages, "closed"
		}
	}
}

func verdictOf(err error) string {
	var e *http1.Error
	switch {
	case errors.As(err, &e):
		return fmt.Sprintf("%d %s", e.Status, e.Reason)
	case err == io.EOF:
		return ""
	}
	return err.Error()
}
