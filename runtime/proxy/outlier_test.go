package proxy

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

const second = snapshot.Duration(time.Second)

// watched runs test, on a clock of its own, with a cluster of n endpoints
// whose outliers are looked for.
func watched(t *testing.T, o snapshot.Outliers, n int, test func(t *testing.T, c *cluster)) {
	synctest.Test(t, func(t *testing.T) {
		c := choosing(snapshot.Cluster{}, n)
		c.outliers = o
		c.state.detector.serve(c)
		test(t, c)
		c.state.detector.serve(nil)
		if out(c) != "" {
			t.Errorf("still ejected when nobody looks any more: %q", out(c))
		}
	})
}

// out writes the endpoints that are ejected as letters, the first is a.
func out(c *cluster) string {
	var b strings.Builder
	for i, e := range c.endpoints {
		if e.standing.has(ejected) {
			b.WriteByte('a' + byte(i))
		}
	}
	return b.String()
}

func (c *cluster) reportAll(i int, outcomes ...outcome) {
	for _, o := range outcomes {
		c.report(c.endpoints[i].standing, o)
	}
}

func times(n int, o outcome) (list []outcome) {
	for range n {
		list = append(list, o)
	}
	return list
}

func TestErrorsInARow(t *testing.T) {
	for _, tc := range []struct {
		name     string
		o        snapshot.Outliers
		outcomes []outcome
		want     string
	}{
		{"total", snapshot.Outliers{TotalErrors: 3}, []outcome{500, 503, 599}, "a"},
		{"fewer", snapshot.Outliers{TotalErrors: 3}, []outcome{500, 503, 404, 500, 500}, ""},
		{"off", snapshot.Outliers{GatewayErrors: 100}, times(50, 500), ""},
		{"gateway", snapshot.Outliers{GatewayErrors: 3}, []outcome{502, 503, 504}, "a"},
		{"not of the gateway", snapshot.Outliers{GatewayErrors: 3}, []outcome{502, 503, 500, 504, 502}, ""},
		{"ours count as answers", snapshot.Outliers{TotalErrors: 3}, []outcome{connected, broke, connected, late, broke}, "a"},
		{"as those of a gateway", snapshot.Outliers{GatewayErrors: 2}, []outcome{broke, late}, "a"},
		{"TCP", snapshot.Outliers{TotalErrors: 2}, []outcome{broke, carried, broke, late}, "a"},
		{"TCP that connects", snapshot.Outliers{TotalErrors: 2}, []outcome{broke, carried, broke, carried}, ""},
		{"apart", snapshot.Outliers{SplitLocal: true, TotalErrors: 1, GatewayErrors: 1, LocalErrors: 3}, []outcome{broke, late}, ""},
		{"local", snapshot.Outliers{SplitLocal: true, TotalErrors: 1, LocalErrors: 3}, []outcome{broke, late, broke}, "a"},
		{"connected between", snapshot.Outliers{SplitLocal: true, LocalErrors: 2}, []outcome{broke, connected, broke}, ""},
		{"local, not told apart", snapshot.Outliers{LocalErrors: 2}, []outcome{broke, broke}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			watched(t, tc.o, 2, func(t *testing.T, c *cluster) {
				c.reportAll(0, tc.outcomes...)
				if out(c) != tc.want {
					t.Errorf("ejected %q, want %q", out(c), tc.want)
				}
			})
		})
	}
}

// An ejection ends with the first interval after its time, which grows with
// each and shrinks with each interval of health.
func TestEjectionsGrow(t *testing.T) {
	o := snapshot.Outliers{TotalErrors: 1, Interval: 10 * second, BaseEjectionTime: 20 * second, MaxEjectionPercent: 100}
	watched(t, o, 2, func(t *testing.T, c *cluster) {
		lasts := func() (d time.Duration) {
			c.reportAll(0, 500)
			for out(c) == "a" {
				time.Sleep(time.Second)
				synctest.Wait()
				d += time.Second
			}
			return d
		}
		for _, want := range []time.Duration{20, 40, 60} {
			if d := lasts(); d != want*time.Second {
				t.Errorf("ejected for %v, want %v s", d, want)
			}
		}
		// The interval that lets it in does not count, the next three take one each.
		time.Sleep(30*time.Second + time.Millisecond)
		synctest.Wait()
		if n := c.endpoints[0].standing.ejections.backoff; n != 0 {
			t.Errorf("after 30 s of health the next ejection would still take %d times the base", n+1)
		}
		// Envoy bounds it at five minutes.
		for range 40 {
			c.reportAll(0, 500)
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			c.endpoints[0].standing.ejections.backoff = 100
		}
		if d := lasts(); d > 310*time.Second {
			t.Errorf("ejected for %v", d)
		}
	})
}

func TestMaxEjectionPercent(t *testing.T) {
	o := snapshot.Outliers{TotalErrors: 2, MaxEjectionPercent: 50}
	watched(t, o, 5, func(t *testing.T, c *cluster) {
		for i := range 5 {
			c.reportAll(i, 500, 500)
		}
		if out(c) != "ab" {
			t.Errorf("ejected %q", out(c))
		}
		if n := c.state.detector.overflow.Load(); n != 3 {
			t.Errorf("%d ejections over the bound", n)
		}
		if n := c.state.detector.ejected[totalErrors].Load(); n != 2 {
			t.Errorf("%d ejections", n)
		}
	})
	watched(t, snapshot.Outliers{TotalErrors: 1}, 2, func(t *testing.T, c *cluster) {
		c.reportAll(0, 500)
		c.reportAll(1, 500)
		if out(c) != "a" {
			t.Errorf("one may always be ejected, and no more: %q", out(c))
		}
	})
}

