//go:build linux

package xds_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/status"
	"github.com/meshc/meshc/runtime/xds"
)

// Each route of the gateway is logged and traced as it says.
func TestEnvoyLogsAndTracesByRoute(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	sampled := make(chan string, 10)
	app := serving(t, func(w http.ResponseWriter, r *http.Request) {
		sampled <- r.Header.Get("x-b3-sampled")
	})
	zipkin := serving(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusAccepted) })
	port := freePort(t)
	r := start(t, func(c *xds.Config) { c.Filter, c.GatewayAddr = attach, fmt.Sprintf("127.0.0.1:%d", port) })
	s := attached(freePort(t), freePort(t), app, zipkin, file)
	r.publish(s)
	e := r.envoy("gateway", "DELTA_GRPC")
	r.eventually("has it all", func(n status.Node) bool { return n.Acked == s.Version })
	for _, test := range []struct{ host, path, sampled string }{
		{"logged", "/on", "1"}, {"logged", "/off", "0"}, {"other", "/on", "0"}, {"other", "/off", "0"},
	} {
		req, err := http.NewRequest("GET", url(port, test.path), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = test.host
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := <-sampled; got != test.sampled {
			t.Errorf("%s%s has x-b3-sampled %q, not %q", test.host, test.path, got, test.sampled)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	want := []string{"m/one /on logged", "m/two /on other"}
	var got []string
	e.await("to log", func() bool {
		b, _ := os.ReadFile(file) // it comes with the first line
		got = strings.Split(strings.TrimSpace(string(b)), "\n")
		return len(got) >= len(want)
	})
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("logged %q, not %q", got, want)
	}
}

// What an Envoy logs comes to the address of the server, and Envoy waits while
// nobody takes it.
func TestEnvoyLogsToTheServer(t *testing.T) {
	logs := make(chan string)
	app := serving(t, func(http.ResponseWriter, *http.Request) {})
	r := start(t, func(c *xds.Config) {
		c.Filter = attach
		c.AccessLog = func(ctx context.Context, name string, m *alsv3.StreamAccessLogsMessage) error {
			var entries []string
			for _, e := range m.GetHttpLogs().GetLogEntry() {
				entries = append(entries, name+": http "+e.GetRequest().GetPath())
			}
			for range m.GetTcpLogs().GetLogEntry() {
				entries = append(entries, name+": tcp")
			}
			for _, e := range entries {
				select {
				case logs <- e:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		}
	})
	httpPort, tcpPort := freePort(t), freePort(t)
	s := attached(httpPort, tcpPort, app, app, "/dev/null")
	r.publish(s)
	r.envoy("default.web", "DELTA_GRPC")
	r.eventually("has it all", func(n status.Node) bool { return n.Acked == s.Version })
	take := func(want string) {
		t.Helper()
		select {
		case got := <-logs:
			if got != want {
				t.Errorf("logged %q, not %q", got, want)
			}
		case <-time.After(patience):
			t.Fatalf("%q is not logged", want)
		}
	}
	fetch("GET", url(httpPort, "/one"))
	take("the name: http /one")
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", tcpPort))
	if err != nil {
		t.Fatal(err)
	}
	if err := ask(c); err != nil {
		t.Fatal(err)
	}
	c.Close()
	take("the name: tcp")

	// Nobody takes this one, and the server ends nonetheless.
	fetch("GET", url(httpPort, "/two"))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.server.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

// serving runs a server and returns where it is.
func serving(t testing.TB, h http.HandlerFunc) snapshot.Endpoint {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return at("127.0.0.1", uint16(s.Listener.Addr().(*net.TCPAddr).Port))
}
