package compiler

import (
	"fmt"
	"strings"

	"github.com/meshc/meshc/schema/kong"
)

func (w *wishes) kongService(k *kong.Service) {
	switch k.Protocol {
	case "http", "grpc", "https", "grpcs", "ws", "wss":
	default:
		w.notApplied([]any{"protocol"}, fmt.Sprintf("the gateway leaves out services of protocol %s; dataplanes carry its bytes", k.Protocol), "")
	}
	if _, tls := plainProtocol(k.Protocol); tls && verifies(k) && len(k.CACertificates) == 0 {
		w.notEnforced([]any{"tls_verify"}, "tls_verify against the authorities that Kong's machine trusts", "name those that are meant as ca_certificates; remove tls_verify to take any server for the upstream")
	}
	if kongTimeout(k.WriteTimeout) != kongTimeout(k.ReadTimeout) {
		w.written("has no effect beside read_timeout: a request or an answer that stops is given up after that time", []any{"write_timeout"})
	}
}

func (w *wishes) kongRoute(r *kong.Route) {
	switch {
	case r.Expression != "":
		w.notApplied([]any{"expression"}, "the route is left out: meshc has the traditional router only", "say what it matches by methods, hosts, paths and headers")
		return
	case !plainHTTP(r) && !secureHTTP(r):
		w.notApplied([]any{"protocols"}, fmt.Sprintf("the route is left out: the gateway takes requests, and not %s", strings.Join(r.Protocols, " or ")), "")
	case r.Service == nil:
		w.notApplied([]any{"service"}, "the route is left out: it has no service, and the plugins that would answer do not run", "")
	}
}

func (w *wishes) kongUpstream(u *kong.Upstream) {
	switch {
	case u.Algorithm == "consistent-hashing" && u.HashOn != "ip":
		w.notApplied([]any{"hash_on"}, fmt.Sprintf("requests are not kept together by %s, but go round robin", u.HashOn), "hash_on: ip keeps a client on its target")
	case u.Algorithm != "round-robin" && u.Algorithm != "least-connections" && u.Algorithm != "consistent-hashing":
		w.notApplied([]any{"algorithm"}, fmt.Sprintf("algorithm %s is not known to this build: requests go round robin", u.Algorithm), "")
	}
	if a := u.Healthchecks.Active; a.Healthy.Interval > 0 || a.Unhealthy.Interval > 0 {
		w.notApplied([]any{"healthchecks", "active"}, "targets are not probed: each gets its share of the requests", "")
	}
	if p := u.Healthchecks.Passive.Unhealthy; p.TCPFailures+p.Timeouts+p.HTTPFailures > 0 {
		w.notApplied([]any{"healthchecks", "passive"}, "failures are not counted: each target gets its share of the requests", "")
	}
	if u.UseSRVName {
		w.notApplied([]any{"use_srv_name"}, "SRV records are not looked up", "")
	}
}
