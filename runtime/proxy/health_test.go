package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// examined is a cluster that is checked, by connecting, on a clock of its own.
type examined struct {
	*cluster
	mu   sync.Mutex
	bad  map[string]bool     // endpoints that cannot be connected to
	slow map[string]bool     // that do not answer
	at   map[string][]string // when each was checked, in seconds
}

func examine(t *testing.T, spec snapshot.Cluster, n int, test func(t *testing.T, x *examined)) {
	synctest.Test(t, func(t *testing.T) {
		c := choosing(spec, n)
		x := &examined{cluster: c, bad: map[string]bool{}, slow: map[string]bool{}, at: map[string][]string{}}
		x.check(spec)
		start := time.Now()
		c.state.checker.dial = func(ctx context.Context, _ *cluster, p *pool) (net.Conn, error) {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.at[p.text] = append(x.at[p.text], fmt.Sprint(time.Since(start).Round(time.Millisecond).Seconds()))
			if x.slow[p.text] {
				x.mu.Unlock()
				<-ctx.Done()
				x.mu.Lock()
				return nil, ctx.Err()
			}
			if x.bad[p.text] {
				return nil, errors.New("refused")
			}
			a, b := net.Pipe()
			b.Close()
			return a, nil
		}
		test(t, x)
		c.state.checker.serve(nil)
		synctest.Wait()
	})
}

// check gives x the checks of spec.
func (x *examined) check(spec snapshot.Cluster) {
	checks, err := newChecks(spec)
	if err != nil {
		panic(err)
	}
	x.checks, x.checksDigest = checks, snapshot.DigestOf(spec.Checks)
}

func (x *examined) set(which map[string]bool, i int, on bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	which[x.endpoints[i].pool.text] = on
}

// healthy lists the endpoints that are, in order.
func (x *examined) healthy() (list []int) {
	for i, e := range x.endpoints {
		if e.standing.healthy() {
			list = append(list, i)
		}
	}
	return list
}

func (x *examined) expect(t *testing.T, when string, want ...int) {
	t.Helper()
	synctest.Wait()
	if got := x.healthy(); !slices.Equal(got, want) {
		t.Errorf("%s: healthy are %v, want %v", when, got, want)
	}
}

func (x *examined) checkedAt(t *testing.T, i int, want ...string) {
	t.Helper()
	synctest.Wait()
	x.mu.Lock()
	defer x.mu.Unlock()
	if got := x.at[x.endpoints[i].pool.text]; !slices.Equal(got, want) {
		t.Errorf("endpoint %d was checked at %v, want %v", i, got, want)
	}
}

// each is a cluster with the check h.
func each(h ...snapshot.HealthCheck) snapshot.Cluster {
	return snapshot.Cluster{Checks: snapshot.ListOf(h...)}
}

// tick waits for d and what happens by then; it is one nanosecond late.
func tick(d time.Duration) { time.Sleep(d + 1); synctest.Wait() }

var everySecond = snapshot.HealthCheck{Interval: second, Timeout: second / 2, Unhealthy: 3, Healthy: 2}

func TestThresholdsOfChecks(t *testing.T) {
	examine(t, each(everySecond), 2, func(t *testing.T, x *examined) {
		x.state.meter.connects.Add(1) // there was traffic
		x.set(x.bad, 1, true)
		x.state.checker.serve(x.cluster)
		x.expect(t, "after the first check", 0)
		x.set(x.bad, 0, true)
		x.set(x.bad, 1, false)
		tick(time.Second)
		x.expect(t, "after one more", 0)
		tick(time.Second)
		x.expect(t, "the second is well twice in a row", 0, 1)
		tick(time.Second)
		x.expect(t, "the first failed three times", 1)
		x.set(x.bad, 0, false)
		tick(time.Second)
		x.set(x.bad, 0, true)
		tick(time.Second)
		x.set(x.bad, 0, false)
		tick(time.Second)
		x.expect(t, "it was not well twice in a row", 1)
		tick(time.Second)
		x.expect(t, "now it was", 0, 1)
		if n, m := x.state.checker.succeeded.Load(), x.state.checker.failed.Load(); n+m != 16 || m != 5 {
			t.Errorf("counted %d good and %d bad checks", n, m)
		}
	})
}

