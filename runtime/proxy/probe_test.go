package proxy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// often is a check that a test need not wait for.
var often = snapshot.HealthCheck{
	Interval: snapshot.Duration(2 * time.Millisecond), NoTrafficInterval: snapshot.Duration(2 * time.Millisecond),
	Timeout: 30 * second, Unhealthy: 1, Healthy: 1,
}

// checkable is a backend that can be asked to be unwell.
type checkable struct {
	address string
	unwell  atomic.Bool
	mu      sync.Mutex
	checks  []string // what arrived, written down
	conns   atomic.Int64
}

func (c *checkable) said() (list []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.checks)
}

func (c *checkable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/health" {
		io.WriteString(w, "served")
		return
	}
	var h []string
	for name, values := range r.Header {
		h = append(h, name+": "+strings.Join(values, ","))
	}
	slices.Sort(h)
	c.mu.Lock()
	c.checks = append(c.checks, fmt.Sprintf("%s %s %s %s %s", r.Method, r.Proto, r.Host, r.URL, strings.Join(h, "; ")))
	c.mu.Unlock()
	if c.unwell.Load() {
		w.WriteHeader(500)
	} else {
		w.WriteHeader(204)
	}
}

func checkableHTTP(t *testing.T, http2 bool) *checkable {
	c := &checkable{}
	s := httptest.NewUnstartedServer(c)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			c.conns.Add(1)
		}
	}
	if http2 {
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
	}
	s.Start()
	t.Cleanup(s.Close)
	c.address = s.Listener.Addr().String()
	return c
}

func TestHTTPChecks(t *testing.T) {
	for _, tc := range []struct {
		name         string
		http2, fresh bool
		want         string
	}{
		{"HTTP/1.1", false, false, "GET HTTP/1.1 shop /health User-Agent: Envoy/HC; X-Add: 1,2; X-Set: 3"},
		{"a connection each", false, true, "GET HTTP/1.1 shop /health User-Agent: Envoy/HC; X-Add: 1,2; X-Set: 3"},
		{"HTTP/2", true, false, "GET HTTP/2.0 shop /health User-Agent: Envoy/HC; X-Add: 1,2; X-Set: 3"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			backend := checkableHTTP(t, tc.http2)
			w := &world{}
			w.cluster("a", backend.address)
			h := often
			h.Fresh = tc.fresh
			h.HTTP = snapshot.HTTPCheck{
				Path: "/health", HTTP2: tc.http2, Statuses: snapshot.ListOf(uint32(204), uint32(299)),
				Headers: snapshot.HeaderChanges{
					Set: snapshot.ListOf(snapshot.HeaderField{Name: "x-set", Value: "3"}),
					Add: snapshot.ListOf(snapshot.HeaderField{Name: "x-add", Value: "1"}, snapshot.HeaderField{Name: "x-add", Value: "2"}),
				},
			}
			w.clusters[0].Service, w.clusters[0].Checks = "shop", snapshot.ListOf(h)
			w.host("x", "a")
			p := run(t, w)
			e := p.current.clusters[0].endpoints[0].standing
			until(t, "some checks passed", func() bool { return len(backend.said()) > 3 && e.healthy() })
			if got := backend.said()[0]; got != tc.want {
				t.Errorf("the backend got %q, want %q", got, tc.want)
			}
			if n := backend.conns.Load(); (n > 1) != tc.fresh {
				t.Errorf("%d connections for %d checks", n, len(backend.said()))
			}
			if !tc.http2 {
				if r, body := get(t, p, "x", "/"); r.StatusCode != 200 || body != "served" {
					t.Errorf("%d %q", r.StatusCode, body)
				}
			}
			backend.unwell.Store(true)
			until(t, "it is out", func() bool { return !e.healthy() })
			if r, body := get(t, p, "x", "/"); r.StatusCode != 503 || body != "no healthy upstream" {
				t.Errorf("without a healthy endpoint: %d %q", r.StatusCode, body)
			}
			backend.unwell.Store(false)
			until(t, "it is back", e.healthy)
			if p.current.clusters[0].state.meter.connects.Load() > 1 {
				t.Error("checks are counted as traffic")
			}
		})
	}
}

