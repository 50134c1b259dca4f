package proxy

import (
	"math/rand/v2"
	"slices"
)

// levels are the views of the endpoints of each priority, and how much of the
// traffic each gets.
type levels struct {
	views []*view
	upTo  []uint32 // sums of the loads in percent, the last one is 100
}

// prioritised reports whether some endpoints come before others.
func prioritised(all []*endpoint) bool {
	return slices.ContainsFunc(all, func(e *endpoint) bool { return e.priority != all[0].priority })
}

// newLevels makes the view of a cluster whose endpoints have priorities. Each
// level gets as much as it has healthy endpoints times the overprovisioning
// factor, up to all, of what those before it leave. Where together they cannot
// take all of it, levels that are below the panic threshold choose from
// unhealthy endpoints as well, and where all levels are, each gets traffic by its
// number of endpoints (Envoy's LoadBalancerBase).
func newLevels(c *cluster, old *view, all []*endpoint, version uint64) *view {
	var groups [][]*endpoint
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(x, y *endpoint) int { return int(int64(x.priority) - int64(y.priority)) })
	for len(sorted) > 0 {
		n := slices.IndexFunc(sorted, func(e *endpoint) bool { return e.priority != sorted[0].priority })
		if n < 0 {
			n = len(sorted)
		}
		groups, sorted = append(groups, sorted[:n]), sorted[n:]
	}
	healthy := make([][]*endpoint, len(groups))
	health, total := make([]uint32, len(groups)), uint32(0) // in percent
	for i, g := range groups {
		for _, e := range g {
			if e.standing.healthy() {
				healthy[i] = append(healthy[i], e)
			}
		}
		health[i] = uint32(min(overprovisioning*len(healthy[i])/len(g), 100))
		total = min(total+health[i], 100)
	}
	b := &c.balancing
	panicking, everywhere := make([]bool, len(groups)), true
	for i, g := range groups {
		panicking[i] = total < 100 && len(healthy[i])*100 < int(b.panic)*len(g)
		everywhere = everywhere && panicking[i]
	}
	v := &view{version: version, levels: &levels{}}
	for i, g := range groups {
		endpoints := healthy[i]
		if panicking[i] {
			if endpoints = g; b.failOnPanic && !b.hashes() {
				endpoints = nil
			}
		}
		var before *view
		if old != nil && old.levels != nil && i < len(old.levels.views) {
			before = old.levels.views[i]
		}
		v.levels.views = append(v.levels.views, newLevel(c, before, endpoints, version))
		v.endpoints = append(v.endpoints, endpoints...)
	}
	loads := spread(health, total)
	if everywhere {
		loads = bySize(groups, len(all))
	}
	sum := uint32(0)
	for _, load := range loads {
		sum += load
		v.levels.upTo = append(v.levels.upTo, sum)
	}
	return v
}

// spread shares 100 percent among levels by their health, the first ones first.
func spread(health []uint32, total uint32) []uint32 {
	out := make([]uint32, len(health))
	if total == 0 {
		out[0] = 100
		return out
	}
	left, first := uint32(100), -1
	for i, h := range health {
		out[i] = min(left, h*100/total)
		left -= out[i]
		if first < 0 && h > 0 {
			first = i
		}
	}
	out[first] += left // what rounding has lost
	return out
}

// bySize shares 100 percent among levels by how many of n endpoints each has.
func bySize(groups [][]*endpoint, n int) []uint32 {
	out, left := make([]uint32, len(groups)), uint32(100)
	for i, g := range groups {
		out[i] = uint32(100 * len(g) / n)
		left -= out[i]
	}
	out[0] += left
	return out
}

// choose returns the view of one level: by the hash of the client where that
// decides among endpoints, else at random.
func (l *levels) choose(hashed bool, client uint64) *view {
	if l.upTo[0] == 100 {
		return l.views[0]
	}
	n := uint32(client%100) + 1
	if !hashed {
		n = rand.Uint32N(100) + 1
	}
	i, _ := slices.BinarySearch(l.upTo, n)
	return l.views[i]
}
