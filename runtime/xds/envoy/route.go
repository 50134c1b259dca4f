package envoy

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshc/meshc/compiler/snapshot"
)

// noHealthyUpstream is what Envoy itself says of a cluster without endpoints.
const noHealthyUpstream = "no healthy upstream"

// VirtualHost returns v as a part of a RouteConfiguration. perRoute has what
// is behind each name that a route may give in Filters.
func VirtualHost(v snapshot.VirtualHost, perRoute map[string]RouteFilter) (*routev3.VirtualHost, error) {
	out := &routev3.VirtualHost{Name: v.Name, Domains: v.Domains.Slice()}
	for _, d := range out.Domains {
		// Envoy knows more wildcards than the snapshot has.
		if host := strings.TrimSuffix(d, ":*"); d != "*" && strings.Contains(host, "*") {
			return nil, fmt.Errorf("domain %q: a star may only stand alone or for a port", d)
		}
	}
	for _, whole := range v.Routes.All() {
		for _, r := range byHost(whole) {
			route, err := httpRoute(r)
			if err == nil {
				err = routeFilters(route, r, perRoute)
			}
			if err == nil {
				err = keepPath(route, r)
			}
			if err != nil {
				return nil, fmt.Errorf("route %q: %w", r.Name, err)
			}
			out.Routes = append(out.Routes, route)
		}
	}
	return checked(out)
}

// byHost splits a route whose Host comes from the path: for paths that the
// expression does not match, Envoy would send the path itself as Host.
func byHost(r snapshot.Route) []snapshot.Route {
	if r.Answer.HTTPS && r.Answer.Host == "" {
		return byPort(r)
	}
	if r.Host.PathRegex == "" {
		return []snapshot.Route{r}
	}
	met, other := r, r
	other.Host = snapshot.HostRewrite{}
	if r.PathPrefix == "/" {
		met.PathPrefix, met.PathRegex = "", r.Host.PathRegex
	} else {
		// :path has the query, which an expression that ends with $ would exclude.
		path := r.Host.PathRegex
		if !strings.HasSuffix(path, `\$`) {
			path = strings.TrimSuffix(path, "$")
		}
		met.Headers = snapshot.ListOf(append(r.Headers.Slice(), snapshot.HeaderMatch{
			Name: ":path", Regex: "(?:" + path + `)(?:\?.*)?`,
		})...)
	}
	return []snapshot.Route{met, other}
}

// withPort matches a Host header that has a port.
const withPort = `(?:\[[^\]]*\]|[^\[:]*):.*`

// byPort splits a route that sends the client to the URL of its request over
// https: Envoy keeps the port of the Host header, or makes it another in each.
func byPort(r snapshot.Route) []snapshot.Route {
	ported := r
	ported.Headers = snapshot.ListOf(append(r.Headers.Slice(), snapshot.HeaderMatch{Name: ":authority", Regex: withPort})...)
	return []snapshot.Route{ported, r}
}

// redirect sends the client to the URL of its request over https.
func redirect(r snapshot.Route) (*routev3.Route_Redirect, error) {
	out := &routev3.RedirectAction{
		SchemeRewriteSpecifier: &routev3.RedirectAction_HttpsRedirect{HttpsRedirect: true},
		HostRedirect:           r.Answer.Host,
	}
	if slices.ContainsFunc(r.Headers.Slice(), func(h snapshot.HeaderMatch) bool { return h.Regex == withPort }) {
		out.PortRedirect = 443
	}
	switch r.Answer.Status {
	case 301:
		out.ResponseCode = routev3.RedirectAction_MOVED_PERMANENTLY
	case 302:
		out.ResponseCode = routev3.RedirectAction_FOUND
	case 307:
		out.ResponseCode = routev3.RedirectAction_TEMPORARY_REDIRECT
	case 308:
		out.ResponseCode = routev3.RedirectAction_PERMANENT_REDIRECT
	default:
		return nil, fmt.Errorf("status %d is none of a redirect", r.Answer.Status)
	}
	return &routev3.Route_Redirect{Redirect: out}, nil
}

func httpRoute(r snapshot.Route) (*routev3.Route, error) {
	match, err := routeMatch(r)
	if err != nil {
		return nil, err
	}
	out := &routev3.Route{Name: r.Name, Match: match}
	if out.RequestHeadersToAdd, out.RequestHeadersToRemove, err = headerChanges(r.RequestHeaders); err != nil {
		return nil, err
	}
	if out.ResponseHeadersToAdd, out.ResponseHeadersToRemove, err = headerChanges(r.ResponseHeaders); err != nil {
		return nil, err
	}
	switch {
	case r.Answer.HTTPS:
		out.Action, err = redirect(r)
		return out, err
	case r.Answer.Metrics:
		out.Action = &routev3.Route_Route{Route: adminMetrics()}
		return out, nil
	}
	if r.Answer.Status != 0 {
		out.Action = directResponse(r.Answer.Status, r.Answer.Body)
		if r.Answer.ContentType != "" {
			out.ResponseHeadersToAdd = append(out.ResponseHeadersToAdd, &corev3.HeaderValueOption{
				Header:       &corev3.HeaderValue{Key: "content-type", Value: strings.ReplaceAll(r.Answer.ContentType, "%", "%%")},
				AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
			})
		}
		return out, nil
	}
	if r.Targets.Len() == 0 {
		// Envoy cannot route to nothing.
		out.Action = directResponse(503, noHealthyUpstream)
		return out, nil
	}
	action, err := routeAction(r)
	if err != nil {
		return nil, err
	}
	out.Action = &routev3.Route_Route{Route: action}
	return out, nil
}