func TestTCPChecks(t *testing.T) {
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	var conns atomic.Int64
	var unwell atomic.Bool
	address := rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		conns.Add(1)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if unwell.Load() {
				line = "gnop\n"
			}
			// In pieces, and with something between the blocks.
			for _, b := range []string{"+", line, "..", "bye"} {
				io.WriteString(c, b)
			}
		}
	})
	w := &world{}
	w.cluster("a", address)
	h := often
	h.Send, h.Receive = b64("ping\n"), snapshot.ListOf(b64("ping"), b64("bye"))
	w.clusters[0].Checks = snapshot.ListOf(h)
	w.host("x", "a")
	p := run(t, w)
	c := p.current.clusters[0]
	until(t, "some checks passed", func() bool { return c.state.checker.succeeded.Load() > 3 })
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	h.Timeout = second // what a block that does not come takes
	w.clusters[0].Checks = snapshot.ListOf(h)
	publish(t, p, w)
	c = p.current.clusters[0]
	unwell.Store(true)
	until(t, "it is out", func() bool { return !c.endpoints[0].standing.healthy() })
	unwell.Store(false)
	until(t, "it is back", c.endpoints[0].standing.healthy)

	// Nothing awaited: the connection is all, and nobody may listen.
	h.Receive = snapshot.List[string]{}
	w = &world{}
	w.cluster("a", address, nobody)
	w.clusters[0].Checks = snapshot.ListOf(h)
	w.host("x", "a")
	publish(t, p, w)
	c = p.current.clusters[0]
	until(t, "both are judged", func() bool { return !c.mayWait() })
	for _, e := range c.endpoints {
		if e.standing.healthy() != (e.pool.text == address) {
			t.Errorf("%s: healthy %t", e.pool.text, e.standing.healthy())
		}
	}
}

// A server that closes between two checks is well.
func TestChecksOnConnectionsThatServersClose(t *testing.T) {
	address := rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		line, _ := r.ReadString('\n')
		io.WriteString(c, line)
	})
	w := &world{}
	w.cluster("a", address)
	h := often
	h.Send, h.Receive = "eAo=", snapshot.ListOf("eAo=") // "x\n"
	w.clusters[0].Checks = snapshot.ListOf(h)
	w.host("x", "a")
	state := run(t, w).current.clusters[0].state
	until(t, "some checks passed", func() bool { return state.checker.succeeded.Load() > 5 })
	if n := state.checker.failed.Load(); n != 0 {
		t.Errorf("%d checks failed", n)
	}
}

func TestChecksThatCannotBe(t *testing.T) {
	for _, h := range []snapshot.HealthCheck{{Send: "?"}, {Receive: snapshot.ListOf("eA==", "!")}} {
		if _, err := newChecks(each(h)); err == nil {
			t.Errorf("%+v was taken", h)
		}
	}
	if !holds([]byte("abcab"), [][]byte{[]byte("bc"), []byte("b")}) || holds([]byte("bab"), bytes.Fields([]byte("a b b"))) {
		t.Error("blocks are not found one after the other")
	}
}

// Pools keep connections for as long as the cluster says.
func TestIdleTimeoutOfACluster(t *testing.T) {
	w := &world{}
	w.cluster("long", named(t, "long"))
	w.cluster("short", named(t, "short"))
	w.clusters[0].IdleTimeout, w.clusters[1].IdleTimeout = snapshot.Duration(time.Hour), snapshot.Duration(time.Minute)
	w.host("long", "long")
	w.host("short", "short")
	p := run(t, w, func(c *Config) { c.tick = time.Hour })
	idle := func(i int) int {
		pl := p.current.clusters[i].endpoints[0].pool
		pl.mu.Lock()
		defer pl.mu.Unlock()
		return len(pl.idle)
	}
	get(t, p, "long", "/")
	get(t, p, "short", "/")
	until(t, "both are pooled", func() bool { return idle(0) == 1 && idle(1) == 1 })
	p.sweep(p.clock.Load() + int64(2*time.Minute))
	if idle(0) != 1 || idle(1) != 0 {
		t.Errorf("after two minutes %d of an hour, %d of a minute are left", idle(0), idle(1))
	}
}

// The names of a cluster that is checked are resolved before anybody asks for it.
func TestChecksOfNames(t *testing.T) {
	backend := checkableHTTP(t, false)
	address := netip.MustParseAddrPort(backend.address)
	w := &world{}
	w.cluster("a")
	h := often
	h.HTTP = snapshot.HTTPCheck{Path: "/health", Statuses: snapshot.ListOf(uint32(204))}
	w.clusters[0].Discovery, w.clusters[0].Checks = snapshot.DNS, snapshot.ListOf(h)
	w.endpoints[0].Endpoints = snapshot.ListOf(
		snapshot.Endpoint{Address: "backend.example", Port: address.Port(), Hostname: "backend.example"},
		snapshot.Endpoint{Address: "gone.example", Port: 1},
	)
	w.host("x", "a")
	p := run(t, w, func(c *Config) {
		c.Resolve = func(context.Context, string) ([]netip.Addr, time.Duration, error) {
			return []netip.Addr{address.Addr()}, time.Hour, nil
		}
	})
	until(t, "it is checked", func() bool { return len(backend.said()) > 2 })
	if got := backend.said()[0]; !strings.Contains(got, " backend.example ") {
		t.Errorf("the backend got %q", got)
	}
	for range 10 {
		if r, _ := get(t, p, "x", "/"); r.StatusCode != 200 {
			t.Errorf("%d", r.StatusCode)
		}
	}
	backend.unwell.Store(true)
	until(t, "it is out", func() bool { r, _ := get(t, p, "x", "/"); return r.StatusCode == 503 })
}
