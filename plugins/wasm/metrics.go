package wasm

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meshc/meshc/plugins"
)

// metrics are the kind's own, beside those that guests define.
type metrics struct {
	maker     *maker
	instances atomic.Int64
	starts    atomic.Uint64
	starting  atomic.Int64 // nanoseconds
	faults    *prometheus.CounterVec
	lost      *prometheus.CounterVec

	mu     sync.Mutex
	logged map[string]time.Time // the last fault of a use that was logged
	quiet  map[string]int       // those since then
}

var (
	instancesDesc = prometheus.NewDesc("meshc_wasm_instances", "Guests that serve.", nil, nil)
	modulesDesc   = prometheus.NewDesc("meshc_wasm_modules", "Modules whose compiled code is in memory.", nil, nil)
	startsDesc    = prometheus.NewDesc("meshc_wasm_starts_total", "Guests started to serve, replacements included.", nil, nil)
	startTimeDesc = prometheus.NewDesc("meshc_wasm_start_seconds_total", "Time that starting and configuring them took.", nil, nil)
)

func newMetrics(m *maker) *metrics {
	return &metrics{
		maker: m,
		faults: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meshc_wasm_faults_total", Help: "Guests that failed, by plugin and reason.",
		}, []string{"plugin", "reason"}),
		lost: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meshc_wasm_log_lines_dropped_total", Help: "Lines of a plugin that were over the limit and not logged.",
		}, []string{"plugin"}),
		logged: map[string]time.Time{}, quiet: map[string]int{},
	}
}

func (m *metrics) started(took time.Duration) {
	m.starts.Add(1)
	m.starting.Add(int64(took))
}

func (m *metrics) dropped(use string) interface{ Inc() } { return m.lost.WithLabelValues(use) }

// Describe is part of prometheus.Collector. It describes nothing, for what
// guests define is not known beforehand.
func (m *metrics) Describe(chan<- *prometheus.Desc) {}

// Collect is part of prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	out <- prometheus.MustNewConstMetric(instancesDesc, prometheus.GaugeValue, float64(m.instances.Load()))
	m.maker.mu.Lock()
	modules := len(m.maker.modules)
	m.maker.mu.Unlock()
	out <- prometheus.MustNewConstMetric(modulesDesc, prometheus.GaugeValue, float64(modules))
	out <- prometheus.MustNewConstMetric(startsDesc, prometheus.CounterValue, float64(m.starts.Load()))
	out <- prometheus.MustNewConstMetric(startTimeDesc, prometheus.CounterValue, time.Duration(m.starting.Load()).Seconds())
	m.faults.Collect(out)
	m.lost.Collect(out)
	m.maker.guests.Collect(out)
}

// fault counts, logs and reports a fault. At most one a second is logged for
// each use.
func (m *maker) fault(f plugins.Fault) {
	m.metrics.faults.WithLabelValues(f.Use, f.Reason).Inc()
	t := m.metrics
	t.mu.Lock()
	logged := f.Time.Sub(t.logged[f.Use]) >= time.Second
	unlogged := t.quiet[f.Use]
	if logged {
		t.logged[f.Use] = f.Time
		delete(t.quiet, f.Use)
	} else {
		t.quiet[f.Use]++
	}
	t.mu.Unlock()
	if logged {
		attrs := []any{"plugin", f.Use, "reason", f.Reason, "detail", f.Detail}
		if !f.Restart.IsZero() {
			attrs = append(attrs, "restart", f.Restart.Sub(f.Time))
		}
		if unlogged > 0 {
			attrs = append(attrs, "unlogged", unlogged)
		}
		m.process.Log.Error("a plugin failed", attrs...)
	}
	if m.process.Report != nil {
		m.process.Report(f)
	}
}
