package proxy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meshc/meshc/compiler/snapshot"
)

func TestClusterMetrics(t *testing.T) {
	w := &world{}
	w.cluster("a", named(t, "1"), named(t, "2"), "127.0.0.1:1")
	h := often
	h.Interval, h.NoTrafficInterval = snapshot.Duration(time.Hour), snapshot.Duration(time.Hour)
	w.clusters[0].Checks = snapshot.ListOf(h)
	w.clusters[0].Outliers = snapshot.Outliers{GatewayErrors: 1, MaxEjectionPercent: 50}
	w.host("x", "a")
	p := run(t, w)
	c := p.current.clusters[0]
	until(t, "all are judged", func() bool { return !c.mayWait() })
	c.report(c.endpoints[0].standing, 503)
	c.report(c.endpoints[1].standing, 503)
	c.state.load.requests.now.Store(1)
	c.state.load.requests.take(1)
	c.state.load.requests.now.Store(0)
	registry := prometheus.NewRegistry()
	registry.MustRegister(p.Metrics())
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range families {
		name := strings.TrimPrefix(f.GetName(), "meshc_proxy_")
		if !strings.HasPrefix(name, "cluster_") && !strings.HasPrefix(name, "health_") {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() != "cluster" {
					name += " " + l.GetValue()
				}
			}
			got = append(got, fmt.Sprint(name, " ", m.GetCounter().GetValue()+m.GetGauge().GetValue()))
			name = strings.TrimPrefix(f.GetName(), "meshc_proxy_")
		}
	}
	want := []string{
		"cluster_ejections_over_bound_total 1", "cluster_ejections_total gateway_errors 1",
		"cluster_endpoints ejected 1", "cluster_endpoints healthy 1", "cluster_endpoints unhealthy 1",
		"cluster_overflows_total requests 1", "health_checks_total failed 1", "health_checks_total passed 2",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
