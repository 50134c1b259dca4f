package http1_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/textproto"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/meshc/meshc/runtime/proxy/http1"
)

// FuzzServer feeds any bytes. They must mean the same however they are cut, and
// the same to net/http as far as it accepts them: the same requests with the
// same bodies, ending at the same bytes.
func FuzzServer(f *testing.F) {
	for _, test := range refusedRequests {
		if len(test.raw) < 10_000 {
			f.Add([]byte(test.raw + tail))
		}
	}
	for _, test := range acceptedRequests {
		if len(test.raw) < 10_000 {
			f.Add([]byte(test.raw + test.raw))
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, verdict := serve(&script{in: string(raw)}, http1.Limits{}, 1000)
		for _, step := range []int{1, 3} {
			again, verdict2 := serve(&script{in: string(raw), step: step}, http1.Limits{}, 7)
			if !reflect.DeepEqual(again, got) || verdict2 != verdict {
				t.Fatalf("at once %q, %q\n%d at a time %q, %q", got, verdict, step, again, verdict2)
			}
		}
		in := bufio.NewReader(bytes.NewReader(raw))
		for _, m := range got {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			if line := "\n:method: " + r.Method + "\n"; !strings.Contains(m.Headers, line) {
				t.Fatalf("%q\nnet/http has %q", m, line)
			}
			if !strings.HasPrefix(m.Headers, ":authority: "+r.Host+"\n") ||
				strings.HasPrefix(r.RequestURI, "/") && !strings.Contains(m.Headers, "\n:path: "+r.RequestURI+"\n") {
				t.Fatalf("%q\nnet/http has %q %q", m, r.Host, r.RequestURI)
			}
			compare(t, m, body, r.Header, r.Trailer)
		}
	})
}

// FuzzClient does the same with responses.
func FuzzClient(f *testing.F) {
	for _, test := range refusedResponses {
		if len(test.raw) < 10_000 {
			f.Add([]byte(test.raw), false)
		}
	}
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\n"+okChunked+"3;a\r\nabc\r\n0\r\na: b\r\n\r\n"), false)
	f.Add([]byte(okLine+"content-length: 3\r\n\r\nabc"), false)
	f.Add([]byte(okLine+"content-length: 3\r\n\r\n"), true)
	f.Add([]byte(okLine+"\r\nabc"), false)
	f.Fuzz(func(t *testing.T, raw []byte, head bool) {
		method := "GET"
		if head {
			method = "HEAD"
		}
		got, interim, verdict, reuse := fetch(string(raw), method, 0, http1.Limits{})
		for _, step := range []int{1, 3} {
			again, interim2, verdict2, _ := fetch(string(raw), method, step, http1.Limits{})
			if again != got || interim2 != interim || verdict2 != verdict {
				t.Fatalf("at once %q, %q\n%d at a time %q, %q", got, verdict, step, again, verdict2)
			}
		}
		if verdict != "" || len(raw) == 0 {
			return
		}
		in := bufio.NewReader(bytes.NewReader(raw))
		var r *http.Response
		for r == nil || r.StatusCode < 200 {
			var err error
			if r, err = http.ReadResponse(in, &http.Request{Method: method}); err != nil {
				return
			}
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if !strings.HasPrefix(got.Headers, ":status: "+r.Status[:3]+"\n") {
			t.Fatalf("%q\nnet/http has %q", got, r.Status)
		}
		if _, err := in.Peek(1); reuse && err == nil {
			t.Fatal("reused with bytes behind the response")
		}
		compare(t, got, body, r.Header, r.Trailer)
	})
}

// compare wants m to be what net/http has understood.
func compare(t *testing.T, m message, body []byte, header, trailer http.Header) {
	t.Helper()
	if m.Body != string(body) {
		t.Fatalf("body %q\nnet/http has %q", m.Body, body)
	}
	ours := fieldsOf(m.Headers)
	for name, values := range ours {
		// net/http takes Trailer and Transfer-Encoding for itself, and makes a Cache-Control of a Pragma.
		if name == "Trailer" || name == "Transfer-Encoding" || name == "Te" || name == "Cache-Control" {
			continue
		}
		if !slices.Equal(values, header[name]) {
			t.Fatalf("%s: %q\nnet/http has %q", name, values, header[name])
		}
	}
	named := strings.ToLower(strings.Join(header["Connection"], ","))
	for name := range header {
		switch name {
		case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Upgrade", "Cache-Control", "Host":
			continue
		}
		if ours[name] == nil && !strings.Contains(named, strings.ToLower(name)) {
			t.Fatalf("%s is missing: %q", name, m.Headers)
		}
	}
	for name, values := range fieldsOf(m.Trailers) {
		if trailer != nil && trailer[name] != nil && !slices.Equal(values, trailer[name]) {
			t.Fatalf("trailer %s: %q\nnet/http has %q", name, values, trailer[name])
		}
	}
}

// fieldsOf parses what show has printed.
func fieldsOf(lines string) map[string][]string {
	fields := map[string][]string{}
	for line := range strings.Lines(lines) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if !strings.HasPrefix(name, ":") {
			name = textproto.CanonicalMIMEHeaderKey(name)
			fields[name] = append(fields[name], value)
		}
	}
	return fields
}
