package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meshc/meshc/runtime/status"
)

// reloadMetrics are what an operator watches to learn that what serves is not
// what is written.
func reloadMetrics(board *status.Board) []prometheus.Collector {
	counter := func(result string, value func(status.Attempts) uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "meshc_reloads_total", Help: "Attempts to put the input into effect.",
			ConstLabels: prometheus.Labels{"result": result},
		}, func() float64 { return float64(value(board.Attempts())) })
	}
	gauge := func(name, help string, value func(status.Attempts) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(board.Attempts()) })
	}
	return []prometheus.Collector{
		counter("ok", func(a status.Attempts) uint64 { return a.Succeeded }),
		counter("failed", func(a status.Attempts) uint64 { return a.Failed }),
		gauge("meshc_reload_up_to_date", "1 if the last attempt succeeded, 0 if an older snapshot serves.", func(a status.Attempts) float64 {
			if a.LastOK {
				return 1
			}
			return 0
		}),
		gauge("meshc_reload_last_success_timestamp_seconds", "When an attempt last succeeded, in seconds since 1970; 0 before.", func(a status.Attempts) float64 {
			if a.LastSuccess.IsZero() {
				return 0
			}
			return float64(a.LastSuccess.UnixMilli()) / 1e3
		}),
	}
}
