package proxy

import (
	"errors"
	"sync/atomic"
)

// errOverflow says that a cluster has as much in flight as its thresholds allow.
var errOverflow = errors.New("overflow")

// load is what a cluster has in flight, in whatever generation it began.
type load struct {
	connections, pending, requests, retries gauge
}

// gauge counts what there is of one thing, and what was refused.
type gauge struct {
	now       atomic.Int64
	overflows atomic.Uint64
}

// take counts one more, unless that were more than limit; 0 is no limit.
func (g *gauge) take(limit uint32) bool {
	if limit == 0 {
		g.now.Add(1)
		return true
	}
	for {
		n := g.now.Load()
		if n >= int64(limit) {
			g.overflows.Add(1)
			return false
		}
		if g.now.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (g *gauge) give() { g.now.Add(-1) }

// enter counts a request that the endpoint of p, in cluster c, is given from
// now on, and leave its end. False is an overflow of MaxRequests. On a
// connection that carries several, each stream enters and leaves.
func (p *pool) enter(c *cluster) bool {
	if !p.state.load.requests.take(c.thresholds.MaxRequests) {
		return false
	}
	p.standing.active.Add(1)
	return true
}

func (p *pool) leave() {
	p.standing.active.Add(-1)
	p.state.load.requests.give()
}

// The retry budget where no MaxRetries is set: a part of the requests in
// flight, but some in any case (Envoy's RetryBudget).
const (
	retryPercent = 20
	leastRetries = 3
)

// retryBegin counts a retry that begins, and retryEnd its end, whatever came
// of it. False: there are as many as there may be, and this one is not made.
func (c *cluster) retryBegin() bool {
	l := &c.state.load
	limit := c.thresholds.MaxRetries
	if limit == 0 {
		limit = uint32(max(leastRetries, (l.requests.now.Load()+l.pending.now.Load())*retryPercent/100))
	}
	return l.retries.take(limit)
}

func (c *cluster) retryEnd() { c.state.load.retries.give() }
