package proxy

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// outcome is how a try went, as outlier detection sees it. From 100 on it is
// the HTTP status that the endpoint answered with.
type outcome int

const (
	// connected: the request has a connection. Its answer is another outcome.
	connected outcome = iota
	// carried: a TCP connection is there, and no other outcome follows.
	carried
	// broke: not connected, or reset.
	broke
	// late: not connected or not answered in time.
	late
)

// reason is what an endpoint was ejected for.
type reason int

const (
	totalErrors reason = iota
	gatewayErrors
	localErrors
	successRate
	failurePercentage
	reasons
)

// report tells outlier detection of the outcome of a try at the endpoint of s.
// That there is a connection, or could be none, its pool reports.
func (c *cluster) report(s *standing, o outcome) {
	if c.detects() {
		c.state.detector.report(c, s, o)
	}
}

// detects reports whether c has outlier detection.
func (c *cluster) detects() bool { return c.outliers != (snapshot.Outliers{}) }

// report follows Envoy's DetectorHostMonitorImpl: without SplitLocal, errors of
// ours count as if they were the answers that the client gets.
func (d *detector) report(c *cluster, s *standing, o outcome) {
	switch {
	case o >= 100:
		d.answered(c, s, int(o))
	case c.outliers.SplitLocal:
		good := o == connected || o == carried
		s.attempts.count(good)
		if good {
			s.local.ended()
		} else if s.local.broken(c.outliers.LocalErrors) {
			d.eject(c, s, localErrors)
		}
	case o == carried:
		d.answered(c, s, 200)
	case o == broke:
		d.answered(c, s, 503)
	case o == late:
		d.answered(c, s, 504)
	}
}

func (d *detector) answered(c *cluster, s *standing, status int) {
	bad := status >= 500
	if len(c.errors) > 0 {
		bad = slices.Contains(c.errors, uint32(status))
	}
	s.answers.count(!bad)
	if !bad {
		s.total.ended()
		s.gateway.ended()
		return
	}
	if status < 502 || status > 504 {
		s.gateway.ended()
	} else if s.gateway.broken(c.outliers.GatewayErrors) {
		d.eject(c, s, gatewayErrors)
	}
	if s.total.broken(c.outliers.TotalErrors) {
		d.eject(c, s, totalErrors)
	}
}

// What Envoy takes where nothing is said.
const (
	outlierInterval  = 10 * time.Second
	baseEjectionTime = 30 * time.Second
	maxEjectionTime  = 300 * time.Second
)

// detector ejects the outliers of a cluster, and lets them in again: Envoy's
// DetectorImpl.
type detector struct {
	state   *clusterState
	cluster atomic.Pointer[cluster] // that serves; nil where it does not look for outliers

	mu       sync.Mutex
	timer    *time.Timer // nil where cluster is
	interval time.Duration

	ejected  [reasons]atomic.Uint64
	overflow atomic.Uint64 // not ejected, since too many were
}

// serve makes c the cluster whose endpoints are watched, which may have no
// outlier detection; nil ends it. What is ejected stays so for its time.
func (d *detector) serve(c *cluster) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c == nil || !c.detects() {
		if d.timer != nil {
			d.timer.Stop()
			d.timer = nil
			for _, e := range d.cluster.Load().known() {
				d.pardon(e.standing, time.Now())
			}
		}
		d.cluster.Store(nil)
		return
	}
	d.cluster.Store(c)
	interval := or(c.outliers.Interval, outlierInterval)
	switch {
	case d.timer == nil:
		d.timer = time.AfterFunc(interval, d.tick)
	case d.interval != interval:
		d.timer.Reset(interval)
	}
	d.interval = interval
}

func or(d snapshot.Duration, standard time.Duration) time.Duration {
	if d == 0 {
		return standard
	}
	return time.Duration(d)
}

// eject takes s out for a row of errors that has reached its limit.
func (d *detector) eject(c *cluster, s *standing, why reason) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer == nil || s.has(ejected) {
		return
	}
	d.expel(c, s, why, time.Now())
	switch why {
	case totalErrors:
		s.total.ended()
	case gatewayErrors:
		s.gateway.ended()
	case localErrors:
		s.local.ended()
	}
}

