package proxy

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics holds every counter of a Proxy. Whoever counts holds a pointer to
// its counters, found when the generation is built, so that a request costs a
// few atomic additions and no lookup.
type metrics struct {
	mu       sync.Mutex
	conns    map[string]*connMeter
	meters   map[meterKey]*meter // of the current generation
	clusters []*cluster          // of the current generation
}

// meterKey says whose requests are counted: those of a listener for a
// service, which is empty for what no route took.
type meterKey struct{ listener, service string }

// meter counts requests, or TCP connections, which have code 0.
type meter struct {
	codes    [10]codeCounter
	others   atomic.Uint64 // of codes beyond the first ten
	received atomic.Uint64
	sent     atomic.Uint64
	times    [6]atomic.Pointer[histogram] // by class of code, made with the first of it

	retries, retrySuccesses, retryOverflows atomic.Uint64
}

// histogram is of durations.
type histogram struct {
	buckets [len(bounds)]atomic.Uint64
	count   atomic.Uint64
	nanos   atomic.Uint64
}

// classes are the classes of codes, by code/100.
var classes = [6]string{"0", "1xx", "2xx", "3xx", "4xx", "5xx"}

type codeCounter struct {
	code  atomic.Int32 // plus one; 0 is unused
	count atomic.Uint64
}

// bounds are the upper bounds of the duration histogram, in seconds.
var bounds = [...]float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

type connMeter struct {
	total  atomic.Uint64
	active atomic.Int64
	denied atomic.Uint64

	handshakes handshakes
}

type upstreamMeter struct{ connects, failures atomic.Uint64 }

func newMetrics() *metrics {
	return &metrics{conns: map[string]*connMeter{}}
}

func (c *connMeter) opened() { c.total.Add(1); c.active.Add(1) }
func (c *connMeter) closed() { c.active.Add(-1) }

// refused counts a connection of a client that may not connect.
func (c *connMeter) refused() { c.denied.Add(1) }

// done counts one finished request.
func (m *meter) done(code int, took time.Duration, received, sent uint64) {
	m.code(code).Add(1)
	m.received.Add(received)
	m.sent.Add(sent)
	m.time(code).add(took)
}

// time returns the histogram for a code.
func (m *meter) time(code int) *histogram {
	p := &m.times[min(max(code/100, 0), len(classes)-1)]
	h := p.Load()
	if h == nil {
		p.CompareAndSwap(nil, &histogram{})
		h = p.Load()
	}
	return h
}

func (h *histogram) add(took time.Duration) {
	seconds := took.Seconds()
	for i := range bounds {
		if seconds <= bounds[i] {
			h.buckets[i].Add(1)
			break
		}
	}
	h.count.Add(1)
	h.nanos.Add(uint64(max(took, 0)))
}

// read returns the histogram as Prometheus has it.
func (h *histogram) read() (count uint64, seconds float64, buckets map[float64]uint64) {
	count = h.count.Load() // before the buckets, each of which it is at least
	buckets = make(map[float64]uint64, len(bounds))
	sum := uint64(0)
	for i, b := range bounds {
		sum += h.buckets[i].Load()
		buckets[b] = min(sum, count)
	}
	return count, time.Duration(h.nanos.Load()).Seconds(), buckets
}

func (m *meter) code(code int) *atomic.Uint64 {
	want := int32(code) + 1
	for i := range m.codes {
		c := &m.codes[i]
		have := c.code.Load()
		if have == 0 && c.code.CompareAndSwap(0, want) {
			have = want
		} else if have == 0 {
			have = c.code.Load()
		}
		if have == want {
			return &c.count
		}
	}
	return &m.others
}

func (m *metrics) connections(listener string) *connMeter {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.conns[listener]
	if c == nil {
		c = &connMeter{}
		m.conns[listener] = c
	}
	return c
}

// keep drops the counters of what gen does not have.
func (m *metrics) keep(gen *generation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.meters, m.clusters = gen.meters, gen.clusters
	wanted := make(map[string]bool, len(gen.listeners))
	for _, l := range gen.listeners {
		wanted[l.name] = true
	}
	for name, c := range m.conns {
		if c.active.Load() == 0 && !wanted[name] {
			delete(m.conns, name)
		}
	}
}