// adminMetrics sends requests to where Envoy's admin interface shows Envoy's own
// metrics, and to no other page of it. Without an AdminCluster Envoy answers 503.
func adminMetrics() *routev3.RouteAction {
	return &routev3.RouteAction{
		ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: AdminCluster},
		PrefixRewrite:    "/stats/prometheus",
		Timeout:          durationpb.New(0), // unset would mean 15 s
	}
}

func directResponse(status uint32, body string) *routev3.Route_DirectResponse {
	out := &routev3.DirectResponseAction{Status: status}
	if body != "" {
		out.Body = &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: body}}
	}
	return &routev3.Route_DirectResponse{DirectResponse: out}
}

func routeAction(r snapshot.Route) (*routev3.RouteAction, error) {
	rewrite, err := pathRewrite(r.Rewrite)
	if err != nil {
		return nil, err
	}
	retry, err := retryPolicy(r.Retry)
	if err != nil {
		return nil, err
	}
	retry.PerTryIdleTimeout = given(r.ReadTimeout)
	action := &routev3.RouteAction{
		Timeout:      durationpb.New(time.Duration(r.Timeout)), // unset would mean 15 s
		IdleTimeout:  given(r.IdleTimeout),
		RetryPolicy:  retry,
		RegexRewrite: rewrite,
		HashPolicy:   hashPolicy(r),
	}
	if err := rewriteHost(action, r); err != nil {
		return nil, err
	}
	if r.Targets.Len() == 1 {
		action.ClusterSpecifier = &routev3.RouteAction_Cluster{Cluster: r.Targets.At(0).Cluster}
		return action, nil
	}
	if err := checkWeights(r.Targets); err != nil {
		return nil, err
	}
	w := &routev3.WeightedCluster{}
	for _, t := range r.Targets.All() {
		w.Clusters = append(w.Clusters, &routev3.WeightedCluster_ClusterWeight{
			Name: t.Cluster, Weight: wrapperspb.UInt32(t.Weight),
		})
	}
	action.ClusterSpecifier = &routev3.RouteAction_WeightedClusters{WeightedClusters: w}
	return action, nil
}

// rewriteHost fills in what the target of r gets as Host.
func rewriteHost(action *routev3.RouteAction, r snapshot.Route) error {
	switch {
	case r.HostFromEndpoint:
		action.HostRewriteSpecifier = &routev3.RouteAction_AutoHostRewrite{AutoHostRewrite: wrapperspb.Bool(true)}
	case r.Host.Value != "":
		action.HostRewriteSpecifier = &routev3.RouteAction_HostRewriteLiteral{HostRewriteLiteral: r.Host.Value}
	case r.Host.PathRegex != "":
		// Envoy replaces every match in the path; anchored it is all or nothing.
		whole := snapshot.PathRewrite{Regex: "^(?:" + r.Host.PathRegex + ")$", Substitution: r.Host.Substitution}
		m, err := pathRewrite(whole)
		if err != nil {
			return fmt.Errorf("host: %w", err)
		}
		action.HostRewriteSpecifier = &routev3.RouteAction_HostRewritePathRegex{HostRewritePathRegex: m}
	}
	return nil
}

// retryPolicy returns the policy of r; where it says nothing, that of a
// connection which went away.
func retryPolicy(r snapshot.Retry) (*routev3.RetryPolicy, error) {
	if r.On.Len() == 0 {
		return retryOnce(), nil
	}
	out := &routev3.RetryPolicy{
		RetryOn:              strings.Join(r.On.Slice(), ","),
		RetriableStatusCodes: r.Statuses.Slice(),
		NumRetries:           wrapperspb.UInt32(r.Attempts),
		PerTryTimeout:        given(r.PerTryTimeout),
	}
	if r.BackOffBase > 0 {
		if r.BackOffMax < r.BackOffBase { // no field rule sees this
			return nil, fmt.Errorf("the longest back-off, %s, is less than the first, %s", time.Duration(r.BackOffMax), time.Duration(r.BackOffBase))
		}
		out.RetryBackOff = &routev3.RetryPolicy_RetryBackOff{
			BaseInterval: given(r.BackOffBase),
			MaxInterval:  given(r.BackOffMax),
		}
	}
	return out, nil
}

// retryOnce sends a request again when its connection ended without an answer,
// as an idle one does when the server has just closed it. Only idempotent
// methods (RFC 9110, 9.2.2): the first try may have had its effect.
func retryOnce() *routev3.RetryPolicy {
	return &routev3.RetryPolicy{
		RetryOn:    "reset",
		NumRetries: wrapperspb.UInt32(1),
		RetriableRequestHeaders: []*routev3.HeaderMatcher{{
			Name: ":method",
			HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
				MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{
					Regex: "GET|HEAD|OPTIONS|TRACE|PUT|DELETE",
				}},
			}},
		}},
	}
}

// checkWeights reports a split that Envoy cannot add up: a weight of 0, or a
// sum beyond 32 bits. The field rules see each weight alone.
func checkWeights(targets snapshot.List[snapshot.Target]) error {
	var sum uint64
	for _, t := range targets.All() {
		if t.Weight == 0 {
			return fmt.Errorf("target %q has weight 0", t.Cluster)
		}
		sum += uint64(t.Weight)
	}
	if sum > math.MaxUint32 {
		return fmt.Errorf("the weights of the targets add up to %d; Envoy takes %d at most", sum, uint32(math.MaxUint32))
	}
	return nil
}
