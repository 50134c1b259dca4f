package compiler

import (
	"cmp"
	"math"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema/kuma"
)

// Envoy's own numbers, for what a CircuitBreaker does not say
// (envoy.config.cluster.v3.OutlierDetection and CircuitBreakers).
const (
	outlierInterval     = 10 * time.Second
	baseEjectionTime    = 30 * time.Second
	maxEjectionPercent  = 10
	consecutiveErrors   = 5
	successMinimumHosts = 5
	successVolume       = 100
	successFactor       = 1.9
	failureMinimumHosts = 5
	failureVolume       = 50
	failureThreshold    = 85
	maxInFlight         = 1024
)

// lowerCircuitBreaker sets what ejects endpoints of a cluster, and what it may
// have in flight.
func lowerCircuitBreaker(c *snapshot.Cluster, breaker *kuma.CircuitBreaker) {
	conf := &breaker.Conf
	if d := conf.Detectors; d != (kuma.Detectors{}) {
		c.Errors = snapshot.List[uint32]{}
		c.Outliers = snapshot.Outliers{
			Interval:           snapshot.Duration(cmp.Or(time.Duration(conf.Interval), outlierInterval)),
			BaseEjectionTime:   snapshot.Duration(cmp.Or(time.Duration(conf.BaseEjectionTime), baseEjectionTime)),
			MaxEjectionPercent: or(conf.MaxEjectionPercent, maxEjectionPercent),
			SplitLocal:         conf.SplitExternalAndLocalErrors,
			TotalErrors:        inARow(d.TotalErrors), GatewayErrors: inARow(d.GatewayErrors), LocalErrors: inARow(d.LocalErrors),
		}
		if s := d.StandardDeviation; s != nil {
			factor := successFactor
			if s.Factor != nil {
				factor = *s.Factor
			}
			c.Outliers.StandardDeviation = snapshot.SuccessRate{
				MinimumHosts: or(s.MinimumHosts, successMinimumHosts), RequestVolume: or(s.RequestVolume, successVolume),
				Factor: uint32(min(math.Round(factor*1000), math.MaxUint32)),
			}
		}
		if f := d.Failure; f != nil {
			c.Outliers.Failure = snapshot.SuccessRate{
				MinimumHosts: or(f.MinimumHosts, failureMinimumHosts), RequestVolume: or(f.RequestVolume, failureVolume),
				Threshold: or(f.Threshold, failureThreshold),
			}
		}
		if c.Panic == 0 && c.Checks.Len() == 0 {
			c.Panic = defaultPanic
		}
	}
	if t := conf.Thresholds; t.MaxConnections != nil || t.MaxPendingRequests != nil || t.MaxRequests != nil || t.MaxRetries != nil {
		c.Thresholds = snapshot.Thresholds{
			MaxConnections: or(t.MaxConnections, maxInFlight), MaxPendingRequests: or(t.MaxPendingRequests, maxInFlight),
			MaxRequests: or(t.MaxRequests, maxInFlight), MaxRetries: or(t.MaxRetries, 0),
		}
	}
}

// or returns what is written, else standard.
func or(written *uint32, standard uint32) uint32 {
	if written == nil {
		return standard
	}
	return *written
}

// inARow is how many errors make a detector act; 0 where there is none.
func inARow(c *kuma.Consecutive) uint32 {
	if c == nil {
		return 0
	}
	return or(c.Consecutive, consecutiveErrors)
}
