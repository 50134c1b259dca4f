package compiler

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema/kong"
)

// upkeep is how the endpoints of a service are found to work.
type upkeep struct {
	checks      snapshot.List[snapshot.HealthCheck]
	outliers    snapshot.Outliers
	errors      snapshot.List[uint32]
	panic       uint32
	failOnPanic bool
}

// lower sets what u says of a cluster.
func (u upkeep) lower(c *snapshot.Cluster) {
	c.Checks, c.Outliers, c.Errors, c.Panic, c.FailOnPanic = u.checks, u.outliers, u.errors, u.panic, u.failOnPanic
}

// kongUpkeep is what the healthchecks of an upstream come to, for a protocol of
// its targets.
func kongUpkeep(u *kong.Upstream, protocol string) upkeep {
	h := &u.Healthchecks
	passive := h.Passive.Unhealthy
	if len(passive.HTTPStatuses) == 0 {
		passive.HTTPFailures = 0
	}
	out := upkeep{checks: kongChecks(&h.Active, u.HostHeader), outliers: kongOutliers(passive)}
	if passive.HTTPFailures > 0 && protocol == "http" {
		out.errors = snapshot.ListOf(slices.Compact(slices.Sorted(slices.Values(passive.HTTPStatuses)))...)
	}
	if out.checks.Len() > 0 || out.outliers != (snapshot.Outliers{}) {
		// Below the threshold, Kong answers 503 in place of trying anybody.
		out.panic = uint32(math.Round(h.Threshold))
		out.failOnPanic = out.panic > 0
	}
	return out
}

// kongChecks returns the probe that a asks for, or nothing.
func kongChecks(a *kong.ActiveChecks, host string) snapshot.List[snapshot.HealthCheck] {
	interval, ofOut := kongIntervals(a)
	out, _ := fewest(a.Unhealthy.Failures)
	if interval == 0 || out == 0 || strings.HasPrefix(a.Type, "grpc") {
		return snapshot.List[snapshot.HealthCheck]{}
	}
	c := snapshot.HealthCheck{
		Interval: snapshot.Duration(interval), Timeout: snapshot.Duration(cmp.Or(seconds(a.Timeout), time.Second)),
		// Kong probes whether there is traffic or not.
		NoTrafficInterval: snapshot.Duration(interval), OutInterval: snapshot.Duration(ofOut),
		Unhealthy: out, Healthy: uint32(max(a.Healthy.Successes, 1)),
	}
	if a.Type != "tcp" {
		c.HTTP = snapshot.HTTPCheck{Path: cmp.Or(a.HTTPPath, "/"), Headers: kongCheckHeaders(a.Headers, host)}
		// What is in neither list of Kong's says nothing about a target, which is
		// healthy to begin with.
		bad := slices.Sorted(slices.Values(a.Unhealthy.HTTPStatuses))
		if c.HTTP.Failures = snapshot.ListOf(slices.Compact(bad)...); len(bad) == 0 || a.Unhealthy.HTTPFailures == 0 {
			c.HTTP.Failures = snapshot.ListOf(noStatus)
		}
	}
	return snapshot.ListOf(c)
}

// noStatus is one that no server answers with: any answer means health.
const noStatus uint32 = 999

func kongCheckHeaders(headers map[string][]string, host string) snapshot.HeaderChanges {
	var set, add []snapshot.HeaderField
	if host != "" {
		set = append(set, snapshot.HeaderField{Name: "host", Value: host})
	}
	for _, key := range slices.Sorted(maps.Keys(headers)) {
		for _, v := range headers[key] {
			f := snapshot.HeaderField{Name: strings.ToLower(key), Value: v}
			if f.Name == "host" {
				set = []snapshot.HeaderField{f}
			} else {
				add = append(add, f)
			}
		}
	}
	return snapshot.HeaderChanges{Set: snapshot.ListOf(set...), Add: snapshot.ListOf(add...)}
}

// kongOutliers takes out targets that fail in a row.
func kongOutliers(f kong.Failures) snapshot.Outliers {
	local, _ := fewest(kong.Failures{TCPFailures: f.TCPFailures, Timeouts: f.Timeouts})
	if f.HTTPFailures == 0 && local == 0 {
		return snapshot.Outliers{}
	}
	return snapshot.Outliers{
		Interval: snapshot.Duration(outlierInterval), BaseEjectionTime: snapshot.Duration(baseEjectionTime), MaxEjectionPercent: 100,
		SplitLocal: true, TotalErrors: uint32(f.HTTPFailures), LocalErrors: local,
	}
}

// fewest returns the least number of failures of a sort that take a target out,
// 0 where none do, and whether the sorts differ in that.
func fewest(f kong.Failures) (n uint32, differ bool) {
	for _, count := range []int64{f.HTTPFailures, f.TCPFailures, f.Timeouts} {
		switch {
		case count == 0:
		case n == 0:
			n = uint32(count)
		default:
			differ = differ || uint32(count) != n
			n = min(n, uint32(count))
		}
	}
	return n, differ
}

// kongIntervals returns the time between two probes, and that of a target that is
// out where it is another; where only one of the two is given, it is for all.
func kongIntervals(a *kong.ActiveChecks) (interval, out time.Duration) {
	interval, out = seconds(a.Healthy.Interval), seconds(a.Unhealthy.Interval)
	if interval == 0 || out == 0 || interval == out {
		return max(interval, out), 0
	}
	return interval, out
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
