// Package tracing is the policy kind of Kuma's TrafficTrace: a span for each
// request, sent to a Zipkin collector, and the context of the trace passed on
// in B3 and W3C headers, as Envoy's Zipkin tracer does.
package tracing

import "github.com/meshc/meshc/plugins"

// Kind is the kind "tracing".
var Kind = plugins.Kind{
	Name:  "tracing",
	Open:  func(p plugins.Process) (plugins.Maker, error) { return newMaker(p), nil },
	Check: check,
	Policies: []plugins.Policy{{
		Document: "kuma/TrafficTrace",
		Side:     plugins.PerProxy, HTTP: true, Inbound: true, Gateway: true,
		Resolve: resolve,
	}},
	Envoy: envoy,
}
