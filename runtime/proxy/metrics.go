package proxy

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
)

// metrics holds every counter of a Proxy. Whoever counts holds a pointer to
// its counters, found when the generation is built, so that a request costs a
// few atomic additions and no lookup.
type metrics struct {
	mu    sync.Mutex
	conns map[string]*connMeter // by listener
	gen   *generation           // the current one; nil before the first
}

// meterKey says whose requests are counted: those of a listener for a
// service, which is empty for what no route took.
type meterKey struct{ listener, service string }

// meter counts requests, or TCP connections and UDP sessions, which have code 0.
type meter struct {
	codes    [10]codeCounter
	others   atomic.Uint64 // of codes beyond the first ten
	received atomic.Uint64
	sent     atomic.Uint64
	times    [6]atomic.Pointer[histogram] // by class of code, made with the first of it
	// datagrams that were sent on, by filter.Direction.
	datagrams [2]atomic.Uint64

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

	handshakes failures
	unsendable failures // requests, as the filters have left them
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
	m.gen = gen
	wanted := make(map[string]bool, len(gen.listeners))
	for _, l := range gen.listeners {
		wanted[l.name] = true
		m.conns[l.name] = l.conns // collect may have met it before its time
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
	requestsDesc     = describe("requests_total", "Finished HTTP requests by the code that the client got; 0 for those that ended without one.", "listener", "service", "code")
	durationDesc     = describe("request_duration_seconds", "Time from the request's headers to the end of its response, by the class of its code.", "listener", "service", "class")
	carriedDesc      = describe("carried_duration_seconds", "How long TCP connections and UDP sessions that have ended were carried.", "listener", "service", "protocol")
	datagramsInDesc  = describe("received_datagrams_total", "Datagrams from downstream that were sent on.", "listener", "service")
	datagramsOutDesc = describe("sent_datagrams_total", "Datagrams sent downstream.", "listener", "service")
	retriesDesc      = describe("retries_total", "Tries after the first of a request.", "listener", "service")
	successDesc      = describe("retry_successes_total", "Retries whose response was taken.", "listener", "service")
	overflowDesc     = describe("retry_overflows_total", "Retries that were not made, for there were as many at the time as may be.", "listener", "service")
	receivedDesc     = describe("received_bytes_total", "Bytes from downstream: bodies of HTTP and payloads, counted when the request or TCP connection ends.", "listener", "service")
	sentDesc         = describe("sent_bytes_total", "Bytes to downstream, counted likewise.", "listener", "service")
	connsDesc        = describe("connections_total", "Accepted downstream connections, and sessions of UDP.", "listener")
	activeDesc       = describe("connections_active", "Open downstream connections, and sessions of UDP.", "listener")
	refusedDesc      = describe("connections_refused_total", "Downstream connections cut off because of who the client is.", "listener")
	shakenDesc       = describe("tls_handshake_failures_total", "TLS handshakes of clients that failed or were refused.", "listener")
)

// Describe sends the descriptions of all metrics.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		requestsDesc, durationDesc, carriedDesc, datagramsInDesc, datagramsOutDesc, retriesDesc, successDesc, overflowDesc, receivedDesc, sentDesc, connsDesc, activeDesc, refusedDesc, shakenDesc, connectDesc, failureDesc,
		openDesc, inFlightDesc, waitingDesc, endpointsDesc, ejectionsDesc, unejectedDesc, checksDesc, overBoundsDesc, unshakenDesc,
	} {
		ch <- d
	}
}

// Collect sends the current values; counters nothing has touched are left out.
func (m *metrics) Collect(ch chan<- prometheus.Metric) { m.collect(ch, "") }

// collect does so for one proxy, or with "" for all.
func (m *metrics) collect(ch chan<- prometheus.Metric, proxyID string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gen == nil {
		return
	}
	listeners, clusters := m.gen.of(proxyID)
	for key, r := range m.gen.meters {
		if l := listeners[key.listener]; l != nil {
			r.collect(ch, l.protocol, key)
		}
	}
	for name, c := range m.conns {
		switch {
		case listeners[name] != nil:
			c.collect(ch, name)
		case proxyID == "" && c.active.Load() > 0: // what is left of it ends
			c.collect(ch, name)
		case proxyID == "":
			delete(m.conns, name)
		}
	}
	// Clusters of one name, of several proxies, stand together.
	var sum tally
	for i, c := range clusters {
		sum.add(c)
		if i+1 == len(clusters) || clusters[i+1].name != c.name {
			sum.collect(ch, c.name)
			sum = tally{}
		}
	}
}

// send sends a counter that is not 0.
func send(ch chan<- prometheus.Metric, d *prometheus.Desc, v uint64, labels ...string) {
	if v > 0 {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
}

// collect sends what key's requests, connections or sessions came to.
func (m *meter) collect(ch chan<- prometheus.Metric, protocol snapshot.Protocol, key meterKey) {
	used := false
	for i := range m.times {
		h := m.times[i].Load()
		if h == nil {
			continue
		}
		used = true
		d, labels := durationDesc, []string{key.listener, key.service, classes[i]}
		if protocol != snapshot.HTTP {
			d, labels = carriedDesc, []string{key.listener, key.service, string(protocol)}
		}
		count, seconds, buckets := h.read()
		ch <- prometheus.MustNewConstHistogram(d, count, seconds, buckets, labels...)
	}
	for i := range m.codes {
		if c := &m.codes[i]; protocol == snapshot.HTTP {
			send(ch, requestsDesc, c.count.Load(), key.listener, key.service, strconv.Itoa(int(c.code.Load()-1)))
		}
	}
	send(ch, requestsDesc, m.others.Load(), key.listener, key.service, "other")
	send(ch, retriesDesc, m.retries.Load(), key.listener, key.service)
	send(ch, successDesc, m.retrySuccesses.Load(), key.listener, key.service)
	send(ch, overflowDesc, m.retryOverflows.Load(), key.listener, key.service)
	in, out := m.datagrams[filter.Request].Load(), m.datagrams[filter.Response].Load()
	send(ch, datagramsInDesc, in, key.listener, key.service)
	send(ch, datagramsOutDesc, out, key.listener, key.service)
	if used || in > 0 {
		ch <- prometheus.MustNewConstMetric(receivedDesc, prometheus.CounterValue, float64(m.received.Load()), key.listener, key.service)
		ch <- prometheus.MustNewConstMetric(sentDesc, prometheus.CounterValue, float64(m.sent.Load()), key.listener, key.service)
	}
}

// collect sends what a listener's connections came to.
func (c *connMeter) collect(ch chan<- prometheus.Metric, listener string) {
	ch <- prometheus.MustNewConstMetric(connsDesc, prometheus.CounterValue, float64(c.total.Load()), listener)
	send(ch, refusedDesc, c.denied.Load(), listener)
	send(ch, shakenDesc, c.handshakes.failed.Load(), listener)
	ch <- prometheus.MustNewConstMetric(activeDesc, prometheus.GaugeValue, float64(c.active.Load()), listener)
}
