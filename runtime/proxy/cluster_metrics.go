package proxy

import "github.com/prometheus/client_golang/prometheus"

var (
	connectDesc    = describe("upstream_connects_total", "Attempts to connect to an endpoint.", "cluster")
	failureDesc    = describe("upstream_connect_failures_total", "Attempts to connect to an endpoint that failed.", "cluster")
	openDesc       = describe("upstream_connections_active", "Open connections to endpoints, idle ones among them.", "cluster")
	inFlightDesc   = describe("upstream_requests_active", "HTTP requests that endpoints have and have not answered yet.", "cluster")
	waitingDesc    = describe("upstream_requests_pending", "Requests and connections that wait for a connection to an endpoint.", "cluster")
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
	connects, failures          uint64
	open, inFlight, waiting     int64
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
	t.connects += s.meter.connects.Load()
	t.failures += s.meter.failures.Load()
	t.open += s.load.connections.now.Load()
	t.inFlight += s.load.requests.now.Load()
	t.waiting += s.load.pending.now.Load()
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

// collect sends what there is to tell of the clusters called name.
func (t *tally) collect(ch chan<- prometheus.Metric, name string) {
	gauge := func(d *prometheus.Desc, n int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), append([]string{name}, labels...)...)
	}
	if t.connects > 0 {
		send(ch, connectDesc, t.connects, name)
		ch <- prometheus.MustNewConstMetric(failureDesc, prometheus.CounterValue, float64(t.failures), name)
		gauge(openDesc, t.open)
		gauge(inFlightDesc, t.inFlight)
		gauge(waitingDesc, t.waiting)
	}
	if t.watched {
		gauge(endpointsDesc, int64(t.healthy), "healthy")
		gauge(endpointsDesc, int64(t.unhealthy), "unhealthy")
		gauge(endpointsDesc, int64(t.ejected), "ejected")
	}
	for i, n := range t.ejections {
		send(ch, ejectionsDesc, n, name, reasonNames[i])
	}
	send(ch, unejectedDesc, t.refused, name)
	send(ch, checksDesc, t.passed, name, "passed")
	send(ch, checksDesc, t.failed, name, "failed")
	send(ch, unshakenDesc, t.unshaken, name)
	for i, n := range t.overflows {
		send(ch, overBoundsDesc, n, name, boundNames[i])
	}
}
