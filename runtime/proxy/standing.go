package proxy

import (
	"sync/atomic"
	"time"
)

// standing is what a cluster knows of the endpoint at one address, for as long
// as it has it.
type standing struct {
	active atomic.Int64  // requests and TCP connections in flight
	known  bool          // it has served already; guarded by the checker
	faults atomic.Uint32 // why it is not to be chosen; 0 where it is healthy

	// For outlier detection: errors in a row, and how many succeeded since the
	// last interval.
	total, gateway, local streak
	answers, attempts     rate
	ejections             ejections // guarded by the detector
}

// Faults: the lowest bit is an ejection, those above one failed check each.
const (
	ejected    uint32 = 1
	firstCheck uint32 = 2
	maxChecks         = 31
)

func (s *standing) healthy() bool { return s.faults.Load() == 0 }

func (s *standing) has(fault uint32) bool { return s.faults.Load()&fault != 0 }

// set notes or takes away a fault of s, which is in state.
func (state *clusterState) set(s *standing, fault uint32, on bool) {
	var before uint32
	if on {
		before = s.faults.Or(fault)
	} else {
		before = s.faults.And(^fault)
	}
	if before&fault != 0 != on {
		state.health.Add(1)
	}
}

// streak counts errors in a row.
type streak struct{ n atomic.Uint32 }

// broken counts one more; true at the limit, where 0 is none.
func (s *streak) broken(limit uint32) bool { return s.n.Add(1) == limit && limit > 0 }

// ended is a success. It writes only where there is something to forget.
func (s *streak) ended() {
	if s.n.Load() != 0 {
		s.n.Store(0)
	}
}

// rate counts what succeeded.
type rate struct{ all, good atomic.Uint64 }

func (r *rate) count(good bool) {
	r.all.Add(1)
	if good {
		r.good.Add(1)
	}
}

// take returns the percentage that succeeded, and of how many, and begins anew.
func (r *rate) take() (percent float64, all uint64) {
	all = r.all.Swap(0)
	good := r.good.Swap(0)
	if all == 0 {
		return 0, 0
	}
	return 100 * float64(min(good, all)) / float64(all), all
}

// ejections are those of one endpoint.
type ejections struct {
	at      time.Time // the last one
	ended   time.Time // when that was over; zero before the first
	backoff int       // its length, in base ejection times
}
