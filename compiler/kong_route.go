package compiler

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/kong"
)

// kongRouted is what the gateway makes of a Kong Route: a route for each of its
// paths, as Kong does, and what is wrong with it.
type kongRouted struct {
	routes []kongRoute
	found  []diag.Diagnostic
}

// kongRoute is a Kong Route as the gateway serves it, for one of its paths.
type kongRoute struct {
	rank  kongRank
	parts []*gatewayRoute
}

// kongRank is what Kong's traditional router orders routes by
// (kong/router/traditional.lua).
type kongRank struct {
	attributes    int // how many of hosts, headers, paths, methods and SNIs are set
	which         int // which ones, hosts counting most
	precision     int
	headers       int
	regexPriority int64
	pathLength    int
	createdAt     int64
	name          string
	path          int
}

// compare is negative where the route of rank x is tried before that of y.
func (x kongRank) compare(y kongRank) int {
	return cmp.Or(
		cmp.Compare(y.attributes, x.attributes), cmp.Compare(y.which, x.which), cmp.Compare(y.precision, x.precision),
		cmp.Compare(y.headers, x.headers), cmp.Compare(y.regexPriority, x.regexPriority), cmp.Compare(y.pathLength, x.pathLength),
		cmp.Compare(x.createdAt, y.createdAt), cmp.Compare(x.name, y.name), cmp.Compare(x.path, y.path),
	)
}

// What routes with the same attributes differ in, as bits of kongRank.precision.
const (
	isPattern       = 1
	hasPlainHosts   = 2
	hasWildcardPort = 4
)

// plainHTTP reports whether r takes requests in the clear.
func plainHTTP(r *kong.Route) bool {
	return slices.ContainsFunc(r.Protocols, func(p string) bool { return p == "http" || p == "grpc" || p == "ws" })
}

// secureHTTP reports whether r takes requests over TLS.
func secureHTTP(r *kong.Route) bool {
	return slices.ContainsFunc(r.Protocols, func(p string) bool { return p == "https" || p == "grpcs" || p == "wss" })
}

// routes makes routes of the gateway of Kong's, in the order in which they are tried.
func (w *kongWorld) routes() {
	var all []kongRoute
	for _, d := range w.byKind["kong/Route"] {
		r := d.Body.(*kong.Route)
		if r.Service == nil || r.Expression != "" || !plainHTTP(r) && !secureHTTP(r) && !carriesBytes(r) {
			continue // unsupported tells
		}
		to := w.named["Service"][r.Service.Key()]
		if to == nil {
			continue // reported
		}
		s := w.b.services[serviceKey{"default", to.Name}] // those of Kuma come later
		if s == nil || s.doc != to {
			continue // not enabled, or its name is taken
		}
		if carriesBytes(r) {
			w.stream(d, s)
			continue
		}
		if !plainHTTP(r) && (w.b.httpsOnly == nil || d.ID() < w.b.httpsOnly.ID()) {
			w.b.httpsOnly = d
		}
		routed := w.b.c.kongRoutes.get(d, []any{s}, func() *kongRouted { return &kongRouted{kongRoutes(d, s), checkRoute(d)} })
		all = append(all, routed.routes...)
		w.b.diags = append(w.b.diags, routed.found...)
	}
	slices.SortFunc(all, func(x, y kongRoute) int { return x.rank.compare(y.rank) })
	for _, r := range all {
		w.b.gatewayRoutes = append(w.b.gatewayRoutes, r.parts...)
	}
}

