package proxy

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// Both ends of a handshake that fails say so, and count it.
func TestFailedHandshakesAreTold(t *testing.T) {
	m := newMesh(t)
	var log lockedBuffer
	m.proxy = run(t, &world{}, func(c *Config) {
		c.Identities, c.Gateway = m.store, ""
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
	})
	m.cluster("local", named(t, "api"), snapshot.Transport{})
	m.dataplane("api", inbound("in", snapshot.HTTP, "local", "web"), inbound("closed", snapshot.HTTP, "local"))
	m.mustPublish()
	impostor := peer("api")
	impostor.Peers = snapshot.ListOf("spiffe://default/other")
	m.cluster("api", m.address("in"), impostor)
	m.cluster("closed", m.address("closed"), peer("api"))
	m.dataplane("web", listenerFor("out", snapshot.HTTP, "api"), listenerFor("out-closed", snapshot.HTTP, "closed"))
	m.mustPublish()

	if status, _ := m.get("out"); status != 503 {
		t.Errorf("got %d from a server that is another", status)
	}
	if status, _ := m.get("out-closed"); status != 503 {
		t.Errorf("got %d from a server that admits nobody", status)
	}
	for _, want := range []string{
		`msg="TLS handshake with an endpoint failed" cluster=api endpoint=` + m.address("in") + ` error="the server is none of`,
		`msg="TLS handshake refused" listener=in remote=127.0.0.1:`,
		`shows=spiffe://default/web error="no TrafficPermission admits the client"`,
	} {
		until(t, want, func() bool { return strings.Contains(log.String(), want) })
	}
	series := metricsOf(t, m.proxy)
	for _, name := range []string{
		"upstream_tls_handshake_failures_total cluster=api", "tls_handshake_failures_total listener=in", "tls_handshake_failures_total listener=closed",
	} {
		if series[name] == 0 {
			t.Errorf("%s is 0", name)
		}
	}
	if n := series["upstream_tls_handshake_failures_total cluster=local"]; n != 0 {
		t.Errorf("%v failures of a cluster without TLS", n)
	}
}

// What fails all the time fills no log.
func TestHandshakesAreToldNowAndThen(t *testing.T) {
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, nil))
	var h failures
	fail := func() { h.fail(log, "failed", slog.Any("error", errors.New("no"))) }
	fail()
	h.told.Store(time.Now().Add(time.Hour).UnixNano()) // a line was just written
	for range 5 {
		fail()
	}
	h.told.Store(time.Now().Add(-2 * betweenLines).UnixNano())
	fail()
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[1], `error=no "others since the last line"=5`) || h.failed.Load() != 7 {
		t.Errorf("%d failures, told as %q", h.failed.Load(), lines)
	}
}
