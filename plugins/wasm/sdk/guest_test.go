//go:build linux

package sdk_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// TestInEnvoy runs the whole SDK in a real Envoy.
func TestInEnvoy(t *testing.T) {
	t.Parallel()
	module := build(t, "testdata/guest")
	b := startBackend(t)
	rpc, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	go server.Serve(rpc)
	t.Cleanup(server.Stop)
	l := &listener{module: module, config: "some text", vm: "vm text", id: "my root"}
	e := startEnvoy(t, map[string]string{"backend": b.address, "grpc": rpc.Addr().String(), "dead": fmt.Sprintf("127.0.0.1:%d", freePort(t))}, l)

	// headers checks the headers of the response that the guest made.
	headers := func(t *testing.T, do string, wants ...string) {
		t.Helper()
		resp, _ := get(t, l, "do: "+do, "x-gone: 1", "x-gone: 2")
		want(t, "status", resp.Status, "200 OK")
		want(t, "x-guest", resp.Header.Get("x-guest"), do+" 200")
		if errs := resp.Header["X-Error"]; errs != nil {
			t.Errorf("errors: %q", errs)
		}
		for _, w := range wants {
			name, value, _ := strings.Cut(w, ": ")
			want(t, name, strings.Join(resp.Header.Values(name), "; "), value)
		}
	}

	t.Run("about", func(t *testing.T) { headers(t, "about", "x-about: some text,vm text,my root") })
	t.Run("headers", func(t *testing.T) {
		headers(t, "headers", "x-lookup: host: not found", "x-append: path /path true", "x-short: p/path", "x-all: :authority 9",
			"x-phase: host: bad argument, or not possible in this callback")
		r, _ := b.got()
		want(t, "x-set at the service", strings.Join(r.Header["X-Set"], ","), "one,two")
		want(t, "x-gone at the service", strings.Join(r.Header["X-Gone"], ","), "")
		want(t, "x-last at the service", fmt.Sprintf("%q", r.Header["X-Last"]), `[""]`)
	})
	t.Run("properties", func(t *testing.T) {
		headers(t, "properties", "x-method: GET", "x-port: true", "x-mtls: false", "x-time: true", "x-none: true", "x-map: true", "x-mine: value")
	})
	t.Run("shared", func(t *testing.T) {
		headers(t, "shared", "x-count: 3", "x-cas: host: changed since it was read", "x-none: host: not found", "x-queue: host: not found", "x-requests: true")
		headers(t, "shared", "x-count: 6")
		e.await(t, "the queue to be consumed", func() bool { return e.stat("guest_consumed") == "4" })
	})
	t.Run("foreign", func(t *testing.T) { headers(t, "foreign", "x-compressed: true", "x-foreign: host: not found") })
	t.Run("call", func(t *testing.T) {
		headers(t, "call", "x-called: 200 other1 answer to POST question", "x-unknown: host: bad argument, or not possible in this callback")
		r, _ := b.got()
		want(t, "x-after-call at the service", r.Header.Get("x-after-call"), "yes")
	})
	t.Run("grpc", func(t *testing.T) {
		headers(t, "grpc", "x-grpc: 2", "x-metadata: application/grpc", "x-message: 2")
		headers(t, "grpc-dead", "x-grpc: true")
	})
	t.Run("reply", func(t *testing.T) {
		b.got()
		resp, body := get(t, l, "do: reply")
		want(t, "answer", resp.Status+" "+body, "403 Forbidden no\n")
		want(t, "x-why", resp.Header.Get("x-why"), "test")
		want(t, "x-guest", resp.Header.Get("x-guest"), "reply 403") // by the response callbacks
		resp, body = get(t, l, "do: call-reply")
		want(t, "answer", fmt.Sprint(resp.StatusCode, " ", body), "418 status 503")
		if r, _ := b.got(); r != nil {
			t.Error("a request that was answered went on")
		}
	})
	t.Run("body", func(t *testing.T) {
		resp, body := send(t, l.address, "POST / HTTP/1.1\nhost: h\ndo: body\ntransfer-encoding: chunked\n\n3\nabc\n3\ndef\n0\n\n")
		want(t, "errors", strings.Join(resp.Header["X-Error"], ","), "")
		want(t, "x-part", resp.Header.Get("x-part"), "bc 6")
		want(t, "response", body, "hello\nend\n")
		_, body = b.got()
		want(t, "body at the service", body, "<ABCDEF>")
	})
	t.Run("trailers", func(t *testing.T) {
		resp, _ := send(t, l.address, "POST / HTTP/1.1\nhost: h\ndo: trailers\ntransfer-encoding: chunked\n\n3\nabc\n0\nx-trailer: t\n\n")
		want(t, "status", resp.Status, "200 OK")
		r, _ := b.got()
		want(t, "trailer", r.Trailer.Get("x-trailer"), "t")
		want(t, "added trailer", r.Trailer.Get("x-more"), "more")
	})
	t.Run("tick", func(t *testing.T) {
		// Two instances tick, on the main thread and the worker's.
		e.await(t, "the call of a tick", func() bool {
			v := e.stat("guest_ticks")
			return len(v) >= 4
		})
	})
	t.Run("gone", func(t *testing.T) {
		c, err := net.Dial("tcp", l.address)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "GET / HTTP/1.1\r\nhost: h\r\ndo: gone\r\n\r\n")
		e.await(t, "the request to arrive", func() bool { return e.stat("guest_open") == "1" })
		c.Close()
		e.await(t, "the stream to end", func() bool { return e.stat("guest_open") == "0" })
		headers(t, "about")
	})
	t.Run("done", func(t *testing.T) {
		e.await(t, "all streams to end", func() bool { return e.stat("guest_open") == "0" })
		if strings.Contains(e.log.String(), "Done: ") {
			t.Error("Done could not read the request headers")
		}
	})
	t.Run("panic", func(t *testing.T) { // the last one: nothing lives after it
		resp, _ := get(t, l, "do: panic")
		want(t, "status", resp.Status, "503 Service Unavailable")
		e.await(t, "the log to say what the panic was about, and where it was", func() bool {
			log := e.log.String()
			return strings.Contains(log, "panic: told to\n") && strings.Contains(log, "testdata/guest/main.go:")
		})
	})
}
