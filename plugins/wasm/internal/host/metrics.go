package host

import (
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meshc/meshc/plugins/wasm/internal/abi"
)

// Bounds on the metrics of guests: how many one plugin may be the first to
// define, the length of a name, and how many ids of a sort an instance may have.
const (
	maxMetrics    = 1000
	maxMetricName = 1024
	maxMetricIDs  = 10_000
)

// Metrics are those that guests define, by name and sort, for the whole
// process. They stay when the plugin that defined them goes, as counters must.
type Metrics struct {
	mu     sync.Mutex
	byName map[metricKey]*metric
	byUse  map[string]int // how many a plugin was the first to define
	shown  map[string]int // the names on /metrics that are taken, with the number that the next such name gets
}

type metricKey struct {
	name string
	sort abi.MetricType
}

// metric is a counter, a gauge or a histogram.
type metric struct {
	sort    abi.MetricType
	desc    *prometheus.Desc
	value   atomic.Uint64 // of a gauge as well: Envoy's are unsigned
	buckets *[len(histogramBounds) + 1]atomic.Uint64
	sum     atomic.Uint64
}

// histogramBounds are Envoy's default ones.
var histogramBounds = [...]float64{0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000}

// NewMetrics returns no metrics.
func NewMetrics() *Metrics {
	return &Metrics{byName: map[metricKey]*metric{}, byUse: map[string]int{}, shown: map[string]int{}}
}

// define returns the metric of a name and sort, or nil when a plugin has defined
// too many.
func (m *Metrics) define(use string, t abi.MetricType, name string) *metric {
	if len(name) > maxMetricName {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if found := m.byName[metricKey{name, t}]; found != nil {
		return found
	}
	if m.byUse[use] >= maxMetrics {
		return nil
	}
	m.byUse[use]++
	name = string([]byte(name))
	first := shownName(name)
	shown := first
	for m.shown[shown] > 0 { // another sort, or a name that differs in odd characters
		m.shown[first]++
		shown = first + "_" + strconv.Itoa(m.shown[first])
	}
	m.shown[shown] = 1
	made := &metric{sort: t, desc: prometheus.NewDesc(shown, "Defined by a Wasm plugin.", nil, nil)}
	if t == abi.Histogram {
		made.buckets = new([len(histogramBounds) + 1]atomic.Uint64)
	}
	m.byName[metricKey{name, t}] = made
	return made
}

// shownName is the name of a guest's metric on /metrics.
func shownName(name string) string {
	return "wasmcustom_" + strings.Map(func(r rune) rune {
		if r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
			return r
		}
		return '_'
	}, name)
}

// Describe is part of prometheus.Collector: what guests define is not known
// beforehand.
func (m *Metrics) Describe(chan<- *prometheus.Desc) {}

// Collect is part of prometheus.Collector.
func (m *Metrics) Collect(out chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range m.byName {
		switch v.sort {
		case abi.Counter:
			out <- prometheus.MustNewConstMetric(v.desc, prometheus.CounterValue, float64(v.value.Load()))
		case abi.Gauge:
			out <- prometheus.MustNewConstMetric(v.desc, prometheus.GaugeValue, float64(v.value.Load()))
		case abi.Histogram:
			buckets := make(map[float64]uint64, len(histogramBounds))
			var n uint64
			for i, bound := range histogramBounds {
				n += v.buckets[i].Load()
				buckets[bound] = n
			}
			n += v.buckets[len(histogramBounds)].Load()
			out <- prometheus.MustNewConstHistogram(v.desc, n, float64(v.sum.Load()), buckets)
		}
	}
}

func (m *metric) record(v uint64) {
	i := sort.SearchFloat64s(histogramBounds[:], float64(v))
	m.buckets[i].Add(1)
	m.sum.Add(v)
}

// metricIDs are the metrics that one instance has defined: those of each sort
// have ids 4 apart, with the sort in the low two bits.
type metricIDs struct {
	of [abi.MetricTypes][]*metric
}

func (ids *metricIDs) get(id uint32) (m *metric, sort abi.MetricType) {
	sort = abi.MetricType(id & sortMask)
	if sort >= abi.MetricTypes {
		return nil, sort
	}
	if n := int(id>>2) - 1; n >= 0 && n < len(ids.of[sort]) {
		return ids.of[sort][n], sort
	}
	return nil, sort
}

func defineMetric(i *Instance, p []uint64) abi.Status {
	name, ok := i.text(p[1], p[2])
	if !ok {
		return abi.InvalidMemoryAccess
	}
	t := abi.MetricType(p[0])
	if t >= abi.MetricTypes {
		return abi.BadArgument
	}
	r := i.current.root
	if r == nil {
		return abi.BadArgument
	}
	i.spend(heavyCost)
	m := i.config.Metrics.define(r.plugin.Name, t, name)
	if m == nil {
		return abi.InternalFailure
	}
	// Each definition has an id of its own, as in Envoy, until a guest that
	// defines what it has defined already has used up what it may have.
	list := &i.metrics.of[t]
	n := len(*list)
	if n < maxMetricIDs {
		*list = append(*list, m)
	} else if n = slices.Index(*list, m); n < 0 {
		return abi.InternalFailure
	}
	return i.answer32(p[3], uint32(n+1)<<2|uint32(t))
}

func incrementMetric(i *Instance, p []uint64) abi.Status {
	m, t := i.metrics.get(uint32(p[0]))
	offset := int64(p[1])
	switch {
	case t != abi.Counter && t != abi.Gauge:
		return abi.BadArgument
	case m == nil:
		return abi.NotFound
	case t == abi.Counter && offset <= 0:
		return abi.BadArgument
	}
	m.value.Add(uint64(offset))
	return abi.Ok
}

func recordMetric(i *Instance, p []uint64) abi.Status {
	m, t := i.metrics.get(uint32(p[0]))
	if m == nil {
		return abi.NotFound
	}
	switch t {
	case abi.Counter:
		m.value.Add(p[1])
	case abi.Gauge:
		m.value.Store(p[1])
	default:
		m.record(p[1])
	}
	return abi.Ok
}

func getMetric(i *Instance, p []uint64) abi.Status {
	m, t := i.metrics.get(uint32(p[0]))
	if t != abi.Counter && t != abi.Gauge {
		return abi.BadArgument
	}
	if m == nil {
		return abi.NotFound
	}
	return i.answer64(p[1], m.value.Load())
}