// expel ejects s unless too many are; d.mu is held.
func (d *detector) expel(c *cluster, s *standing, why reason, now time.Time) {
	out, all, ours := 0, 0, false
	for _, e := range d.cluster.Load().known() {
		all++
		ours = ours || e.standing == s
		if e.standing.has(ejected) {
			out++
		}
	}
	if !ours {
		return // it has left the cluster
	}
	if out > 0 && (out+1)*100 > all*int(min(c.outliers.MaxEjectionPercent, 100)) {
		d.overflow.Add(1)
		return
	}
	d.ejected[why].Add(1)
	e := &s.ejections
	e.at = now
	base := or(c.outliers.BaseEjectionTime, baseEjectionTime)
	if time.Duration(e.backoff)*base < max(maxEjectionTime, base)+base {
		e.backoff++
	}
	d.state.set(s, ejected, true)
}

// pardon lets s in again; d.mu is held.
func (d *detector) pardon(s *standing, now time.Time) {
	if !s.has(ejected) {
		return
	}
	// So that it is not ejected again for errors of before.
	s.total.ended()
	s.gateway.ended()
	s.local.ended()
	s.ejections.ended = now
	d.state.set(s, ejected, false)
}

// checked says that s has passed an active check: it is let in at once, as in Envoy.
func (d *detector) checked(s *standing) {
	if s.faults.Load() != ejected {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pardon(s, time.Now())
}

// tick ends an interval.
func (d *detector) tick() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer == nil {
		return
	}
	c := d.cluster.Load()
	now := time.Now()
	base := or(c.outliers.BaseEjectionTime, baseEjectionTime)
	endpoints := c.known()
	answers, attempts := make([]success, 0, len(endpoints)), make([]success, 0, len(endpoints))
	for _, e := range endpoints {
		s := e.standing
		if s.has(ejected) && now.Sub(s.ejections.at) >= s.ejections.length(base) {
			d.pardon(s, now)
		}
		answers = appendSuccess(answers, s, &s.answers)
		attempts = appendSuccess(attempts, s, &s.attempts)
	}
	d.compare(c, answers, now)
	d.compare(c, attempts, now)
	for _, e := range endpoints {
		s := e.standing
		if n := &s.ejections; n.backoff > 0 && !s.has(ejected) && now.Sub(n.ended) >= d.interval {
			n.backoff--
		}
	}
	d.timer.Reset(d.interval)
}

// length is how long the endpoint is out.
func (e *ejections) length(base time.Duration) time.Duration {
	return min(base*time.Duration(e.backoff), max(maxEjectionTime, base))
}

// until returns when s, an endpoint of c, may be let in again; zero where it is
// not ejected.
func (d *detector) until(c *cluster, s *standing) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !s.has(ejected) {
		return time.Time{}
	}
	return s.ejections.at.Add(s.ejections.length(or(c.outliers.BaseEjectionTime, baseEjectionTime)))
}

// success is the share of an endpoint's requests that succeeded in an interval.
type success struct {
	standing *standing
	percent  float64
	volume   uint64
}

func appendSuccess(list []success, s *standing, r *rate) []success {
	percent, volume := r.take()
	if volume == 0 || s.has(ejected) {
		return list
	}
	return append(list, success{s, percent, volume})
}

// compare ejects those who succeed less often than they may; d.mu is held.
func (d *detector) compare(c *cluster, all []success, now time.Time) {
	enough := func(spec snapshot.SuccessRate) (list []success) {
		for _, s := range all {
			if s.volume >= uint64(spec.RequestVolume) {
				list = append(list, s)
			}
		}
		if spec.MinimumHosts == 0 || len(list) < int(spec.MinimumHosts) {
			return nil
		}
		return list
	}
	if list := enough(c.outliers.StandardDeviation); len(list) > 0 {
		least := threshold(list, float64(c.outliers.StandardDeviation.Factor)/1000)
		for _, s := range list {
			if s.percent < least {
				d.expel(c, s.standing, successRate, now)
			}
		}
	}
	for _, s := range enough(c.outliers.Failure) {
		if 100-s.percent >= float64(c.outliers.Failure.Threshold) && !s.standing.has(ejected) {
			d.expel(c, s.standing, failurePercentage, now)
		}
	}
}

// threshold returns the mean less factor times the standard deviation.
func threshold(list []success, factor float64) float64 {
	n, sum, squares := float64(len(list)), 0.0, 0.0
	for _, s := range list {
		sum += s.percent
	}
	mean := sum / n
	for _, s := range list {
		squares += (s.percent - mean) * (s.percent - mean)
	}
	return mean - factor*math.Sqrt(squares/n)
}
