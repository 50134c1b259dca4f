package compiler

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/kuma"
)

// checkRoutes reports what is wrong with a TrafficRoute whoever it applies to.
func (b *build) checkRoutes() {
	for _, d := range b.routes {
		conf := &d.Body.(*kuma.TrafficRoute).Conf
		b.checkShares(d, &conf.Shares, []any{"conf"})
		b.checkBalancer(d, conf.LoadBalancer)
		for i := range conf.HTTP {
			path := []any{"conf", "http", i}
			b.checkHTTPRoute(d, &conf.HTTP[i], path)
			b.checkShares(d, &conf.HTTP[i].Shares, path)
		}
	}
}

// checkShares reports what is wrong with the shares that d has at path.
func (b *build) checkShares(d *schema.Document, shares *kuma.Shares, path []any) {
	at := func(more ...any) []any { return slices.Concat(path, more) }
	var sum uint64
	for i, part := range shares.Arms() {
		sum += uint64(part.Weight)
		name := part.Destination[kuma.ServiceTag]
		if name == "*" {
			continue
		}
		field := at("split", i, "destination")
		if shares.Destination != nil {
			field = at("destination")
		}
		s := b.service(serviceKey{d.Mesh, name})
		if s == nil {
			b.reportUnknownService(diag.Error, d, append(field, kuma.ServiceTag), d.Mesh, name)
			continue
		}
		if part.Weight > 0 && len(s.endpoints) > 0 && !s.hasSubset(part.Destination) {
			b.reportMissing(name, diag.CodeMatchesNothing, diag.Warning, d, field,
				fmt.Sprintf("no endpoint of service %s has these tags, so this share of the traffic gets 503", name),
				"use tags that an inbound of the service carries")
		}
	}
	if d.Body.(*kuma.TrafficRoute).Conf.LoadBalancer == nil { // which decides
		b.tellHashes(d, shares, at("split"))
	}
	if sum > math.MaxUint32 {
		b.report(diag.CodeInvalid, diag.Error, d, at("split"),
			fmt.Sprintf("the weights add up to %d", sum), fmt.Sprintf("keep the sum at or below %d", uint32(math.MaxUint32)))
	}
	if sum == 0 && len(shares.Split) > 0 {
		b.report(diag.CodeMatchesNothing, diag.Warning, d, at("split"),
			"every weight is 0, so the traffic goes nowhere and gets 503", "give at least one destination a weight")
	}
}

const regexHint = "write it in RE2 syntax, as in /v[0-9]+/.*"

// checkHTTPRoute reports what is wrong with the conditions and changes of r,
// which d has at path.
func (b *build) checkHTTPRoute(d *schema.Document, r *kuma.HTTPRoute, path []any) {
	invalid := func(message, hint string, field ...any) {
		b.report(diag.CodeInvalid, diag.Error, d, slices.Concat(path, field), message, hint)
	}
	regex := func(text string, field ...any) {
		if text == "" {
			return
		}
		if _, err := snapshot.ParseRegex(text); err != nil {
			invalid(fmt.Sprintf("%q is not a regular expression: %v", text, err), regexHint, field...)
		}
	}
	if m := r.Match.Path; m != nil {
		regex(m.Regex, "match", "path", "regex")
		for field, text := range map[string]string{"prefix": m.Prefix, "exact": m.Exact} {
			if text != "" && !strings.HasPrefix(text, "/") {
				invalid(fmt.Sprintf("%q matches no path", text), "every path begins with /", "match", "path", field)
			}
		}
	}
	if m := r.Match.Method; m != nil {
		regex(m.Regex, "match", "method", "regex")
	}
	for _, name := range slices.Sorted(maps.Keys(r.Match.Headers)) {
		if text := r.Match.Headers[name].Regex; text != "" {
			if _, err := snapshot.ParseRegex(text); err != nil {
				invalid("the value is not a regular expression: "+regexProblem(err), regexHint, "match", "headers", name, "regex")
			}
		}
	}
	if to := r.Modify.Path.RewritePrefix; to != nil && (r.Match.Path == nil || r.Match.Path.Prefix == "") {
		invalid("there is no prefix to replace", "set match.path.prefix, or rewrite by modify.path.regex", "modify", "path", "rewritePrefix")
	}
	replace := func(x *kuma.Replace, field ...any) {
		if x == nil {
			return
		}
		if _, _, err := (snapshot.PathRewrite{Regex: x.Pattern, Substitution: x.Substitution, Global: true}).Parse(); err != nil {
			invalid(fmt.Sprintf("it cannot replace anything: %v", err), "write pattern in RE2 syntax, and groups in substitution as \\1", field...)
		}
	}
	replace(r.Modify.Path.Regex, "modify", "path", "regex")
	replace(r.Modify.Host.FromPath, "modify", "host", "fromPath")
}