func TestTimesOfChecks(t *testing.T) {
	h := everySecond
	h.NoTrafficInterval = 5 * second
	examine(t, each(h), 1, func(t *testing.T, x *examined) {
		x.state.checker.serve(x.cluster)
		tick(11 * time.Second)
		x.checkedAt(t, 0, "0", "5", "10")
		x.state.meter.connects.Add(1)
		x.set(x.slow, 0, true)
		tick(7 * time.Second) // 18: the interval begins when a check has ended
		x.checkedAt(t, 0, "0", "5", "10", "15", "16.5", "18")
		x.expect(t, "two time-outs and one under way", 0)
		tick(time.Second)
		x.expect(t, "three time-outs")
	})
	for _, h := range []snapshot.HealthCheck{
		{Interval: 10 * second, Timeout: second, Unhealthy: 1, Healthy: 1, InitialJitter: 20 * second},
		{Interval: 10 * second, Timeout: second, Unhealthy: 1, Healthy: 1, Jitter: 5 * second, JitterPercent: 50},
	} {
		examine(t, each(h), 50, func(t *testing.T, x *examined) {
			x.state.meter.connects.Add(1)
			x.state.checker.serve(x.cluster)
			tick(41 * time.Second)
			first, later := map[string]bool{}, map[string]bool{}
			for _, at := range x.at {
				first[at[0]], later[at[1]] = true, true
				if n := len(at); n < 3 || n > 5 {
					t.Errorf("checked at %v", at)
				}
			}
			if (len(first) > 40) != (h.InitialJitter > 0) || len(later) < 40 {
				t.Errorf("first checks at %d, second at %d moments", len(first), len(later))
			}
		})
	}
}

// An endpoint that is out has an interval of its own, until it is well again.
func TestIntervalOfEndpointsThatAreOut(t *testing.T) {
	h := snapshot.HealthCheck{Interval: 10 * second, NoTrafficInterval: 10 * second, OutInterval: second, Timeout: second / 2, Unhealthy: 2, Healthy: 2}
	for traffic, want := range map[uint64][]string{
		0: {"0", "10", "11", "12", "13", "23"}, // a failure alone is enough
		1: {"0", "10", "20", "21", "22", "32"},
	} {
		examine(t, each(h), 1, func(t *testing.T, x *examined) {
			x.state.meter.connects.Add(traffic)
			x.state.checker.serve(x.cluster)
			tick(5 * time.Second)
			x.set(x.bad, 0, true)
			until := 11 * time.Second // when it is out
			if traffic > 0 {
				until = 20 * time.Second
			}
			tick(until - 5*time.Second)
			x.expect(t, "after two failures")
			x.set(x.bad, 0, false)
			tick(13 * time.Second)
			x.expect(t, "after two that were well", 0)
			x.checkedAt(t, 0, want...)
		})
	}
}

func TestAllChecksMustHold(t *testing.T) {
	slow := everySecond
	slow.Interval, slow.Unhealthy = 10*second, 1
	examine(t, each(everySecond, slow), 1, func(t *testing.T, x *examined) {
		x.state.meter.connects.Add(1)
		x.state.checker.serve(x.cluster)
		x.expect(t, "both are well", 0)
		x.set(x.bad, 0, true)
		tick(10 * time.Second)
		x.expect(t, "both failed")
		x.set(x.bad, 0, false)
		tick(5 * time.Second)
		x.expect(t, "only one is well again")
		tick(20 * time.Second)
		x.expect(t, "the other too", 0)
	})
}

// A check that is no more holds no endpoint back.
func TestChecksBecomeFewer(t *testing.T) {
	slow := everySecond
	slow.Interval = 10 * second
	examine(t, each(everySecond, slow), 2, func(t *testing.T, x *examined) {
		x.state.meter.connects.Add(1)
		x.set(x.bad, 0, true)
		x.state.checker.serve(x.cluster)
		x.expect(t, "both checks of the first failed", 1)
		x.set(x.bad, 0, false)
		x.check(each(everySecond))
		x.state.checker.serve(x.cluster)
		x.expect(t, "the check that is left decides", 0, 1)
		x.set(x.bad, 1, true)
		tick(3 * time.Second)
		x.expect(t, "it still does", 0)
	})
}

// The first requests wait until all endpoints are judged; later ones only
// where there is nothing else.
func TestFirstRequestsWait(t *testing.T) {
	examine(t, each(everySecond), 3, func(t *testing.T, x *examined) {
		x.set(x.bad, 0, true)
		x.set(x.slow, 1, true)
		if x.pick(t.Context(), 0) == nil {
			t.Error("a cluster that does not serve yet has no endpoint")
		}
		x.state.checker.serve(x.cluster)
		start := time.Now()
		for range 3 {
			if e := x.pick(t.Context(), 0); e != x.endpoints[2] {
				t.Errorf("chose %v", e)
			}
		}
		if took := time.Since(start); took != time.Second/2 {
			t.Errorf("waited %v", took)
		}
		// Another endpoint comes, of which nothing is known.
		next := choosing(snapshot.Cluster{}, 4).endpoints[3]
		x.slow[next.pool.text] = true
		x.members.endpoints = append(slices.Clone(x.endpoints), next)
		x.newest.Store(nil)
		x.state.checker.serve(x.cluster)
		x.expect(t, "with one more", 2)
		start = time.Now()
		x.pick(t.Context(), 0)
		if took := time.Since(start); took != 0 {
			t.Errorf("waited %v for one that is not needed", took)
		}
		// It is the only one left, and its check will end.
		x.members.endpoints = x.endpoints[3:]
		x.newest.Store(nil)
		x.state.checker.serve(x.cluster)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/4)
		if x.pick(ctx, 0) != nil || ctx.Err() == nil {
			t.Error("did not wait as long as it may")
		}
		cancel()
		if x.pick(t.Context(), 0) != nil || time.Since(start) != time.Second/2 {
			t.Errorf("after %v", time.Since(start))
		}
	})
}

