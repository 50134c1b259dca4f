package compiler

import (
	"slices"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema/kuma"
)

// defaultPanic is Envoy's own panic threshold, in percent. It counts wherever
// endpoints may be left out.
const defaultPanic = 50

// lowerHealthCheck sets the active checks of a cluster that speaks protocol.
func lowerHealthCheck(c *snapshot.Cluster, h *kuma.HealthCheck, protocol string) {
	conf := &h.Conf
	plain := snapshot.HealthCheck{
		Interval: snapshot.Duration(conf.Interval), Timeout: snapshot.Duration(conf.Timeout),
		Unhealthy: conf.UnhealthyThreshold, Healthy: conf.HealthyThreshold,
		InitialJitter: snapshot.Duration(conf.InitialJitter), Jitter: snapshot.Duration(conf.IntervalJitter),
		JitterPercent:     conf.IntervalJitterPercent,
		NoTrafficInterval: snapshot.Duration(conf.NoTrafficInterval),
		Fresh:             conf.ReuseConnection != nil && !*conf.ReuseConnection,
	}
	var checks []snapshot.HealthCheck
	if conf.HTTP != nil {
		check := plain
		check.HTTP = lowerHTTPCheck(conf.HTTP, protocol)
		checks = append(checks, check)
	}
	if conf.TCP != nil || conf.HTTP == nil {
		check := plain
		if conf.TCP != nil {
			check.Send, check.Receive = base64Line(conf.TCP.Send), snapshot.ListOfFunc(len(conf.TCP.Receive), func(i int) string { return base64Line(conf.TCP.Receive[i]) })
		}
		checks = append(checks, check)
	}
	c.Checks = snapshot.ListOf(checks...)
	c.Panic, c.FailOnPanic = defaultPanic, conf.FailTrafficOnPanic
	if conf.HealthyPanicThreshold != nil {
		c.Panic = uint32(*conf.HealthyPanicThreshold)
	}
}

// lowerHTTPCheck makes the request of a check. Servers of http2 and grpc are
// asked in HTTP/2, which is all that they need to speak.
func lowerHTTPCheck(h *kuma.HTTPCheck, protocol string) snapshot.HTTPCheck {
	out := snapshot.HTTPCheck{Path: h.Path, HTTP2: (protocol == "http2" || protocol == "grpc") && !h.UseHTTP1}
	if !strings.HasPrefix(out.Path, "/") {
		out.Path = "/" + out.Path
	}
	var set, add []snapshot.HeaderField
	for _, header := range h.RequestHeadersToAdd {
		field := snapshot.HeaderField{Name: strings.ToLower(header.Header.Key), Value: header.Header.Value}
		if (header.Append == nil || *header.Append) && field.Name != "host" { // of which there is one
			add = append(add, field)
		} else {
			set = append(set, field)
		}
	}
	out.Headers = snapshot.HeaderChanges{Set: snapshot.ListOf(set...), Add: snapshot.ListOf(add...)}
	statuses := make([]uint32, len(h.ExpectedStatuses))
	for i, status := range h.ExpectedStatuses {
		statuses[i] = uint32(status)
	}
	slices.Sort(statuses)
	out.Statuses = snapshot.ListOf(slices.Compact(statuses)...)
	return out
}

// base64Line returns base64 without the line breaks that documents may have in it.
func base64Line(text string) string { return strings.NewReplacer("\r", "", "\n", "").Replace(text) }
