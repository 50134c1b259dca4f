package compiler_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// render writes what a data plane would do, and leaves digests out.
func render(s snapshot.Snapshot) string {
	var b bytes.Buffer
	for _, p := range s.Proxies.All() {
		fmt.Fprintf(&b, "proxy %s\n%s", p.ID, renderIdentities(p.Identities))
		if p.RawOnly {
			b.WriteString("  for Envoy, raw resources alone\n")
		}
		for _, r := range p.Raw.All() {
			fmt.Fprintf(&b, "  raw %s, from %s\n", r.JSON, strings.Join(r.Sources.Slice(), " "))
		}
		for _, l := range p.Listeners.All() {
			fmt.Fprintf(&b, "  listener %s %s%s", l.Name, l.Protocol, renderTargets(l.Targets))
			if l.IdleTimeout != 0 || l.ConnectAttempts != 0 {
				fmt.Fprintf(&b, " (idle %v, attempts %d)", time.Duration(l.IdleTimeout), l.ConnectAttempts)
			}
			if l.IfLocal {
				b.WriteString(" (where local)")
			}
			if l.SourceRanges.Len() > 0 {
				fmt.Fprintf(&b, " (from %s)", strings.Join(l.SourceRanges.Slice(), " "))
			}
			b.WriteString("\n" + renderAccess(l))
			for _, c := range l.Chains.All() {
				fmt.Fprintf(&b, "    chain %s %s for %s%s", c.Name, c.Protocol, strings.Join(c.ServerNames.Slice(), " "), renderTargets(c.Targets))
				for _, s := range c.Certificates.All() {
					fmt.Fprintf(&b, " shows %s", s.Cert)
				}
				if c.SourceRanges.Len() > 0 {
					fmt.Fprintf(&b, " (from %s)", strings.Join(c.SourceRanges.Slice(), " "))
				}
				fmt.Fprintf(&b, ", from %s\n", strings.Join(c.Sources.Slice(), " "))
			}
			for _, f := range l.Filters.All() {
				b.WriteString(renderFilter(f))
			}
			for _, h := range l.VirtualHosts.All() {
				fmt.Fprintf(&b, "    host %s: %s\n", h.Name, strings.Join(h.Domains.Slice(), " "))
				for _, r := range h.Routes.All() {
					b.WriteString("      ")
					if r.Name != h.Name {
						fmt.Fprintf(&b, "%s: ", r.Name)
					}
					fmt.Fprintf(&b, "%s%s", renderMatch(r), renderTargets(r.Targets))
					if r.Answer.Metrics {
						b.WriteString(" = metrics")
					} else if r.Answer.Status != 0 {
						fmt.Fprintf(&b, " = %d %q", r.Answer.Status, r.Answer.Body)
						if r.Answer.HTTPS {
							fmt.Fprintf(&b, " https://%s", r.Answer.Host)
						}
					}
					if r.HostFromEndpoint {
						b.WriteString(" (host from endpoint)")
					}
					if keys, _ := json.Marshal(r.Hash); r.Hash.Len() > 0 {
						fmt.Fprintf(&b, " (hash %s)", keys)
					}
					b.WriteString(renderBounds(r, l.Direction))
					if r.Filters.Len() > 0 {
						fmt.Fprintf(&b, " (through %s)", strings.Join(r.Filters.Slice(), " "))
					}
					b.WriteString("\n")
				}
			}
		}
	}
	endpoints := map[string]snapshot.EndpointSet{}
	for _, e := range s.Endpoints.All() {
		endpoints[e.Name] = e
	}
	for _, c := range s.Clusters.All() {
		protocol := string(c.Protocol)
		if c.HTTP2 {
			protocol += "+http2"
		}
		fmt.Fprintf(&b, "cluster %s %s %s %s, from %s\n", c.Name, protocol, c.Discovery, c.Balancing, strings.Join(c.Sources.Slice(), " "))
		b.WriteString(renderTreatment(c))
		set := endpoints[c.EndpointsName()]
		if set.Name == "" {
			b.WriteString("  has no set of endpoints\n")
		}
		if c.Endpoints != "" {
			fmt.Fprintf(&b, "  endpoints of %s\n", c.Endpoints)
			continue
		}
		for _, e := range set.Endpoints.All() {
			fmt.Fprintf(&b, "  %s:%d %s", e.Address, e.Port, e.Hostname)
			if e.Priority > 0 {
				fmt.Fprintf(&b, " (priority %d)", e.Priority)
			}
			if e.Weight != 0 {
				fmt.Fprintf(&b, " *%d", e.Weight)
			}
			if e.Transport != "" {
				fmt.Fprintf(&b, " over %s", e.Transport)
			}
			b.WriteString("\n")
		}
		b.WriteString(renderTransports(c))
	}
	b.WriteString(renderAuthorities(s))
	for _, e := range s.Endpoints.All() {
		if !slices.ContainsFunc(s.Clusters.Slice(), func(c snapshot.Cluster) bool { return c.Name == e.Name }) {
			fmt.Fprintf(&b, "endpoints %s\n", e.Name)
			for _, e := range e.Endpoints.All() {
				fmt.Fprintf(&b, "  %s:%d\n", e.Address, e.Port)
			}
		}
	}
	for _, blob := range s.Blobs.All() {
		fmt.Fprintf(&b, "blob %s %q\n", blob.Digest.Short(), blob.Data)
	}
	return strings.ReplaceAll(b.String(), " \n", "\n")
}

