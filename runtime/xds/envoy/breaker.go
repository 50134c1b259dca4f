package envoy

import (
	"math"
	"strconv"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	commonv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/matcher/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshc/meshc/compiler/snapshot"
)

// The retry budget where no number is given: a part of the requests in flight,
// and never less than some.
const (
	retryBudgetPercent = 20
	retryBudgetLeast   = 3
)

// thresholds lifts those of Envoy's circuit breakers that t leaves open. Left
// alone they allow 1,024 connections and 3 concurrent retries a cluster.
func thresholds(t snapshot.Thresholds) *clusterv3.CircuitBreakers_Thresholds {
	bound := func(n uint32) *wrapperspb.UInt32Value {
		if n == 0 {
			n = math.MaxUint32
		}
		return wrapperspb.UInt32(n)
	}
	out := &clusterv3.CircuitBreakers_Thresholds{
		MaxConnections:     bound(t.MaxConnections),
		MaxPendingRequests: bound(t.MaxPendingRequests),
		MaxRequests:        bound(t.MaxRequests),
	}
	if t.MaxRetries > 0 {
		out.MaxRetries = wrapperspb.UInt32(t.MaxRetries)
		return out
	}
	out.RetryBudget = &clusterv3.CircuitBreakers_Thresholds_RetryBudget{
		BudgetPercent:       &typev3.Percent{Value: retryBudgetPercent},
		MinRetryConcurrency: wrapperspb.UInt32(retryBudgetLeast),
	}
	return out
}

// outlierDetection returns nil for the zero Outliers. Envoy's detectors are on
// unless told otherwise, so each is told.
func outlierDetection(o snapshot.Outliers) *clusterv3.OutlierDetection {
	if o == (snapshot.Outliers{}) {
		return nil
	}
	enforcing := func(on bool) *wrapperspb.UInt32Value {
		if on {
			return wrapperspb.UInt32(100)
		}
		return wrapperspb.UInt32(0)
	}
	count := func(n uint32) *wrapperspb.UInt32Value {
		if n == 0 {
			return nil
		}
		return wrapperspb.UInt32(n)
	}
	deviation, failure := o.StandardDeviation.MinimumHosts > 0, o.Failure.MinimumHosts > 0
	out := &clusterv3.OutlierDetection{
		Interval:                       given(o.Interval),
		BaseEjectionTime:               given(o.BaseEjectionTime),
		MaxEjectionPercent:             wrapperspb.UInt32(o.MaxEjectionPercent),
		AlwaysEjectOneHost:             wrapperspb.Bool(true),
		SplitExternalLocalOriginErrors: o.SplitLocal,

		Consecutive_5Xx:                        count(o.TotalErrors),
		EnforcingConsecutive_5Xx:               enforcing(o.TotalErrors > 0),
		ConsecutiveGatewayFailure:              count(o.GatewayErrors),
		EnforcingConsecutiveGatewayFailure:     enforcing(o.GatewayErrors > 0),
		ConsecutiveLocalOriginFailure:          count(o.LocalErrors),
		EnforcingConsecutiveLocalOriginFailure: enforcing(o.LocalErrors > 0),

		EnforcingSuccessRate:            enforcing(deviation),
		EnforcingLocalOriginSuccessRate: enforcing(deviation && o.SplitLocal),

		EnforcingFailurePercentage:            enforcing(failure),
		EnforcingFailurePercentageLocalOrigin: enforcing(failure && o.SplitLocal),
	}
	if deviation {
		out.SuccessRateMinimumHosts = wrapperspb.UInt32(o.StandardDeviation.MinimumHosts)
		out.SuccessRateRequestVolume = wrapperspb.UInt32(o.StandardDeviation.RequestVolume)
		out.SuccessRateStdevFactor = wrapperspb.UInt32(o.StandardDeviation.Factor)
	}
	if failure {
		out.FailurePercentageMinimumHosts = wrapperspb.UInt32(o.Failure.MinimumHosts)
		out.FailurePercentageRequestVolume = wrapperspb.UInt32(o.Failure.RequestVolume)
		out.FailurePercentageThreshold = wrapperspb.UInt32(o.Failure.Threshold)
	}
	return out
}

// statusIn matches responses with one of statuses.
func statusIn(statuses snapshot.List[uint32]) *commonv3.MatchPredicate {
	exprs := make([]string, statuses.Len())
	for i, status := range statuses.All() {
		exprs[i] = strconv.FormatUint(uint64(status), 10)
	}
	return &commonv3.MatchPredicate{Rule: &commonv3.MatchPredicate_HttpResponseHeadersMatch{
		HttpResponseHeadersMatch: &commonv3.HttpHeadersMatch{Headers: []*routev3.HeaderMatcher{{
			Name: ":status",
			HeaderMatchSpecifier: stringMatch(&matcherv3.StringMatcher{
				MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: regexMatcher(strings.Join(exprs, "|"))},
			}),
		}}},
	}}
}
