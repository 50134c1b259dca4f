package compiler

import (
	"fmt"
	"strings"

	"github.com/meshc/meshc/schema/kong"
)

func (w *wishes) kongService(k *kong.Service) {
	if _, tls := plainProtocol(k.Protocol); tls && verifies(k) && len(k.CACertificates) == 0 {
		w.notEnforced([]any{"tls_verify"}, "tls_verify against the authorities that Kong's machine trusts", "name those that are meant as ca_certificates; remove tls_verify to take any server for the upstream")
	}
	if read, write := kongTimeouts(w.doc); write < read && (k.Protocol == "grpc" || k.Protocol == "grpcs") {
		w.written("has no effect beside a longer read_timeout: a server that takes no more of a stream is given up after that time", []any{"write_timeout"})
	}
}

func (w *wishes) kongRoute(r *kong.Route) {
	switch {
	case r.Expression != "":
		w.notApplied([]any{"expression"}, "the route is left out: meshc has the traditional router only", "say what it matches by methods, hosts, paths and headers")
		return
	case !plainHTTP(r) && !secureHTTP(r) && !carriesBytes(r):
		w.notApplied([]any{"protocols"}, fmt.Sprintf("the route is left out: the gateway takes no %s", strings.Join(r.Protocols, " or ")), "")
	case r.Service == nil:
		w.notApplied([]any{"service"}, "the route is left out: it has no service, and the plugins that would answer do not run", "")
	}
}

func (w *wishes) kongUpstream(u *kong.Upstream) {
	switch {
	case u.Algorithm == "consistent-hashing":
		w.kongHashing(u)
	case u.Algorithm != "round-robin" && u.Algorithm != "least-connections":
		w.notApplied([]any{"algorithm"}, fmt.Sprintf("algorithm %s is not known to this build: requests go round robin", u.Algorithm), "")
	}
	w.kongHealthchecks(&u.Healthchecks)
	if u.UseSRVName {
		w.notApplied([]any{"use_srv_name"}, "SRV records are not looked up", "")
	}
}

// kongHealthchecks tells what kongUpkeep makes of h that Kong would not.
func (w *wishes) kongHealthchecks(h *kong.Healthchecks) {
	at := func(more ...any) []any { return append([]any{"healthchecks"}, more...) }
	a := &h.Active
	switch out, _ := fewest(a.Unhealthy.Failures); {
	case a.Healthy.Interval == 0 && a.Unhealthy.Interval == 0:
	case strings.HasPrefix(a.Type, "grpc"):
		w.notApplied(at("active"), "targets are not probed: type "+a.Type+" is not known to this build", "probe them by http or tcp")
	case out == 0:
		w.notApplied(at("active"), "targets are not probed: no number of failures takes one out", "set http_failures, tcp_failures and timeouts of unhealthy")
	default:
		if a.Healthy.Interval == 0 || a.Unhealthy.Interval == 0 {
			interval, _ := kongIntervals(a)
			w.notApplied(at("active"), fmt.Sprintf("all targets are probed every %v, healthy or not", interval), "give both healthy and unhealthy an interval")
		}
		if a.Healthy.Successes == 0 {
			w.notApplied(at("active", "healthy"), "the first probe that succeeds brings a target back; for Kong, successes: 0 means that none does", "set successes")
		}
		w.oneCount(at("active", "unhealthy"), a.Unhealthy.Failures)
		w.written("has no effect: each target is probed by itself", at("active", "concurrency"))
		w.written("has no effect: targets are probed as requests reach them, over TLS where the Service says so", at("active", "https_sni"), at("active", "https_verify_certificate"))
	}
	p := h.Passive.Unhealthy
	w.oneCount(at("passive", "unhealthy"), kong.Failures{TCPFailures: p.TCPFailures, Timeouts: p.Timeouts})
	if p.HTTPFailures+p.TCPFailures+p.Timeouts > 0 {
		w.written("has no effect: a target that was taken out comes back after 30s, then 60s, and so on, or when a probe succeeds", at("passive", "healthy"))
	}
}

// oneCount warns where failures are counted apart from one another.
func (w *wishes) oneCount(path []any, f kong.Failures) {
	if least, differ := fewest(f); differ {
		w.notApplied(path, fmt.Sprintf("failures of all sorts are counted together: %d in a row take a target out", least), "give all of them the same number")
	}
}