// Metrics returns the collector of the proxy's metrics.
func (p *Proxy) Metrics() prometheus.Collector { return p.metrics }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("meshc_proxy_"+name, help, labels, nil)
}

var (
	requestsDesc = describe("requests_total", "Finished requests by response code; code 0 is a request or TCP connection that ended without one.", "listener", "service", "code")
	durationDesc = describe("request_duration_seconds", "Time from the request's headers to the end of its response, by the class of its code.", "listener", "service", "class")
	retriesDesc  = describe("retries_total", "Tries after the first of a request.", "listener", "service")
	successDesc  = describe("retry_successes_total", "Retries whose response was taken.", "listener", "service")
	overflowDesc = describe("retry_overflows_total", "Retries that were not made, for there were as many at the time as may be.", "listener", "service")
	receivedDesc = describe("received_bytes_total", "Body bytes from downstream.", "listener", "service")
	sentDesc     = describe("sent_bytes_total", "Body bytes to downstream.", "listener", "service")
	connsDesc    = describe("connections_total", "Accepted downstream connections.", "listener")
	activeDesc   = describe("connections_active", "Open downstream connections.", "listener")
	refusedDesc  = describe("connections_refused_total", "Downstream connections cut off because of who the client is.", "listener")
	shakenDesc   = describe("tls_handshake_failures_total", "TLS handshakes of clients that failed or were refused.", "listener")
	connectDesc  = describe("upstream_connects_total", "Attempts to connect to an endpoint.", "cluster")
	failureDesc  = describe("upstream_connect_failures_total", "Attempts to connect to an endpoint that failed.", "cluster")
)

// Describe sends the descriptions of all metrics.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		requestsDesc, durationDesc, retriesDesc, successDesc, overflowDesc, receivedDesc, sentDesc, connsDesc, activeDesc, refusedDesc, shakenDesc, connectDesc, failureDesc,
		endpointsDesc, ejectionsDesc, unejectedDesc, checksDesc, overBoundsDesc, unshakenDesc,
	} {
		ch <- d
	}
}

// Collect sends the current values; counters nothing has touched are left out.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, r := range m.meters {
		for i := range r.codes {
			c := &r.codes[i]
			if n := c.count.Load(); n > 0 {
				counter(requestsDesc, n, key.listener, key.service, strconv.Itoa(int(c.code.Load()-1)))
			}
		}
		if n := r.others.Load(); n > 0 {
			counter(requestsDesc, n, key.listener, key.service, "other")
		}
		used := false
		for i := range r.times {
			if h := r.times[i].Load(); h != nil {
				used = true
				count, seconds, buckets := h.read()
				ch <- prometheus.MustNewConstHistogram(durationDesc, count, seconds, buckets, key.listener, key.service, classes[i])
			}
		}
		if used {
			counter(receivedDesc, r.received.Load(), key.listener, key.service)
			counter(sentDesc, r.sent.Load(), key.listener, key.service)
		}
		for d, n := range map[*prometheus.Desc]uint64{
			retriesDesc: r.retries.Load(), successDesc: r.retrySuccesses.Load(), overflowDesc: r.retryOverflows.Load(),
		} {
			if n > 0 {
				counter(d, n, key.listener, key.service)
			}
		}
	}
	for name, c := range m.conns {
		counter(connsDesc, c.total.Load(), name)
		if n := c.denied.Load(); n > 0 {
			counter(refusedDesc, n, name)
		}
		if n := c.handshakes.failed.Load(); n > 0 {
			counter(shakenDesc, n, name)
		}
		ch <- prometheus.MustNewConstMetric(activeDesc, prometheus.GaugeValue, float64(c.active.Load()), name)
	}
	// Clusters of one name, of several proxies, stand together.
	var connects, failures uint64
	var sum tally
	for i, c := range m.clusters {
		connects += c.state.meter.connects.Load()
		failures += c.state.meter.failures.Load()
		sum.add(c)
		if i+1 < len(m.clusters) && m.clusters[i+1].name == c.name {
			continue
		}
		if connects > 0 {
			counter(connectDesc, connects, c.name)
			counter(failureDesc, failures, c.name)
		}
		sum.collect(ch, c.name)
		connects, failures, sum = 0, 0, tally{}
	}
}