// checkRoute finds patterns that are too large to serve, and conditions that no
// request meets.
func checkRoute(d *schema.Document) (found []diag.Diagnostic) {
	r := d.Body.(*kong.Route)
	report := func(code string, severity diag.Severity, path []any, message, hint string) {
		found = append(found, finding(code, severity, d, path, message, hint))
	}
	for i, path := range r.Paths {
		if pattern, ok := strings.CutPrefix(path, "~"); ok {
			if err := checkRegex("(?:" + pattern + ")" + dots + "/?.*"); err != nil {
				report(diag.CodeInvalid, diag.Error, []any{"paths", i}, fmt.Sprintf("%q cannot be served: %v", path, err), "write a smaller pattern, or several paths")
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		values := r.Headers[name]
		if len(values) == 0 {
			report(diag.CodeMatchesNothing, diag.Warning, []any{"headers", name}, "no value of the header is listed, so the route takes no request", "list the values, or remove the header")
			continue
		}
		if err := checkRegex(headerRegex(values)); err != nil {
			report(diag.CodeInvalid, diag.Error, []any{"headers", name}, fmt.Sprintf("the pattern for header %s cannot be served: %s", name, regexProblem(err)),
				"meshc knows the syntax of RE2: neither look-around nor references to groups")
		}
	}
	return found
}

// kongRoutes makes what the gateway needs of a Route to s, path by path.
func kongRoutes(d *schema.Document, s *service) []kongRoute {
	r := d.Body.(*kong.Route)
	common := gatewayRoute{doc: d, service: s, preserveHost: r.PreserveHost, plain: plainHTTP(r), secure: secureHTTP(r)}
	if !slices.Contains(r.SNIs, snapshot.AnyServerName) {
		for _, name := range r.SNIs {
			common.serverNames = append(common.serverNames, serverName(name))
		}
	}
	common.refusals = refusals(r)
	for _, h := range r.Hosts {
		common.hosts = append(common.hosts, strings.TrimSuffix(strings.ToLower(h), "."))
	}
	common.match.Methods = snapshot.ListOf(slices.Sorted(slices.Values(r.Methods))...)
	var headers []snapshot.HeaderMatch
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		if len(r.Headers[name]) == 0 {
			return nil // matches nothing, which is reported
		}
		// Kong does not distinguish case in the values of headers.
		headers = append(headers, snapshot.HeaderMatch{Name: strings.ToLower(name), Regex: headerRegex(r.Headers[name])})
	}
	common.match.Headers = snapshot.ListOf(headers...)

	base := kongBase(s.doc.Body.(*kong.Service).Path)
	paths := r.Paths
	if len(paths) == 0 {
		paths = []string{""}
	}
	var out []kongRoute
	for i, path := range paths {
		k := kongRoute{rank: rankOf(d, r, i)}
		for _, match := range base.matches(path, r.StripPath, r.PathHandling) {
			part := common
			part.stripped, part.unclear = stripped(path, r.StripPath)
			part.match.PathPrefix, part.match.PathExact, part.match.PathRegex, part.match.Rewrite = match.PathPrefix, match.PathExact, match.PathRegex, match.Rewrite
			part.match.Name = d.Name
			if n := len(k.parts); i+n > 0 {
				part.match.Name = fmt.Sprintf("%s#%d.%d", d.Name, i, n)
			}
			k.parts = append(k.parts, &part)
		}
		out = append(out, k)
	}
	return out
}

// refusals are the answers, the first one first, to requests in the clear that
// match r, which is for those over TLS alone (kong/runloop/handler.lua).
func refusals(r *kong.Route) []refusal {
	const json = "application/json; charset=utf-8"
	if plainHTTP(r) {
		return nil
	}
	if slices.Equal(r.Protocols, []string{"grpcs"}) {
		return []refusal{
			{answer: snapshot.Answer{Status: 426, Body: "gRPC request matched gRPCs route"}, grpc: true},
			{answer: snapshot.Answer{Status: 415, ContentType: json, Body: `{"message":"Non-gRPC request matched gRPC route"}`}},
		}
	}
	if r.HTTPSRedirect != 0 && r.HTTPSRedirect != 426 {
		return []refusal{{answer: snapshot.Answer{Status: r.HTTPSRedirect, HTTPS: true}}}
	}
	return []refusal{{answer: snapshot.Answer{Status: 426, ContentType: json, Body: `{"message":"Please use HTTPS protocol"}`}}}
}

// rankOf returns the rank of a route with its path number i alone.
func rankOf(d *schema.Document, r *kong.Route, i int) kongRank {
	k := kongRank{headers: len(r.Headers), name: d.ID(), path: i, createdAt: r.CreatedAt}
	for bit, set := range []bool{len(r.SNIs) > 0, len(r.Methods) > 0, len(r.Paths) > 0, len(r.Headers) > 0, len(r.Hosts) > 0} {
		if set {
			k.attributes++
			k.which |= 1 << bit
		}
	}
	if i < len(r.Paths) {
		if strings.HasPrefix(r.Paths[i], "~") {
			k.precision |= isPattern
			k.regexPriority = r.RegexPriority
		} else {
			k.pathLength = len(r.Paths[i])
		}
	}
	wildcard := func(host string) bool { return strings.Contains(host, "*") }
	if len(r.Hosts) > 0 && !slices.ContainsFunc(r.Hosts, wildcard) {
		k.precision |= hasPlainHosts
	}
	if slices.ContainsFunc(r.Hosts, func(host string) bool { return wildcard(host) && strings.Contains(host, ":") }) {
		k.precision |= hasWildcardPort
	}
	return k
}

// headerRegex matches the values that a route lists for a header: one that
// begins with ~* and stands alone is a pattern for a part of the value.
func headerRegex(values []string) string {
	if pattern, ok := strings.CutPrefix(values[0], "~*"); ok && len(values) == 1 {
		return "(?i).*(?:" + pattern + ").*"
	}
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = regexp.QuoteMeta(v)
	}
	return "(?i)" + strings.Join(quoted, "|")
}
