package proxy

import (
	"testing"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// Health tells apart why an endpoint is out, and when all are chosen from again.
func TestHealthOfEndpoints(t *testing.T) {
	w := &world{}
	w.cluster("a", named(t, "1"), named(t, "2"), "127.0.0.1:1")
	h := often
	h.Interval, h.NoTrafficInterval = snapshot.Duration(time.Hour), snapshot.Duration(time.Hour)
	w.clusters[0].Checks, w.clusters[0].Panic = snapshot.ListOf(h), 50
	w.clusters[0].Outliers = snapshot.Outliers{GatewayErrors: 1, MaxEjectionPercent: 100, BaseEjectionTime: snapshot.Duration(time.Minute)}
	w.host("x", "a")
	p := run(t, w)
	c := p.current.clusters[0]
	until(t, "all are judged", func() bool { return !c.mayWait() })
	c.endpoints[1].standing.active.Add(1)
	defer c.endpoints[1].standing.active.Add(-1)
	before := time.Now()
	got := p.Health()
	if len(got) != 1 || got[0].Cluster != "a" || got[0].Panic || len(got[0].Endpoints) != 3 {
		t.Fatalf("got %+v", got)
	}
	for i, e := range got[0].Endpoints {
		if failed := e.Address == "127.0.0.1:1"; e.Healthy == failed || (len(e.FailedChecks) == 1) != failed || !e.EjectedUntil.IsZero() {
			t.Errorf("endpoint %d: %+v", i, e)
		}
	}
	if got[0].Endpoints[1].Active != 1 {
		t.Errorf("in flight: %+v", got[0].Endpoints)
	}
	c.report(c.endpoints[0].standing, 503)
	got = p.Health()
	if e := got[0].Endpoints[0]; e.Healthy || e.EjectedUntil.Before(before.Add(time.Minute)) || e.EjectedUntil.After(time.Now().Add(time.Minute)) || !got[0].Panic {
		t.Errorf("after an ejection, with one of three healthy: %+v", got[0])
	}
}
