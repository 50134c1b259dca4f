package xds

import "github.com/prometheus/client_golang/prometheus"

// metrics counts what the server does; labels have few values.
type metrics struct {
	nodes   *prometheus.GaugeVec   // protocol
	pushes  *prometheus.CounterVec // type
	bytes   *prometheus.CounterVec // type
	nacks   *prometheus.CounterVec // type
	refused *prometheus.CounterVec // reason
	logged  prometheus.Counter
}

func newMetrics() metrics {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "meshc", Subsystem: "xds", Name: name, Help: help,
		}, []string{"type"})
	}
	return metrics{
		nodes: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "meshc", Subsystem: "xds", Name: "nodes", Help: "Connected xDS clients.",
		}, []string{"protocol"}),
		pushes: counter("pushes_total", "Responses sent to xDS clients."),
		bytes:  counter("push_bytes_total", "Bytes of responses sent to xDS clients, before gRPC's framing."),
		nacks:  counter("nacks_total", "Refusals by xDS clients, one for each resource named."),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "meshc", Subsystem: "xds", Name: "clients_refused_total",
			Help: "Clients whose TLS handshake failed, and those whose certificate is for another node.",
		}, []string{"reason"}),
		logged: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "meshc", Subsystem: "xds", Name: "access_log_entries_total", Help: "Requests and connections that Envoys logged here.",
		}),
	}
}

func (m metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.nodes, m.pushes, m.bytes, m.nacks, m.refused, m.logged}
}

// Describe implements prometheus.Collector.
func (s *Server) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range s.metrics.all() {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (s *Server) Collect(ch chan<- prometheus.Metric) {
	for _, c := range s.metrics.all() {
		c.Collect(ch)
	}
}
