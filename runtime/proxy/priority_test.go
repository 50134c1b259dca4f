package proxy

import (
	"testing"

	"github.com/meshc/meshc/compiler/snapshot"
)

// levelled is a cluster with so many endpoints of each priority, of which so
// many are healthy.
func levelled(how snapshot.Cluster, levels ...[2]int) *cluster {
	n := 0
	for _, l := range levels {
		n += l[1]
	}
	c := choosing(how, n)
	i := 0
	for priority, l := range levels {
		for k := range l[1] {
			c.endpoints[i].priority = uint32(priority)
			if k >= l[0] {
				c.state.set(c.endpoints[i].standing, firstCheck, true)
			}
			i++
		}
	}
	return c
}

// Each level gets what Envoy gives it (its load balancing documentation,
// "Priority levels" and "Panic threshold", has most of these cases).
func TestPriorities(t *testing.T) {
	for _, how := range []snapshot.Balancing{snapshot.RoundRobin, snapshot.LeastRequest, snapshot.Random, snapshot.RingHash, snapshot.Maglev, snapshot.ClientIP} {
		for _, tc := range []struct {
			levels [][2]int // healthy, of
			panic  uint32
			want   []int // percent
		}{
			{[][2]int{{10, 10}, {10, 10}}, 50, []int{100, 0}},
			{[][2]int{{72, 100}, {100, 100}}, 50, []int{100, 0}},
			{[][2]int{{71, 100}, {100, 100}}, 50, []int{99, 1}},
			{[][2]int{{5, 10}, {10, 10}}, 50, []int{70, 30}},
			{[][2]int{{0, 10}, {10, 10}}, 50, []int{0, 100}},
			{[][2]int{{1, 10}, {10, 10}}, 50, []int{14, 86}},
			{[][2]int{{0, 1}, {1, 2}, {1, 1}}, 50, []int{0, 70, 30}},
			{[][2]int{{25, 100}, {25, 100}}, 0, []int{50, 50}},
			// In total panic each gets traffic by its size, healthy or not.
			{[][2]int{{0, 10}, {0, 30}}, 50, []int{25, 75}},
			// Nobody is healthy and nobody panics: the first level has nothing to give.
			{[][2]int{{0, 10}, {0, 30}}, 0, nil},
		} {
			c := levelled(snapshot.Cluster{Balancing: how, Panic: tc.panic}, tc.levels...)
			const n = 20_000
			got, total := make([]int, len(tc.levels)), 0
			for e, k := range shares(t, c, n) {
				if e != nil {
					got[e.priority] += k
					total += k
				}
			}
			if tc.want == nil {
				if total != 0 {
					t.Errorf("%s %v: %d of %d are sent on", how, tc.levels, total, n)
				}
				continue
			}
			for i, want := range tc.want {
				if d := got[i] - want*n/100; d < -n/50 || d > n/50 || (want == 0) != (got[i] == 0) {
					t.Errorf("%s %v, panic below %d %%: level %d got %d of %d, want %d %%", how, tc.levels, tc.panic, i, got[i], n, want)
				}
			}
		}
	}
}

// FailOnPanic leaves a level in panic without endpoints; the others go on.
func TestPriorityFailsOnPanic(t *testing.T) {
	c := levelled(snapshot.Cluster{Panic: 50, FailOnPanic: true}, [2]int{1, 10}, [2]int{6, 10})
	got := shares(t, c, 1000)
	if n := got[nil]; n < 60 || n > 250 { // 14 of 98 percent
		t.Errorf("%d of 1000 are refused", n)
	}
}

// A level comes back when its endpoints do.
func TestPriorityFailback(t *testing.T) {
	c := levelled(snapshot.Cluster{}, [2]int{0, 2}, [2]int{2, 2})
	if e := c.pick(t.Context(), 0); e.priority != 1 {
		t.Errorf("priority %d with none healthy before it", e.priority)
	}
	for _, e := range c.endpoints[:2] {
		c.state.set(e.standing, firstCheck, false)
	}
	for range 100 {
		if e := c.pick(t.Context(), 0); e.priority != 0 {
			t.Fatalf("priority %d, and those before it are healthy", e.priority)
		}
	}
	if n := testing.AllocsPerRun(100, func() { c.pick(t.Context(), 0) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