func TestSuccessRates(t *testing.T) {
	interval := 10 * time.Second
	deviation := snapshot.Outliers{MaxEjectionPercent: 100, StandardDeviation: snapshot.SuccessRate{MinimumHosts: 5, RequestVolume: 10, Factor: 1900}}
	failure := snapshot.Outliers{MaxEjectionPercent: 100, Failure: snapshot.SuccessRate{MinimumHosts: 3, RequestVolume: 10, Threshold: 60}}
	split := failure
	split.SplitLocal = true
	for _, tc := range []struct {
		name string
		o    snapshot.Outliers
		bad  outcome
		good []int // of 20 requests to each endpoint
		want string
	}{
		// Rates of 50, 100, 100, 100, 100 %: the bound is 52 %.
		{"deviation", deviation, 500, []int{10, 20, 20, 20, 20}, "a"},
		{"within it", deviation, 500, []int{19, 18, 20, 17, 20}, ""},
		{"all alike", deviation, 500, []int{7, 7, 7, 7, 7}, ""},
		{"too few hosts", deviation, 500, []int{0, 20, 20, 20}, ""},
		{"failures", failure, 500, []int{8, 9, 0, 20}, "ac"},
		{"too few of them", failure, 500, []int{0, 20}, ""},
		{"ours, apart", split, broke, []int{20, 8, 20}, "b"},
		{"ours, not apart", failure, broke, []int{20, 8, 20}, "b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			watched(t, tc.o, len(tc.good), func(t *testing.T, c *cluster) {
				run := func(requests int) {
					for i, good := range tc.good {
						fine := outcome(200)
						if tc.bad == broke && c.outliers.SplitLocal {
							fine = connected
						}
						c.reportAll(i, times(good*requests/20, fine)...)
						c.reportAll(i, times(requests-good*requests/20, tc.bad)...)
					}
					if out(c) != "" {
						t.Errorf("ejected before the interval ends: %q", out(c))
					}
					time.Sleep(interval + time.Millisecond)
					synctest.Wait()
				}
				run(8) // not the volume
				if out(c) != "" {
					t.Errorf("ejected for a few requests: %q", out(c))
				}
				run(20)
				if out(c) != tc.want {
					t.Errorf("ejected %q, want %q", out(c), tc.want)
				}
			})
		})
	}
}

// An active check that passes ends an ejection, but not where another fails.
func TestChecksEndEjections(t *testing.T) {
	watched(t, snapshot.Outliers{TotalErrors: 1}, 2, func(t *testing.T, c *cluster) {
		s := c.endpoints[0].standing
		c.reportAll(0, 500)
		c.state.set(s, firstCheck, true)
		c.state.detector.checked(s)
		if out(c) != "a" {
			t.Error("let in although a check fails")
		}
		c.state.set(s, firstCheck, false)
		c.state.detector.checked(s)
		if out(c) != "" {
			t.Error("not let in although it passes its checks")
		}
	})
}

// What changes with the cluster: its endpoints, the interval, the numbers.
func TestDetectionGoesOnWithANewCluster(t *testing.T) {
	watched(t, snapshot.Outliers{TotalErrors: 1, MaxEjectionPercent: 100, BaseEjectionTime: second}, 3, func(t *testing.T, c *cluster) {
		c.reportAll(0, 500)
		next := &cluster{state: c.state, outliers: c.outliers}
		next.members.endpoints = c.endpoints[:2]
		next.outliers.Interval = second
		c.state.detector.serve(next)
		if out(next) != "a" {
			t.Error("the ejection did not outlive the reload")
		}
		c.report(c.endpoints[2].standing, 500) // of a request that goes on since before
		if out(c) != "a" {
			t.Errorf("ejected %q; the third has left", out(c))
		}
		time.Sleep(time.Second + time.Millisecond)
		synctest.Wait()
		if out(c) != "" {
			t.Errorf("%q ejected: the new interval did not count", out(c))
		}
	})
}

func TestOutcomesFromManyAtOnce(t *testing.T) {
	c := choosing(snapshot.Cluster{}, 4)
	c.outliers = snapshot.Outliers{
		TotalErrors: 3, GatewayErrors: 2, MaxEjectionPercent: 50, Interval: snapshot.Duration(time.Millisecond), BaseEjectionTime: snapshot.Duration(time.Millisecond),
		Failure: snapshot.SuccessRate{MinimumHosts: 1, Threshold: 1},
	}
	c.state.detector.serve(c)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 2000 {
				c.reportAll(n%4, connected, []outcome{500, 503, broke, 200}[(n+i)%4])
				c.pick(t.Context(), 0)
				c.state.detector.checked(c.endpoints[n%4].standing)
			}
		})
	}
	wg.Wait()
	c.state.detector.serve(nil)
	if out(c) != "" {
		t.Errorf("still ejected: %q", out(c))
	}
}