func renderFilter(f snapshot.Filter) string {
	out := fmt.Sprintf("    filter %s %s %s %s", f.Name, f.Kind, f.Blob.Short(), f.Config)
	if f.Clusters.Len() > 0 {
		out += " calls " + strings.Join(f.Clusters.Slice(), " ")
	}
	if f.Match.PathPrefix != "" || f.Match.Methods.Len() > 0 {
		out += fmt.Sprintf(" for %s %s", strings.Join(f.Match.Methods.Slice(), ","), f.Match.PathPrefix)
	}
	if f.PerRoute {
		out += " (on some routes)"
	}
	return out + fmt.Sprintf(", from %s\n", strings.Join(f.Sources.Slice(), " "))
}

// renderMatch writes what a route matches, and what it makes of the path.
func renderMatch(r snapshot.Route) string {
	out := r.PathPrefix
	if r.PathExact != "" {
		out = "= " + r.PathExact
	}
	if r.PathRegex != "" {
		out = "~ " + r.PathRegex
	}
	if r.Methods.Len() > 0 {
		out = strings.Join(r.Methods.Slice(), ",") + " " + out
	}
	for _, h := range r.Headers.All() {
		out += fmt.Sprintf(" %s=%s%s", h.Name, strings.Join(h.Values.Slice(), ","), h.Regex)
		if h.Prefix != "" {
			out += h.Prefix + "*"
		}
	}
	if r.ServerNames.Len() > 0 {
		out += fmt.Sprintf(" (of %s)", strings.Join(r.ServerNames.Slice(), " "))
	}
	if r.Rewrite != (snapshot.PathRewrite{}) {
		out += fmt.Sprintf(" (s %s %s)", r.Rewrite.Regex, r.Rewrite.Substitution)
	}
	return out
}

func renderTargets(ts snapshot.List[snapshot.Target]) string {
	var b strings.Builder
	for _, t := range ts.All() {
		fmt.Fprintf(&b, " -> %s*%d", t.Cluster, t.Weight)
	}
	return b.String()
}

// ofKong are the bounds of a Kong Service that says nothing about them.
const ofKong = "no timeout; idle 1m0s; retry 5 connect-failure,refused-stream [] each 0s after 1ms to 1ms"

// renderBounds writes the timeouts and retries of a route where they are not
// those that every mesh has, or every service of Kong.
func renderBounds(r snapshot.Route, direction snapshot.Direction) string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	switch implied := snapshot.Duration(15 * time.Second); {
	case direction == snapshot.Inbound && r.Timeout == 0, direction != snapshot.Inbound && r.Timeout == implied:
	case r.Timeout == 0:
		add("no timeout")
	default:
		add("timeout %v", time.Duration(r.Timeout))
	}
	if r.IdleTimeout != 0 {
		add("idle %v", time.Duration(r.IdleTimeout))
	}
	if r.ReadTimeout != 0 {
		add("read %v", time.Duration(r.ReadTimeout))
	}
	if t := r.Retry; t.On.Len() > 0 {
		add("retry %d %s %v each %v after %v to %v", t.Attempts, strings.Join(t.On.Slice(), ","), t.Statuses.Slice(),
			time.Duration(t.PerTryTimeout), time.Duration(t.BackOffBase), time.Duration(t.BackOffMax))
	}
	if text := strings.Join(out, "; "); text != "" && text != ofKong {
		return " (" + text + ")"
	}
	return ""
}

// renderTreatment writes what policies make of a cluster, as JSON.
func renderTreatment(c snapshot.Cluster) string {
	part := struct {
		Connect    snapshot.Duration      `json:"connect,omitzero"`
		Write      snapshot.Duration      `json:"write,omitzero"`
		Idle       snapshot.Duration      `json:"idle,omitzero"`
		Max        snapshot.Duration      `json:"atMost,omitzero"`
		Choices    uint32                 `json:"choices,omitzero"`
		Ring       snapshot.Ring          `json:"ring,omitzero"`
		Checks     []snapshot.HealthCheck `json:"checks,omitempty"`
		Panic      uint32                 `json:"panic,omitzero"`
		FailPanic  bool                   `json:"failOnPanic,omitzero"`
		Outliers   snapshot.Outliers      `json:"outliers,omitzero"`
		Errors     []uint32               `json:"errors,omitempty"`
		Thresholds snapshot.Thresholds    `json:"thresholds,omitzero"`
	}{c.ConnectTimeout, c.WriteTimeout, c.IdleTimeout, c.MaxDuration, c.Choices, c.Ring, c.Checks.Slice(), c.Panic, c.FailOnPanic, c.Outliers, c.Errors.Slice(), c.Thresholds}
	if c.ConnectTimeout == snapshot.Duration(5*time.Second) || c.ConnectTimeout == snapshot.Duration(time.Minute) { // implied, and Kong's
		part.Connect = 0
	}
	text, err := json.Marshal(part)
	if err != nil {
		panic(err)
	}
	if string(text) == "{}" {
		return ""
	}
	return "  " + string(text) + "\n"
}
