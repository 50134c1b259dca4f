package proxy

import "github.com/prometheus/client_golang/prometheus"

var (
	endpointsDesc  = describe("cluster_endpoints", "Endpoints of clusters that look after their health: healthy, failing an active check, or ejected for what they answer.", "cluster", "health")
	ejectionsDesc  = describe("cluster_ejections_total", "Ejections of endpoints by outlier detection.", "cluster", "reason")
	unejectedDesc  = describe("cluster_ejections_over_bound_total", "Outliers that were not ejected, since too many were.", "cluster")
	checksDesc     = describe("health_checks_total", "Active health checks of endpoints.", "cluster", "result")
	overBoundsDesc = describe("cluster_overflows_total", "What the bounds of a CircuitBreaker refused; of connections, the requests that waited for another's.", "cluster", "bound")
	unshakenDesc   = describe("upstream_tls_handshake_failures_total", "TLS handshakes with endpoints that failed.", "cluster")
)

// reasonNames are the values of the label reason.
var reasonNames = [reasons]string{"total_errors", "gateway_errors", "local_errors", "success_rate", "failure_percentage"}

// tally sums what clusters of one name, of several proxies, say of themselves.
type tally struct {
	watched                     bool
	healthy, unhealthy, ejected uint64
	ejections                   [reasons]uint64
	refused, passed, failed     uint64
	unshaken                    uint64
	overflows                   [4]uint64
}

// boundNames are the values of the label bound, in the order of tally.overflows.
var boundNames = [...]string{"connections", "pending", "requests", "retries"}

func (t *tally) add(c *cluster) {
	if c.detects() || len(c.checks) > 0 {
		t.watched = true
		for _, e := range c.known() {
			switch {
			case e.standing.healthy():
				t.healthy++
			case e.standing.has(^ejected):
				t.unhealthy++
			default:
				t.ejected++
			}
		}
	}
	s := c.state
	for i := range t.ejections {
		t.ejections[i] += s.detector.ejected[i].Load()
	}
	t.refused += s.detector.overflow.Load()
	t.passed += s.checker.succeeded.Load()
	t.failed += s.checker.failed.Load()
	t.unshaken += s.handshakes.failed.Load()
	for i, g := range []*gauge{&s.load.connections, &s.load.pending, &s.load.requests, &s.load.retries} {
		t.overflows[i] += g.overflows.Load()
	}
}

// collect sends what is not 0 of the clusters called name.
func (t *tally) collect(ch chan<- prometheus.Metric, name string) {
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		if v > 0 {
			ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), append([]string{name}, labels...)...)
		}
	}
	if t.watched {
		for health, n := range map[string]uint64{"healthy": t.healthy, "unhealthy": t.unhealthy, "ejected": t.ejected} {
			ch <- prometheus.MustNewConstMetric(endpointsDesc, prometheus.GaugeValue, float64(n), name, health)
		}
	}
	for i, n := range t.ejections {
		counter(ejectionsDesc, n, reasonNames[i])
	}
	counter(unejectedDesc, t.refused)
	counter(checksDesc, t.passed, "passed")
	counter(checksDesc, t.failed, "failed")
	counter(unshakenDesc, t.unshaken)
	for i, n := range t.overflows {
		counter(overBoundsDesc, n, boundNames[i])
	}
}
