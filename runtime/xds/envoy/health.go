package envoy

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshc/meshc/compiler/snapshot"
)

// healthCheck returns the i-th check of c.
func healthCheck(c snapshot.Cluster, i int, h snapshot.HealthCheck) (*corev3.HealthCheck, error) {
	out := &corev3.HealthCheck{
		Interval:              durationpb.New(time.Duration(h.Interval)),
		Timeout:               durationpb.New(time.Duration(h.Timeout)),
		UnhealthyThreshold:    wrapperspb.UInt32(h.Unhealthy),
		HealthyThreshold:      wrapperspb.UInt32(h.Healthy),
		InitialJitter:         given(h.InitialJitter),
		IntervalJitter:        given(h.Jitter),
		IntervalJitterPercent: h.JitterPercent,
		NoTrafficInterval:     given(h.NoTrafficInterval),
	}
	if h.OutInterval > 0 {
		// At the edge, where a threshold is not reached yet, it is the last check that
		// Envoy goes by, and not the endpoint's health.
		out.UnhealthyInterval, out.HealthyEdgeInterval = given(h.OutInterval), given(h.OutInterval)
		out.UnhealthyEdgeInterval = given(h.Interval)
		out.NoTrafficInterval, out.NoTrafficHealthyInterval = given(h.OutInterval), given(h.NoTrafficInterval)
	}
	if c.Checks.Len() > 1 {
		out.Name = strconv.Itoa(i + 1) // Envoy wants to tell them apart
	}
	if h.Fresh {
		out.ReuseConnection = wrapperspb.Bool(false)
	}
	if h.HTTP.Path == "" {
		check, err := tcpCheck(h)
		if err != nil {
			return nil, err
		}
		out.HealthChecker = &corev3.HealthCheck_TcpHealthCheck_{TcpHealthCheck: check}
		return out, nil
	}
	check, err := httpCheck(c, h.HTTP)
	if err != nil {
		return nil, err
	}
	out.HealthChecker = &corev3.HealthCheck_HttpHealthCheck_{HttpHealthCheck: check}
	return out, nil
}

func httpCheck(c snapshot.Cluster, h snapshot.HTTPCheck) (*corev3.HealthCheck_HttpHealthCheck, error) {
	out := &corev3.HealthCheck_HttpHealthCheck{
		// By default it is the cluster's name, which may hold what no host has.
		Host: c.Service,
		Path: h.Path,
		// Left alone, Envoy takes an endpoint out at the first bad status,
		// whatever the threshold.
		RetriableStatuses: []*typev3.Int64Range{{Start: 100, End: 600}},
	}
	if h.HTTP2 {
		out.CodecClientType = typev3.CodecClientType_HTTP2
	}
	for _, s := range h.Statuses.All() {
		out.ExpectedStatuses = append(out.ExpectedStatuses, &typev3.Int64Range{Start: int64(s), End: int64(s) + 1})
	}
	if h.Failures.Len() > 0 {
		out.ExpectedStatuses = between(h.Failures)
	}
	headers := h.Headers
	var set []snapshot.HeaderField
	for _, f := range headers.Set.All() {
		if f.Name == "host" || f.Name == ":authority" {
			out.Host = f.Value
			continue
		}
		set = append(set, f)
	}
	headers.Set = snapshot.ListOf(set...)
	var err error
	if out.RequestHeadersToAdd, out.RequestHeadersToRemove, err = headerChanges(headers); err != nil {
		return nil, fmt.Errorf("health check: %w", err)
	}
	return out, nil
}

// between returns the ranges of statuses that are not in failures, which is sorted.
func between(failures snapshot.List[uint32]) []*typev3.Int64Range {
	const least, end = 100, 600 // Envoy's
	var out []*typev3.Int64Range
	start := int64(least)
	for _, status := range failures.All() {
		if s := min(int64(status), end); s >= start {
			if s > start {
				out = append(out, &typev3.Int64Range{Start: start, End: s})
			}
			start = s + 1
		}
	}
	if start < end {
		out = append(out, &typev3.Int64Range{Start: start, End: end})
	}
	return out
}

func tcpCheck(h snapshot.HealthCheck) (*corev3.HealthCheck_TcpHealthCheck, error) {
	out := &corev3.HealthCheck_TcpHealthCheck{}
	if h.Send != "" {
		send, err := payload(h.Send)
		if err != nil {
			return nil, err
		}
		out.Send = send
	}
	for _, block := range h.Receive.All() {
		receive, err := payload(block)
		if err != nil {
			return nil, err
		}
		out.Receive = append(out.Receive, receive)
	}
	return out, nil
}

func payload(encoded string) (*corev3.HealthCheck_Payload, error) {
	b, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("health check: what is sent or awaited is not base64: %w", err)
	}
	// In binary Envoy would not send it: it looks for text, which is hexadecimal.
	return &corev3.HealthCheck_Payload{Payload: &corev3.HealthCheck_Payload_Text{Text: hex.EncodeToString(b)}}, nil
}

// given returns nil for 0, which leaves the choice to Envoy.
func given(d snapshot.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(time.Duration(d))
}
