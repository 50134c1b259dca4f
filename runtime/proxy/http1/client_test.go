package http1_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/proxy/http1"
)

func getHeaders(method string) *filter.Headers {
	return headers(":method", method, ":path", "/", ":authority", "x", ":scheme", "http")
}

// fetch sends a request of method and reads the answer, which is raw.
func fetch(raw, method string, step int, l http1.Limits) (m message, interim, verdict string, reuse bool) {
	c := http1.NewClientConn(&script{in: raw, step: step}, l)
	c.Informational = func(h *filter.Headers) { interim += strings.Clone(show(h)) }
	if err := c.WriteHeaders(getHeaders(method), true); err != nil {
		return m, "", err.Error(), false
	}
	m, err := readMessage(c, 7)
	if err != nil {
		return m, interim, verdictOf(err), c.Next()
	}
	return m, interim, "", c.Next()
}

const (
	okLine    = "HTTP/1.1 200 OK\r\n"
	okChunked = okLine + "transfer-encoding: chunked\r\n\r\n"
)

var refusedResponses = []struct{ name, raw string }{
	{"two lengths", okLine + "content-length: 3\r\ncontent-length: 4\r\n\r\nabcd"},
	{"the same length twice", okLine + "content-length: 3\r\ncontent-length: 3\r\n\r\nabc"},
	{"length and encoding", okLine + "content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"unknown encoding", okLine + "transfer-encoding: gzip\r\n\r\nabc"},
	{"encoding in HTTP/1.0", "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"signed length", okLine + "content-length: +3\r\n\r\nabc"},
	{"space before the colon", okLine + "a : b\r\n\r\n"},
	{"folded line", okLine + "a: b\r\n c\r\n\r\n"},
	{"bare LF", "HTTP/1.1 200 OK\na: b\r\n\r\n"},
	{"bare CR", okLine + "a: b\rc\r\n\r\n"},
	{"NUL", okLine + "a: \x00\r\n\r\n"},
	{"pseudo field", okLine + ":status: 201\r\n\r\n"},
	{"version 2.0", "HTTP/2.0 200 OK\r\n\r\n"},
	{"another protocol", "SSH-2.0-OpenSSH\r\n\r\n"},
	{"empty line first", "\r\nHTTP/1.1 200 OK\r\n\r\n"},
	{"short status", "HTTP/1.1 20 OK\r\n\r\n"},
	{"long status", "HTTP/1.1 2000 OK\r\n\r\n"},
	{"low status", "HTTP/1.1 099 OK\r\n\r\n"},
	{"two spaces", "HTTP/1.1  200 OK\r\n\r\n"},
	{"NUL in the reason", "HTTP/1.1 200 \x00\r\n\r\n"},
	{"101 unasked", "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: a\r\n\r\n"},
	{"interim without end", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 40) + okLine + "\r\n"},
	{"chunk size ended by bare LF", okChunked + "3\nabc\r\n0\r\n\r\n"},
	{"length in trailers", okChunked + "0\r\ncontent-length: 3\r\n\r\n"},
	{"cut off in the header", okLine + "a"},
	{"cut off in the body", okLine + "content-length: 4\r\n\r\nabc"},
	{"cut off in a chunk", okChunked + "4\r\nabc"},
	{"cut off before the last chunk", okChunked + "3\r\nabc\r\n"},
	{"cut off in the trailers", okChunked + "0\r\na"},
	{"large header", okLine + "a: " + strings.Repeat("b", 61<<10) + "\r\n\r\n"},
	{"many fields", okLine + strings.Repeat("a: b\r\n", 101) + "\r\n"},
	{"many trailers", okChunked + "0\r\n" + strings.Repeat("a: b\r\n", 101) + "\r\n"},
}

func TestResponsesRefused(t *testing.T) {
	for _, test := range refusedResponses {
		var first string
		for _, step := range []int{0, 1} {
			_, _, verdict, reuse := fetch(test.raw, "GET", step, http1.Limits{})
			if !strings.HasPrefix(verdict, "502 ") || reuse {
				t.Errorf("%s: %q, reuse %v", test.name, verdict, reuse)
			}
			if first == "" {
				first = verdict
			}
			if verdict != first {
				t.Errorf("%s: in pieces %q, at once %q", test.name, verdict, first)
			}
		}
	}
	if _, _, verdict, _ := fetch("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabcd", "GET", 0, http1.Limits{BodyBytes: 3}); verdict != "502 body over the limit" {
		t.Error(verdict)
	}
	// A connection that ends before any byte is not the response's fault: the
	// request can be tried on another.
	if _, _, verdict, reuse := fetch("", "GET", 0, http1.Limits{}); verdict != "" || reuse {
		t.Error(verdict, reuse)
	}
}

func TestResponsesAccepted(t *testing.T) {
	for _, test := range []struct {
		name, method, raw string
		want              message
		interim           string
		reuse             bool
	}{
		{"length", "GET", "HTTP/1.1 200 OK\r\nA: B\r\nContent-Length: 3\r\nKeep-Alive: timeout=5\r\n\r\nabc", message{Headers: ":status: 200\na: B\ncontent-length: 3\n", Body: "abc"}, "", true},
		{"empty", "GET", "HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n", message{Headers: ":status: 200\ncontent-length: 0\n"}, "", true},
		{"no reason", "GET", "HTTP/1.1 299\r\ncontent-length: 0\r\n\r\n", message{Headers: ":status: 299\ncontent-length: 0\n"}, "", true},
		{"chunks", "GET", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nt: 1\r\n\r\n", message{Headers: ":status: 200\ntransfer-encoding: chunked\n", Body: "abc0123456789abcdef", Trailers: "t: 1\n"}, "", true},
		{"until the end", "GET", "HTTP/1.1 200 OK\r\n\r\nabc", message{Headers: ":status: 200\n", Body: "abc"}, "", false},
		{"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nabc", message{Headers: ":status: 200\ncontent-length: 3\n", Body: "abc"}, "", false},
		{"HTTP/1.0 kept", "GET", "HTTP/1.0 200 OK\r\ncontent-length: 3\r\nconnection: keep-alive\r\n\r\nabc", message{Headers: ":status: 200\ncontent-length: 3\n", Body: "abc"}, "", true},
		{"closing", "GET", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: Close, x\r\nx: 1\r\n\r\nabc", message{Headers: ":status: 200\ncontent-length: 3\n", Body: "abc"}, "", false},
		{"bytes behind it", "GET", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\n\r\n", message{Headers: ":status: 200\ncontent-length: 3\n", Body: "abc"}, "", false},
		{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", message{Headers: ":status: 200\ncontent-length: 3\n"}, "", true},
		{"HEAD of chunks", "HEAD", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", message{Headers: ":status: 200\ntransfer-encoding: chunked\n"}, "", true},
		{"HEAD with a body", "HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", message{Headers: ":status: 200\ncontent-length: 3\n"}, "", false},
		{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", message{Headers: ":status: 204\n"}, "", true},
		{"304", "GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 30\r\n\r\n", message{Headers: ":status: 304\ncontent-length: 30\n"}, "", true},
		{"interim", "GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: a\r\ncontent-length: 5\r\n\r\nHTTP/1.1 204 No Content\r\na: b\r\n\r\n",
			message{Headers: ":status: 204\na: b\n"}, ":status: 100\n:status: 103\nlink: a\ncontent-length: 5\n", true},
		{"CONNECT refused", "CONNECT", "HTTP/1.1 403 Forbidden\r\ncontent-length: 3\r\n\r\nabc", message{Headers: ":status: 403\ncontent-length: 3\n", Body: "abc"}, "", true},
		{"large", "GET", "HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\n" + strings.Repeat("ab", 100_000), message{Headers: ":status: 200\ncontent-length: 200000\n", Body: strings.Repeat("ab", 100_000)}, "", true},
	} {
		for _, step := range []int{0, 1, 3} {
			raw := test.raw
			if step > 0 && !test.reuse && test.name != "until the end" {
				continue // what lies behind is seen when it is there
			}
			method := test.method
			got, interim, verdict, reuse := fetchMethod(raw, method, step)
			if got != test.want || interim != test.interim || verdict != "" || reuse != test.reuse {
				t.Errorf("%s, %d at a time: %.200q, %q, %q, reuse %v", test.name, step, got, interim, verdict, reuse)
			}
		}
	}
}

func fetchMethod(raw, method string, step int) (message, string, string, bool) {
	if method != "CONNECT" {
		return fetch(raw, method, step, http1.Limits{})
	}
	c := http1.NewClientConn(&script{in: raw, step: step}, http1.Limits{})
	if err := c.WriteHeaders(headers(":method", "CONNECT", ":authority", "y:443"), true); err != nil {
		return message{}, "", err.Error(), false
	}
	m, err := readMessage(c, 7)
	if err != nil {
		return m, "", verdictOf(err), false
	}
	return m, "", "", c.Next()
}

func TestRequestsWritten(t *testing.T) {
	type parts = []string
	for _, test := range []struct {
		name string
		h    *filter.Headers
		body parts
		want string
	}{
		{"GET", headers(":method", "GET", ":path", "/a?b", ":authority", "x:80", ":scheme", "http", "a", "b", "te", "trailers"), nil, "GET /a?b HTTP/1.1\r\nhost: x:80\r\na: b\r\nte: trailers\r\n\r\n"},
		{"fields of the connection", headers(":method", "GET", ":path", "/", ":authority", "x", "host", "y", "connection", "close", "transfer-encoding", "gzip", "upgrade", "z", "proxy-connection", "1", "keep-alive", "2"), nil, "GET / HTTP/1.1\r\nhost: x\r\n\r\n"},
		{"POST without a body", getHeaders("POST"), nil, "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"},
		{"DELETE without a body", getHeaders("DELETE"), nil, "DELETE / HTTP/1.1\r\nhost: x\r\n\r\n"},
		{"length", headers(":method", "PUT", ":path", "/", ":authority", "x", "content-length", "3"), parts{"abc"}, "PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc"},
		{"length of nothing", headers(":method", "GET", ":path", "/", ":authority", "x", "content-length", "00"), nil, "GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"},
		{"chunks", getHeaders("GET"), parts{"abc", "d"}, "GET / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n"},
		{"asterisk", headers(":method", "OPTIONS", ":path", "*", ":authority", ""), nil, "OPTIONS * HTTP/1.1\r\nhost: \r\n\r\n"},
		{"CONNECT", headers(":method", "CONNECT", ":authority", "y:443"), nil, "CONNECT y:443 HTTP/1.1\r\nhost: y:443\r\n\r\n"},
	} {
		conn := &script{in: "HTTP/1.1 204 No Content\r\n\r\n"}
		c := http1.NewClientConn(conn, http1.Limits{})
		if err := c.WriteHeaders(test.h, test.body == nil); err != nil {
			t.Fatal(test.name, err)
		}
		if conn.out.Len() > 0 {
			t.Errorf("%s: headers did not wait for what follows", test.name)
		}
		for i, p := range test.body {
			if err := c.WriteData([]byte(p), i == len(test.body)-1); err != nil {
				t.Fatal(test.name, err)
			}
		}
		if _, err := c.ReadHeaders(headers()); err != nil {
			t.Fatal(test.name, err)
		}
		if got := conn.out.String(); got != test.want {
			t.Errorf("%s: wrote %q", test.name, got)
		}
	}
}

func TestRequestsNotWritten(t *testing.T) {
	for name, h := range map[string]*filter.Headers{
		"no method":              headers(":path", "/", ":authority", "x"),
		"space in the method":    headers(":method", "GET /x", ":path", "/", ":authority", "x"),
		"no path":                headers(":method", "GET", ":authority", "x"),
		"relative path":          headers(":method", "GET", ":path", "a", ":authority", "x"),
		"absolute path":          headers(":method", "GET", ":path", "http://y/", ":authority", "x"),
		"space in the path":      headers(":method", "GET", ":path", "/ HTTP/1.1", ":authority", "x"),
		"line break in the path": headers(":method", "GET", ":path", "/\r\na: b", ":authority", "x"),
		"asterisk":               headers(":method", "GET", ":path", "*", ":authority", "x"),
		"line break in the host": headers(":method", "GET", ":path", "/", ":authority", "x\r\na: b"),
		"host with a path":       headers(":method", "GET", ":path", "/", ":authority", "x/y"),
		"line break in a value":  headers(":method", "GET", ":path", "/", ":authority", "x", "a", "b\r\n"),
		"length without a body":  headers(":method", "PUT", ":path", "/", ":authority", "x", "content-length", "1"),
		"CONNECT without a port": headers(":method", "CONNECT", ":authority", "x"),
	} {
		conn := &script{}
		c := http1.NewClientConn(conn, http1.Limits{})
		if err := errors.Join(c.WriteHeaders(h, true), c.Flush()); err == nil || conn.out.Len() > 0 {
			t.Errorf("%s: %v, wrote %q", name, err, conn.out.String())
		}
		if err := c.WriteHeaders(getHeaders("GET"), true); err != nil {
			t.Errorf("%s: nothing else can be sent: %v", name, err)
		}
	}
}

func TestClientUpgrade(t *testing.T) {
	conn := &script{in: "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\na: b\r\n\r\nearly"}
	c := http1.NewClientConn(conn, http1.Limits{})
	c.SetUpgrade("websocket")
	if err := c.WriteHeaders(getHeaders("GET"), true); err != nil {
		t.Fatal(err)
	}
	var h filter.Headers
	end, err := c.ReadHeaders(&h)
	if !end || err != nil || show(&h) != ":status: 101\na: b\n" || c.Upgrade() != "websocket" || c.Reusable() {
		t.Fatal(end, err, show(&h), c.Upgrade())
	}
	if want := "GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"; conn.out.String() != want {
		t.Errorf("%q", conn.out.String())
	}
	if _, early := c.Hijack(); string(early) != "early" || c.Next() {
		t.Errorf("%q", early)
	}
	// Asked, and declined.
	conn = &script{in: "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"}
	c = http1.NewClientConn(conn, http1.Limits{})
	c.SetUpgrade("websocket")
	if err := c.WriteHeaders(getHeaders("GET"), true); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ReadHeaders(&h); err != nil || c.Upgrade() != "" || !c.Next() {
		t.Fatal(err)
	}
}

// TestEarlyResponse: the answer comes before the request has been sent.
func TestEarlyResponse(t *testing.T) {
	conn := &script{in: "HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n"}
	c := http1.NewClientConn(conn, http1.Limits{})
	if err := errors.Join(c.WriteHeaders(getHeaders("PUT"), false), c.WriteData([]byte("a"), false)); err != nil {
		t.Fatal(err)
	}
	if m, err := readMessage(c, 10); err != nil || !strings.HasPrefix(m.Headers, ":status: 413") {
		t.Fatal(m, err)
	}
	if c.Next() {
		t.Error("reused in the middle of a request")
	}
}

func TestClientClosing(t *testing.T) {
	conn := &script{in: "HTTP/1.1 204 No Content\r\n\r\n"}
	c := http1.NewClientConn(conn, http1.Limits{})
	c.CloseAfter()
	if err := c.WriteHeaders(getHeaders("GET"), true); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ReadHeaders(headers()); err != nil || c.Next() {
		t.Error(err)
	}
	if want := "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"; conn.out.String() != want {
		t.Errorf("%q", conn.out.String())
	}
}
