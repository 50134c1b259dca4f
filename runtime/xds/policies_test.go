package xds_test

import (
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

const second = snapshot.Duration(time.Second)

// policies is a world in which policies have something to say of everything.
func policies() snapshot.Snapshot {
	headers := func(prefix string) snapshot.HeaderChanges {
		return snapshot.HeaderChanges{
			Remove: snapshot.ListOf("x-" + prefix + "-removed"),
			Set:    snapshot.ListOf(snapshot.HeaderField{Name: "x-" + prefix + "-set", Value: "100%"}),
			Add:    snapshot.ListOf(snapshot.HeaderField{Name: "x-" + prefix + "-added"}),
		}
	}
	h := host("web", []string{"*"}, "/", "web~timeout=slow", "web")
	all := h.Routes.At(0)
	all.Headers = snapshot.ListOf(
		snapshot.HeaderMatch{Name: "x-version", Prefix: "v1"},
		snapshot.HeaderMatch{Name: ":method", Regex: "GET|PUT"},
	)
	all.Rewrite = snapshot.PathRewrite{Global: true, Regex: "/a/(.)", Substitution: `/b/\1`}
	all.Host = snapshot.HostRewrite{Value: "other.example"}
	all.RequestHeaders, all.ResponseHeaders = headers("request"), headers("response")
	all.Timeout, all.IdleTimeout = 15*second, 60*second
	all.Retry = snapshot.Retry{
		On: snapshot.ListOf("connect-failure", "refused-stream", "retriable-status-codes"), Statuses: snapshot.ListOf(uint32(500), 504),
		Attempts: 5, PerTryTimeout: second, BackOffBase: second / 10, BackOffMax: second,
	}
	grpc := snapshot.Route{
		Name: "grpc", PathPrefix: "/", Targets: targets("grpc"),
		Host: snapshot.HostRewrite{PathRegex: `/([^/]+)/.*`, Substitution: `\1.example`},
		Retry: snapshot.Retry{
			On:       snapshot.ListOf("cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable"),
			Attempts: 1, BackOffBase: second / 40, BackOffMax: second / 4,
		},
	}
	h.Routes = snapshot.ListOf(all, grpc)
	tcp := outboundTCP(10002, "random")
	tcp.IdleTimeout, tcp.ConnectAttempts = 30*second, 4
	udp := outboundTCP(10002, "random")
	udp.Name, udp.Protocol, udp.SourceRanges = "outbound:127.0.0.1:10002/udp", snapshot.UDP, snapshot.ListOf("192.0.2.0/24")
	answers := outbound(10004, host("health", []string{"*"}, "/"))
	answer := answers.VirtualHosts.At(0)
	given := answer.Routes.At(0)
	given.Answer = snapshot.Answer{Status: 200, ContentType: "application/json", Body: `{"localEndpoints":1}`}
	shown := snapshot.Route{Name: "metrics", PathExact: "/m", Methods: snapshot.ListOf("GET"), Answer: snapshot.Answer{Status: 200, Metrics: true}}
	answer.Routes = snapshot.ListOf(shown, given)
	answers.VirtualHosts = snapshot.ListOf(answer)
	answers.IfLocal, answers.SourceRanges = true, snapshot.ListOf("10.0.0.0/8", "2001:db8::/32")
	check := snapshot.HealthCheck{Interval: 10 * second, Timeout: 2 * second, Unhealthy: 3, Healthy: 1}
	return world([]service{
		{name: "web", endpoints: []snapshot.Endpoint{at("192.0.2.1", 80), at("192.0.2.2", 80)}},
		{name: "web~timeout=slow", more: func(c *snapshot.Cluster) {
			c.Endpoints, c.IdleTimeout, c.MaxDuration = "web", 60*second, 600*second
			c.Balancing, c.Choices = snapshot.LeastRequest, 3
			http := check
			http.HTTP = snapshot.HTTPCheck{Path: "/health", Statuses: snapshot.ListOf(uint32(200), 204), Headers: headers("check")}
			http.InitialJitter, http.Jitter, http.JitterPercent, http.NoTrafficInterval, http.Fresh = second, second, 10, 5*second, true
			c.Checks, c.Panic, c.FailOnPanic = snapshot.ListOf(http), 30, true
			c.Thresholds = snapshot.Thresholds{MaxConnections: 1, MaxPendingRequests: 2, MaxRequests: 3, MaxRetries: 4}
		}},
		{name: "grpc", http2: true, endpoints: []snapshot.Endpoint{at("192.0.2.3", 80)}, more: func(c *snapshot.Cluster) {
			c.Balancing, c.Ring = snapshot.RingHash, snapshot.Ring{Hash: "MURMUR_HASH_2", Min: 64, Max: 1024}
			tcp := check
			tcp.Send, tcp.Receive = "UElORw==", snapshot.ListOf("UE9ORw==")
			c.Checks = snapshot.ListOf(tcp)
			c.Outliers = snapshot.Outliers{
				Interval: 5 * second, BaseEjectionTime: 30 * second, MaxEjectionPercent: 20, SplitLocal: true,
				TotalErrors: 10, GatewayErrors: 5, LocalErrors: 2,
				StandardDeviation: snapshot.SuccessRate{MinimumHosts: 5, RequestVolume: 10, Factor: 1900},
				Failure:           snapshot.SuccessRate{MinimumHosts: 4, RequestVolume: 20, Threshold: 85},
			}
		}},
		{name: "random", tcp: true, endpoints: []snapshot.Endpoint{at("192.0.2.4", 80)}, more: func(c *snapshot.Cluster) {
			c.Balancing, c.Checks = snapshot.Random, snapshot.ListOf(check)
			c.Outliers = snapshot.Outliers{TotalErrors: 5, MaxEjectionPercent: 10}
		}},
		{name: "maglev", more: func(c *snapshot.Cluster) { c.Balancing = snapshot.Maglev }},
	}, proxy("default.web", outbound(10001, h), tcp, outboundTCP(10003, "maglev"), udp, answers))
}
