package proxy

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// A request that began before a reload asks for the endpoints of its own generation,
// which are spoken to otherwise: that takes nothing from those that serve.
func TestNamesOverTwoTransports(t *testing.T) {
	var conns atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "a") }))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	w := &world{}
	w.cluster("a")
	w.clusters[0].Discovery = snapshot.DNS
	endpoint := snapshot.Endpoint{Address: "backend.example", Port: netip.MustParseAddrPort(server.Listener.Addr().String()).Port()}
	w.endpoints[0].Endpoints = snapshot.ListOf(endpoint)
	w.host("x", "a")
	p := run(t, w, func(c *Config) {
		c.tick = time.Hour
		c.Resolve = func(context.Context, string) ([]netip.Addr, time.Duration, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, time.Hour, nil
		}
	})
	cluster := func() *cluster { return p.serving.Load().clusters[0] }
	old := cluster()
	before := old.pick(t.Context(), 0).pool
	w.clusters[0].Transports = snapshot.ListOf(snapshot.Transport{Name: "tls", SNI: "x"})
	endpoint.Transport = "tls"
	w.endpoints[0].Endpoints = snapshot.ListOf(endpoint)
	publish(t, p, w)
	if !before.retired() {
		t.Error("connections in the clear are kept though nobody wants them any more")
	}
	get(t, p, "x", "/")
	now := cluster().pick(t.Context(), 0).pool
	until(t, "the connection is idle", func() bool { return !now.empty() })
	old.dns.last.Store(nil) // as where the name has another address by now
	if over := old.pick(t.Context(), 0).pool; over.secured != nil || over == before || over.standing != now.standing {
		t.Error("the endpoint of the generation before is not its own")
	}
	if r, body := get(t, p, "x", "/"); r.StatusCode != 200 || body != "a" || conns.Load() != 1 {
		t.Errorf("%d %q on connection %d", r.StatusCode, body, conns.Load())
	}
	if now.retired() || len(cluster().state.appendPools(nil)) != 2 {
		t.Error("the pool that serves was closed, or that of the generation before is nobody's")
	}
	p.sweep(time.Now().Add(time.Hour).UnixNano())
	if left := cluster().state.appendPools(nil); len(left) != 1 || left[0] != now {
		t.Errorf("%d pools are left", len(left))
	}
}