func TestChecksOutliveAReload(t *testing.T) {
	examine(t, each(everySecond), 2, func(t *testing.T, x *examined) {
		x.state.meter.connects.Add(1)
		x.set(x.bad, 1, true)
		x.state.checker.serve(x.cluster)
		tick(1500 * time.Millisecond)
		x.checkedAt(t, 0, "0", "1")
		// The balancing changes, an endpoint comes, another goes.
		next := &cluster{state: x.state, checks: x.checks, checksDigest: x.checksDigest}
		next.members.endpoints = append(slices.Clone(x.endpoints[:1]), choosing(snapshot.Cluster{}, 3).endpoints[2])
		x.cluster = next
		x.state.checker.serve(next)
		tick(time.Second)
		x.checkedAt(t, 0, "0", "1", "2") // as if nothing had been
		x.checkedAt(t, 1, "1.5", "2.5")
		// Another check begins anew; what was well is until it has judged.
		h := everySecond
		h.InitialJitter, h.Unhealthy = 1, 5
		x.check(each(h))
		x.set(x.slow, 0, true)
		x.state.checker.serve(x.cluster)
		x.expect(t, "under the new check", 0, 1)
		tick(time.Second / 2)
		x.expect(t, "the first check decides", 1)
		// Without checks, all are well.
		x.checks = nil
		x.state.checker.serve(x.cluster)
		x.expect(t, "without checks", 0, 1)
		before := fmt.Sprint(x.at)
		tick(time.Minute)
		if fmt.Sprint(x.at) != before {
			t.Error("still checked")
		}
		// And with them again, all have served.
		x.check(each(h))
		x.set(x.slow, 1, true)
		x.state.checker.serve(x.cluster)
		if x.mayWait() || len(x.healthy()) != 2 {
			t.Error("a policy that comes makes requests wait")
		}
	})
}

// A connection that is kept for checks is made anew where requests connect
// otherwise than before.
func TestChecksFollowTheTransport(t *testing.T) {
	h := everySecond
	h.Send, h.Receive = "cGluZw==", snapshot.ListOf("cG9uZw==")
	examine(t, each(h), 1, func(t *testing.T, x *examined) {
		x.state.meter.connects.Add(1)
		var over []*pool
		closed := 0
		x.state.checker.dial = func(_ context.Context, _ *cluster, p *pool) (net.Conn, error) {
			over = append(over, p)
			a, b := net.Pipe()
			go func() {
				for buf := make([]byte, 4); ; {
					if _, err := b.Read(buf); err != nil {
						closed++
						return
					}
					b.Write([]byte("pong"))
				}
			}()
			return a, nil
		}
		x.state.checker.serve(x.cluster)
		tick(1500 * time.Millisecond)
		if len(over) != 1 {
			t.Fatalf("connected %d times", len(over))
		}
		next := &cluster{state: x.state, checks: x.checks, checksDigest: x.checksDigest}
		e := *x.endpoints[0]
		e.pool = &pool{}
		next.members.endpoints = []*endpoint{&e}
		x.state.checker.serve(next)
		tick(2 * time.Second)
		if len(over) != 2 || over[1] != e.pool || closed != 1 {
			t.Errorf("connected %d times, closed %d", len(over), closed)
		}
	})
}

func TestCheckersEndWhileTheyRun(t *testing.T) {
	c := choosing(snapshot.Cluster{}, 20)
	h := everySecond
	h.Interval = 1
	var err error
	if c.checks, err = newChecks(each(h)); err != nil {
		t.Fatal(err)
	}
	c.state.checker.dial = func(ctx context.Context, _ *cluster, p *pool) (net.Conn, error) {
		a, b := net.Pipe()
		b.Close()
		return a, nil
	}
	for range 20 {
		c.state.checker.serve(c)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if c.pick(t.Context(), 0) == nil {
					t.Error("nothing to choose")
				}
			})
		}
		wg.Wait()
		c.state.checker.serve(nil)
	}
	if n := c.state.checker.unjudged.Load(); n != 0 {
		t.Errorf("%d endpoints wait for a check that has ended", n)
	}
}
