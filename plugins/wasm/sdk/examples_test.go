//go:build linux

package sdk_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func example(t *testing.T, name string) string { return build(t, root+"/examples/filters/"+name) }

// TestExamples runs the examples in one Envoy, a port each.
func TestExamples(t *testing.T) {
	t.Parallel()
	b := startBackend(t)
	headers := &listener{module: example(t, "headers-go"), config: `
# a comment
request set x-team shop
request remove x-internal
response add x-served-by meshc  with spaces
response remove server-secret
`}
	// So slow that no token comes while the test runs.
	ratelimit := &listener{module: example(t, "ratelimit-go"), config: `{"rate": 0.001, "burst": 2, "header": "x-api-key"}`}
	auth := &listener{module: example(t, "auth-go"), config: `{"service": "backend"}`}
	tcp := &listener{module: example(t, "echo-tcp-go"), tcp: true, cluster: "echo"}
	e := startEnvoy(t, map[string]string{"backend": b.address, "echo": startEcho(t)}, headers, ratelimit, auth, tcp)
	t.Run("headers-go", func(t *testing.T) { testHeaders(t, b, headers) })
	t.Run("ratelimit-go", func(t *testing.T) { testRatelimit(t, e, ratelimit) })
	t.Run("auth-go", func(t *testing.T) { testAuth(t, b, auth) })
	t.Run("echo-tcp-go", func(t *testing.T) { testEchoTCP(t, e, tcp) })
}

func testHeaders(t *testing.T, b *backend, l *listener) {
	resp, body := get(t, l, "x-internal: a", "x-team: other")
	want(t, "answer", resp.Status+" "+body, "200 OK hello\n")
	want(t, "x-served-by", resp.Header.Get("x-served-by"), "meshc  with spaces")
	want(t, "server-secret", resp.Header.Get("server-secret"), "")
	r, _ := b.got()
	want(t, "x-team", strings.Join(r.Header["X-Team"], ","), "shop")
	want(t, "x-internal", r.Header.Get("x-internal"), "")
}

func testRatelimit(t *testing.T, e *envoy, l *listener) {
	for i, wantStatus := range []int{200, 200, 429, 429} {
		resp, _ := get(t, l, "x-api-key: one")
		if resp.StatusCode != wantStatus {
			t.Errorf("request %d: got %d, want %d", i, resp.StatusCode, wantStatus)
		}
		if after := resp.Header.Get("retry-after"); wantStatus == 429 && len(after) != 3 && after != "1000" {
			t.Errorf("request %d: retry-after: got %q, want somewhat under 1000", i, after)
		}
	}
	resp, _ := get(t, l, "x-api-key: two")
	want(t, "status of another key", resp.Status, "200 OK")
	resp, _ = get(t, l) // by address
	want(t, "status without a key", resp.Status, "200 OK")
	want(t, "ratelimit_allowed", e.stat("ratelimit_allowed"), "4")
	want(t, "ratelimit_limited", e.stat("ratelimit_limited"), "2")
}

func testAuth(t *testing.T, b *backend, l *listener) {
	b.got()
	for _, test := range []struct{ key, want string }{
		{"", "401 missing key\n"}, {"bad", "403 wrong key\n"}, {"down", "503 cannot check the key\n"}, {"good", "200 hello\n"},
	} {
		var headers []string
		if test.key != "" {
			headers = []string{"x-api-key: " + test.key, "x-caller: eve"}
		}
		resp, body := get(t, l, headers...)
		want(t, "answer to key "+test.key, fmt.Sprint(resp.StatusCode, " ", body), test.want)
		r, _ := b.got()
		if passed := r != nil; passed != (test.key == "good") {
			t.Errorf("key %q: reached the service: %v", test.key, passed)
		} else if passed {
			want(t, "x-caller", strings.Join(r.Header["X-Caller"], ","), "alice")
		}
	}
}

// startEcho runs a TCP service that answers what it gets, and returns its address.
func startEcho(t *testing.T) string {
	t.Helper()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	return server.Addr().String()
}

func testEchoTCP(t *testing.T, e *envoy, l *listener) {
	c, err := net.Dial("tcp", l.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	in := bufio.NewReader(c)
	for _, step := range []struct{ say, hear string }{{"hello\n", "> HELLO\n"}, {"two\nlines\n", "> TWO\nLINES\n"}} {
		for _, part := range []string{step.say[:2], step.say[2:]} { // an unfinished line is kept
			if _, err := io.WriteString(c, part); err != nil {
				t.Fatal(err)
			}
		}
		got := make([]byte, len(step.hear))
		if _, err := io.ReadFull(in, got); err != nil {
			t.Fatal(err)
		}
		want(t, "echo", string(got), step.hear)
	}
	io.WriteString(c, "quit\n")
	if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
		t.Errorf("after quit: %q, %v", rest, err)
	}
	want(t, "echo_connections", e.stat("echo_connections"), "1")
}