// lowerHTTPRoute returns what r matches and changes, as a route without targets.
func lowerHTTPRoute(name string, r *kuma.HTTPRoute) snapshot.Route {
	out := snapshot.Route{Name: name}
	switch m := r.Match.Path; {
	case m == nil:
		out.PathPrefix = "/"
	case m.Regex != "":
		out.PathRegex = m.Regex
	case m.Exact != "":
		out.PathExact = m.Exact
	default:
		out.PathPrefix = m.Prefix
	}
	var headers []snapshot.HeaderMatch
	if m := r.Match.Method; m != nil {
		if m.Exact != "" {
			out.Methods = snapshot.ListOf(m.Exact)
		} else {
			headers = append(headers, lowerTextMatch(":method", *m))
		}
	}
	for _, written := range slices.Sorted(maps.Keys(r.Match.Headers)) { // some may differ in case alone
		name := strings.ToLower(written)
		if name == "host" {
			name = ":authority" // as Envoy takes it
		}
		headers = append(headers, lowerTextMatch(name, r.Match.Headers[written]))
	}
	slices.SortStableFunc(headers, func(x, y snapshot.HeaderMatch) int { return strings.Compare(x.Name, y.Name) })
	out.Headers = snapshot.ListOf(headers...)

	switch modify := &r.Modify.Path; {
	case modify.RewritePrefix != nil && out.PathPrefix != "":
		out.Rewrite = snapshot.PathRewrite{
			Regex: "^" + regexp.QuoteMeta(out.PathPrefix), Substitution: strings.ReplaceAll(*modify.RewritePrefix, `\`, `\\`),
		}
	case modify.Regex != nil:
		out.Rewrite = snapshot.PathRewrite{Regex: modify.Regex.Pattern, Substitution: modify.Regex.Substitution, Global: true}
	}
	out.Host.Value = r.Modify.Host.Value
	if from := r.Modify.Host.FromPath; from != nil {
		out.Host = snapshot.HostRewrite{PathRegex: from.Pattern, Substitution: from.Substitution}
	}
	out.RequestHeaders = lowerHeaderChanges(r.Modify.RequestHeaders)
	out.ResponseHeaders = lowerHeaderChanges(r.Modify.ResponseHeaders)
	return out
}

func lowerTextMatch(name string, m kuma.TextMatch) snapshot.HeaderMatch {
	out := snapshot.HeaderMatch{Name: name, Prefix: m.Prefix, Regex: m.Regex}
	if m.Exact != "" {
		out.Values = snapshot.ListOf(m.Exact)
	}
	return out
}

func lowerHeaderChanges(c kuma.HeaderChanges) snapshot.HeaderChanges {
	var remove []string
	for _, x := range c.Remove {
		remove = append(remove, strings.ToLower(x.Name))
	}
	var set, add []snapshot.HeaderField
	for _, x := range c.Add {
		f := snapshot.HeaderField{Name: strings.ToLower(x.Name), Value: x.Value}
		if x.Append {
			add = append(add, f)
		} else {
			set = append(set, f)
		}
	}
	return snapshot.HeaderChanges{Remove: snapshot.ListOf(remove...), Set: snapshot.ListOf(set...), Add: snapshot.ListOf(add...)}
}
