package http1_test

import (
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/meshc/meshc/runtime/proxy/http1"
)

const tail = "GET /smuggled HTTP/1.1\r\nhost: evil\r\n\r\n"

// refusedRequests must be answered with the status, and nothing behind them may
// be taken for a request.
var refusedRequests = []struct {
	name, status, raw string
}{
	{"length and encoding", "400", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"encoding and length", "400", "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n"},
	{"two different lengths", "400", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd"},
	{"the same length twice", "400", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nabc"},
	{"list of lengths", "400", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3, 3\r\n\r\nabc"},
	{"signed length", "400", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: +1\r\n\r\na"},
	{"negative length", "400", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n"},
	{"hexadecimal length", "400", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0x1\r\n\r\na"},
	{"length with a space inside", "400", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1 1\r\n\r\na"},
	{"length beyond int64", "400", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 18446744073709551617\r\n\r\na"},
	{"empty length", "400", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length:\r\n\r\n"},
	{"unknown encoding", "501", "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n"},
	{"encoding before chunked", "501", "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
	{"encoding after chunked", "501", "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n"},
	{"identity", "501", "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: identity\r\n\r\n"},
	{"empty encoding", "501", "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding:\r\n\r\n"},
	{"chunked twice", "400", "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"chunked hidden by a vertical tab", "400", "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: \vchunked\r\n\r\n0\r\n\r\n"},
	{"encoding in HTTP/1.0", "400", "POST / HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"},

	{"space before the colon", "400", "GET / HTTP/1.1\r\nhost : x\r\n\r\n"},
	{"tab before the colon", "400", "GET / HTTP/1.1\r\nhost: x\r\na\t: b\r\n\r\n"},
	{"no colon", "400", "GET / HTTP/1.1\r\nhost: x\r\nabc\r\n\r\n"},
	{"no name", "400", "GET / HTTP/1.1\r\nhost: x\r\n: b\r\n\r\n"},
	{"pseudo field", "400", "GET / HTTP/1.1\r\nhost: x\r\n:path: /b\r\n\r\n"},
	{"name beyond ASCII", "400", "GET / HTTP/1.1\r\nhost: x\r\nna\xc3\xafve: b\r\n\r\n"},
	{"folded line", "400", "GET / HTTP/1.1\r\nhost: x\r\na: b\r\n c\r\n\r\n"},
	{"folded by a tab", "400", "GET / HTTP/1.1\r\nhost: x\r\na: b\r\n\tc\r\n\r\n"},
	{"folded first line", "400", "GET / HTTP/1.1\r\n host: x\r\n\r\n"},
	{"bare LF after a field", "400", "GET / HTTP/1.1\r\nhost: x\na: b\r\n\r\n"},
	{"bare LF after the request line", "400", "GET / HTTP/1.1\nhost: x\r\n\r\n"},
	{"bare LF at the end", "400", "GET / HTTP/1.1\r\nhost: x\r\n\n"},
	{"bare CR in a value", "400", "GET / HTTP/1.1\r\nhost: x\r\na: b\rc: d\r\n\r\n"},
	{"CR CR LF", "400", "GET / HTTP/1.1\r\nhost: x\r\na: b\r\r\n\r\n"},
	{"bare CR in the request line", "400", "GET /\r HTTP/1.1\r\nhost: x\r\n\r\n"},
	{"NUL in a value", "400", "GET / HTTP/1.1\r\nhost: x\r\na: b\x00c\r\n\r\n"},
	{"NUL in a name", "400", "GET / HTTP/1.1\r\nhost: x\r\na\x00: b\r\n\r\n"},
	{"DEL in a value", "400", "GET / HTTP/1.1\r\nhost: x\r\na: 0123456\x7f89\r\n\r\n"},
	{"escape in a long value", "400", "GET / HTTP/1.1\r\nhost: x\r\na: 0123456789\x1babcdef\r\n\r\n"},

	{"two hosts", "400", "GET / HTTP/1.1\r\nhost: x\r\nhost: x\r\n\r\n"},
	{"no host", "400", "GET / HTTP/1.1\r\na: b\r\n\r\n"},
	{"no field at all", "400", "GET / HTTP/1.1\r\n\r\n"},
	{"empty host", "400", "GET / HTTP/1.1\r\nhost:\r\n\r\n"},
	{"host with a path", "400", "GET / HTTP/1.1\r\nhost: x/y\r\n\r\n"},
	{"host with user information", "400", "GET / HTTP/1.1\r\nhost: u@x\r\n\r\n"},
	{"host with a bad port", "400", "GET / HTTP/1.1\r\nhost: x:8o\r\n\r\n"},
	{"host with a space", "400", "GET / HTTP/1.1\r\nhost: x y\r\n\r\n"},
	{"host with an open bracket", "400", "GET / HTTP/1.1\r\nhost: [::1\r\n\r\n"},
	{"two hosts in one", "400", "GET / HTTP/1.1\r\nhost: a:1:2\r\n\r\n"},
	{"absolute target without host", "400", "GET http://x/ HTTP/1.1\r\n\r\n"},

	{"method that is no token", "400", "GE(T / HTTP/1.1\r\nhost: x\r\n\r\n"},
	{"no method", "400", " / HTTP/1.1\r\nhost: x\r\n\r\n"},
	{"two spaces before the target", "400", "GET  / HTTP/1.1\r\nhost: x\r\n\r\n"},
	{"two spaces after the target", "400", "GET /  HTTP/1.1\r\nhost: x\r\n\r\n"},
	{"tab for a space", "400", "GET\t/\tHTTP/1.1\r\nhost: x\r\n\r\n"},
	{"space in the target", "400", "GET /a b HTTP/1.1\r\nhost: x\r\n\r\n"},
	{"space at the end of the line", "400", "GET / HTTP/1.1 \r\nhost: x\r\n\r\n"},
	{"space at the start of the line", "400", " GET / HTTP/1.1\r\nhost: x\r\n\r\n"},
	{"target beyond ASCII", "400", "GET /\xc3\xaf HTTP/1.1\r\nhost: x\r\n\r\n"},
	{"fragment", "400", "GET /a#b HTTP/1.1\r\nhost: x\r\n\r\n"},
	{"relative target", "400", "GET a HTTP/1.1\r\nhost: x\r\n\r\n"},
	{"target of another scheme", "400", "GET ftp://x/ HTTP/1.1\r\nhost: x\r\n\r\n"},
	{"target with user information", "400", "GET http://u:p@x/ HTTP/1.1\r\nhost: x\r\n\r\n"},
	{"target without a host", "400", "GET http:///a HTTP/1.1\r\nhost: x\r\n\r\n"},
	{"asterisk for GET", "400", "GET * HTTP/1.1\r\nhost: x\r\n\r\n"},
	{"authority for GET", "400", "GET x:80 HTTP/1.1\r\nhost: x\r\n\r\n"},
	{"CONNECT to a path", "400", "CONNECT / HTTP/1.1\r\nhost: x\r\n\r\n"},
	{"CONNECT without a port", "400", "CONNECT x HTTP/1.1\r\nhost: x\r\n\r\n"},
	{"CONNECT with an empty port", "400", "CONNECT x: HTTP/1.1\r\nhost: x\r\n\r\n"},
	{"CONNECT with a body", "400", "CONNECT x:1 HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nab"},
	{"no version", "400", "GET /\r\nhost: x\r\n\r\n"},
	{"empty version", "400", "GET / \r\nhost: x\r\n\r\n"},
	{"lower-case version", "400", "GET / http/1.1\r\nhost: x\r\n\r\n"},
	{"long version", "400", "GET / HTTP/1.10\r\nhost: x\r\n\r\n"},
	{"version 1.2", "505", "GET / HTTP/1.2\r\nhost: x\r\n\r\n"},
	{"version 2.0", "505", "GET / HTTP/2.0\r\nhost: x\r\n\r\n"},
	{"version 0.9", "505", "GET / HTTP/0.9\r\nhost: x\r\n\r\n"},
	{"preface of HTTP/2", "505", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
	{"handshake of TLS", "400", "\x16\x03\x01\x02\x00\x01"},
	{"two empty lines first", "400", "\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n"},
	{"bare LF first", "400", "\nGET / HTTP/1.1\r\nhost: x\r\n\r\n"},
	{"bare CR first", "400", "\rGET / HTTP/1.1\r\nhost: x\r\n\r\n"},
	{"connection names no token", "400", "GET / HTTP/1.1\r\nhost: x\r\nconnection: a b\r\n\r\n"},
	{"unknown expectation", "417", "POST / HTTP/1.1\r\nhost: x\r\nexpect: cake\r\ncontent-length: 1\r\n\r\na"},

	{"chunk size ended by bare LF", "400", chunkedPost("3\nabc\r\n0\r\n\r\n")},
	{"chunk data ended by bare LF", "400", chunkedPost("3\r\nabc\n0\r\n\r\n")},
	{"last chunk ended by bare LF", "400", chunkedPost("0\n\r\n")},
	{"trailers ended by bare LF", "400", chunkedPost("0\r\n\n")},
	{"chunk data ended by bare CR", "400", chunkedPost("3\r\nabc\r0\r\n\r\n")},
	{"chunk data ended by CR and another byte", "400", chunkedPost("3\r\nabc\rX0\r\n\r\n")},
	{"extension ended by bare LF", "400", chunkedPost("3;a\nabc\r\n0\r\n\r\n")},
	{"bare LF in an extension", "400", chunkedPost("3;a\nb\r\nabc\r\n0\r\n\r\n")},
	{"bare CR in an extension", "400", chunkedPost("3;a\rb\r\nabc\r\n0\r\n\r\n")},
	{"NUL in an extension", "400", chunkedPost("3;a\x00\r\nabc\r\n0\r\n\r\n")},
	{"chunk longer than its size", "400", chunkedPost("3\r\nabcd\r\n0\r\n\r\n")},
	{"chunk shorter than its size", "400", chunkedPost("4\r\nabc\r\n0\r\n\r\n")},
	{"no chunk size", "400", chunkedPost("\r\nabc\r\n0\r\n\r\n")},
	{"only an extension", "400", chunkedPost(";a\r\nabc\r\n0\r\n\r\n")},
	{"negative chunk size", "400", chunkedPost("-3\r\nabc\r\n0\r\n\r\n")},
	{"chunk size with a prefix", "400", chunkedPost("0x3\r\nabc\r\n0\r\n\r\n")},
	{"space before a chunk size", "400", chunkedPost(" 3\r\nabc\r\n0\r\n\r\n")},
	{"space after a chunk size", "400", chunkedPost("3 \r\nabc\r\n0\r\n\r\n")},
	{"chunk size beyond int64", "400", chunkedPost("ffffffffffffffff3\r\nabc\r\n0\r\n\r\n")},
	{"chunk size with many zeros", "400", chunkedPost(strings.Repeat("0", 20) + "3\r\nabc\r\n0\r\n\r\n")},
	{"long extension", "400", chunkedPost("3;" + strings.Repeat("a", 2000) + "\r\nabc\r\n0\r\n\r\n")},
	{"many extensions", "400", chunkedPost(strings.Repeat("1;"+strings.Repeat("a", 900)+"\r\na\r\n", 20) + "0\r\n\r\n")},
	{"length in trailers", "400", chunkedPost("0\r\ncontent-length: 3\r\n\r\n")},
	{"encoding in trailers", "400", chunkedPost("0\r\nTransfer-Encoding: chunked\r\n\r\n")},
	{"host in trailers", "400", chunkedPost("0\r\nhost: y\r\n\r\n")},
	{"folded trailer", "400", chunkedPost("0\r\na: b\r\n c\r\n\r\n")},
	{"malformed trailer", "400", chunkedPost("0\r\na b\r\n\r\n")},
	{"large trailers", "431", chunkedPost("0\r\na: " + strings.Repeat("b", 61<<10) + "\r\n\r\n")},
	{"many trailers", "431", chunkedPost("0\r\n" + strings.Repeat("a: b\r\n", 101) + "\r\n")},

	{"large header", "431", "GET / HTTP/1.1\r\nhost: x\r\na: " + strings.Repeat("b", 61<<10) + "\r\n\r\n"},
	{"large target", "431", "GET /" + strings.Repeat("b", 61<<10) + " HTTP/1.1\r\nhost: x\r\n\r\n"},
	{"many fields", "431", "GET / HTTP/1.1\r\nhost: x\r\n" + strings.Repeat("a: b\r\n", 100) + "\r\n"},
	{"bare LF beyond the limit", "431", "GET / HTTP/1.1\r\nhost: x\r\na: " + strings.Repeat("b", 61<<10) + "\n\r\n"},
}

func chunkedPost(body string) string {
	return "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + body
}

func TestRequestsRefused(t *testing.T) {
	for _, test := range refusedRequests {
		t.Run(test.name, func(t *testing.T) {
			var first string
			for _, step := range []int{0, 1, 7} {
				got, verdict := serve(&script{in: test.raw + tail, step: step}, http1.Limits{}, 100)
				if len(got) != 0 || !strings.HasPrefix(verdict, test.status+" ") {
					t.Errorf("%d bytes at a time: %v, %q; want %s", step, got, verdict, test.status)
				}
				if first == "" {
					first = verdict
				}
				if verdict != first {
					t.Errorf("%d bytes at a time: %q; all at once: %q", step, verdict, first)
				}
			}
		})
	}
}

// TestRequestsCutOff ends the connection inside a message.
func TestRequestsCutOff(t *testing.T) {
	for _, raw := range []string{
		"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n01234",
		chunkedPost("a\r\n0123456789\r\n0\r\nt: 1\r\n\r\n"),
		"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
	} {
		for i := 1; i < len(raw)-1; i++ {
			if raw[:i] == "GET / HTTP/1.1\r\nhost: x\r\n\r\n" {
				continue
			}
			got, verdict := serve(&script{in: raw[:i]}, http1.Limits{}, 100)
			if len(got) != 0 || verdict != "400 connection ended inside a message" {
				t.Errorf("%q: %v, %q", raw[:i], got, verdict)
			}
		}
	}
}

var acceptedRequests = []struct {
	name, raw string
	want      message
}{
	{"plain", "GET /a?b=c HTTP/1.1\r\nHost: x:80\r\nX-A:  b c\t\r\nx-a: \xff\r\nempty:\r\n\r\n", message{Headers: `
:authority: x:80
:path: /a?b=c
:method: GET
:scheme: http
x-a: b c
x-a: ` + "\xff" + `
empty: 
`}},
	{"method of one's own", "frob!-_ /a?b=c HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", message{Headers: `
:authority: [::1]:80
:path: /a?b=c
:method: frob!-_
:scheme: http
`}},
	{"empty line first", "\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n", message{Headers: `
:authority: x
:path: /
:method: GET
:scheme: http
`}},
	{"absolute target", "GET HTTP://y:81/a?b HTTP/1.1\r\nhost: x\r\n\r\n", message{Headers: `
:authority: y:81
:path: /a?b
:method: GET
:scheme: http
`}},
	{"absolute target with a query only", "GET https://y?b HTTP/1.1\r\nhost: x\r\n\r\n", message{Headers: `
:authority: y
:path: /?b
:method: GET
:scheme: https
`}},
	{"absolute target without a path", "GET http://y HTTP/1.1\r\nhost: x\r\n\r\n", message{Headers: `
:authority: y
:path: /
:method: GET
:scheme: http
`}},
	{"OPTIONS of a server", "OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n", message{Headers: `
:authority: x
:path: *
:method: OPTIONS
:scheme: http
`}},
	{"OPTIONS of another server", "OPTIONS http://y HTTP/1.1\r\nhost: x\r\n\r\n", message{Headers: `
:authority: y
:path: *
:method: OPTIONS
:scheme: http
`}},
	{"CONNECT", "CONNECT y:443 HTTP/1.1\r\nhost: x\r\n\r\n", message{Headers: `
:authority: y:443
:method: CONNECT
`}},
	{"HTTP/1.0 without host", "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", message{Headers: `
:authority: 
:path: /
:method: GET
:scheme: http
`}},
	{"HTTP/1.0 with an expectation", "GET / HTTP/1.0\r\nconnection: keep-alive\r\nexpect: x\r\n\r\n", message{Headers: `
:authority: 
:path: /
:method: GET
:scheme: http
expect: x
`}},
	{"hop by hop", "GET / HTTP/1.1\r\nhost: x\r\na: 1\r\nKeep-Alive: 5\r\nProxy-Connection: a\r\nX-One: 1\r\n" +
		"Connection: x-ONE ,, te, http2-settings\r\nTE: gzip, Trailers\r\nUpgrade: h2c\r\nx-one: 2\r\nhttp2-settings: a\r\n" +
		"connection: content-length\r\ncontent-length: 0\r\nb: 2\r\n\r\n", message{Headers: `
:authority: x
:path: /
:method: GET
:scheme: http
a: 1
content-length: 0
b: 2
te: trailers
`}},
	{"length", "PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n0123456789", message{Headers: `
:authority: x
:path: /
:method: PUT
:scheme: http
content-length: 10
`, Body: "0123456789"}},
	{"chunks", "PUT / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: Chunked\r\n\r\n" +
		"1\r\n0\r\n0003;a=\"b\";c\r\n123\r\n6\r\n456789\r\n0;x\r\nA: 1\r\nb: 2 \r\n\r\n", message{Headers: `
:authority: x
:path: /
:method: PUT
:scheme: http
`, Body: "0123456789", Trailers: "a: 1\nb: 2\n"}},
	{"large chunk", "PUT / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" +
		"186A0\r\n" + strings.Repeat("0123456789", 10000) + "\r\n0\r\n\r\n", message{Headers: `
:authority: x
:path: /
:method: PUT
:scheme: http
`, Body: strings.Repeat("0123456789", 10000)}},
	{"large header", "GET / HTTP/1.1\r\nhost: x\r\na: " + strings.Repeat("b", 50000) + "\r\ncontent-length: 3\r\n\r\nabc", message{Headers: `
:authority: x
:path: /
:method: GET
:scheme: http
a: ` + strings.Repeat("b", 50000) + `
content-length: 3
`, Body: "abc"}},
	{"large trailers", "PUT / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" +
		"1\r\n0\r\n0\r\na: " + strings.Repeat("b", 50000) + "\r\n\r\n", message{Headers: `
:authority: x
:path: /
:method: PUT
:scheme: http
`, Body: "0", Trailers: "a: " + strings.Repeat("b", 50000) + "\n"}},
}

// TestRequestsAccepted sends each request three times in one go, so that bytes
// of one that leaked into the next would show.
func TestRequestsAccepted(t *testing.T) {
	for _, test := range acceptedRequests {
		t.Run(test.name, func(t *testing.T) {
			want := test.want
			want.Headers = want.Headers[1:]
			steps, sizes := []int{0, 1, 5, 1000}, []int{1, 3, 100_000}
			if len(test.raw) > 10_000 {
				steps, sizes = []int{0, 999}, []int{777, 100_000}
			}
			for _, step := range steps {
				for _, size := range sizes {
					got, verdict := serve(&script{in: strings.Repeat(test.raw, 3), step: step}, http1.Limits{}, size)
					if !reflect.DeepEqual(got, []message{want, want, want}) || verdict != "" {
						t.Fatalf("%d bytes at a time, read by %d: %.300q, %q", step, size, fmt.Sprint(got), verdict)
					}
				}
			}
			near, far := tcpPair(t)
			go func() {
				io.WriteString(far, strings.Repeat(test.raw, 3))
				far.CloseWrite()
			}()
			got, verdict := serve(near, http1.Limits{}, 5000)
			if !reflect.DeepEqual(got, []message{want, want, want}) || verdict != "" {
				t.Fatalf("over TCP: %.300q, %q", fmt.Sprint(got), verdict)
			}
		})
	}
}

func TestLimitsOfRequests(t *testing.T) {
	block := "GET / HTTP/1.1\r\nhost: x\r\n\r\n"
	body := "PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nabcd"
	for _, test := range []struct {
		name, raw, want string
		limits          http1.Limits
	}{
		{"header of just the limit", block, "", http1.Limits{HeaderBytes: len(block)}},
		{"header one over", block, "431 header section over the limit", http1.Limits{HeaderBytes: len(block) - 1}},
		{"fields of just the limit", block, "", http1.Limits{HeaderCount: 1}},
		{"body of just the limit", body, "", http1.Limits{BodyBytes: 4}},
		{"body one over", body, "413 content-length over the limit", http1.Limits{BodyBytes: 3}},
		{"chunks of just the limit", chunkedPost("2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"), "", http1.Limits{BodyBytes: 4}},
		{"chunks one over", chunkedPost("2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"), "413 body over the limit", http1.Limits{BodyBytes: 3}},
	} {
		for _, step := range []int{0, 1} {
			if _, verdict := serve(&script{in: test.raw, step: step}, test.limits, 100); verdict != test.want {
				t.Errorf("%s: %q, want %q", test.name, verdict, test.want)
			}
		}
	}
}
