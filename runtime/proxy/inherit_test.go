package proxy

import (
	"context"
	"testing"

	"github.com/meshc/meshc/compiler/snapshot"
)

// renamed is a world whose gateway sends to cluster name, with the endpoints of
// "a"; with other, a TCP listener sends to a cluster "a".
func renamed(name string, other bool, addresses ...string) *world {
	w := &world{}
	w.cluster("a", addresses...)
	plain := w.clusters[0]
	w.clusters[0].Name = name
	if name != "a" {
		w.clusters[0].Endpoints = "a"
	}
	w.clusters[0].Outliers = snapshot.Outliers{TotalErrors: 1, MaxEjectionPercent: 100}
	w.host("x", name)
	if other {
		if name != "a" {
			w.clusters = append(w.clusters, plain)
		}
		w.tcp("l", "a")
	}
	return w
}

// A policy that comes to a cluster gives it another name, and takes nothing away.
func TestStateFollowsARenamedCluster(t *testing.T) {
	addresses := []string{named(t, "1"), named(t, "2"), named(t, "3")}
	p := run(t, renamed("a", false, addresses...))
	now := func() *cluster { i, _ := p.current.cluster("a"); return p.current.clusters[i] }
	before := now()
	// A connection is back in its pool a moment after the answer.
	get := func() {
		t.Helper()
		get(t, p, "x", "/")
		until(t, "the connection is pooled", func() bool {
			load, idle := &before.state.load, int64(0)
			for _, pl := range before.state.appendPools(nil) {
				pl.mu.Lock()
				idle += int64(len(pl.idle))
				pl.mu.Unlock()
			}
			return load.connections.now.Load() == idle
		})
	}
	for range 6 {
		get()
	}
	before.report(before.endpoints[1].standing, 500)
	state, connects := before.state, before.state.meter.connects.Load()

	_, abort, err := p.Prepare(t.Context(), renamed("a~timeout=slow", false, addresses...).snapshot())
	if err != nil {
		t.Fatal(err)
	}
	abort()
	get()
	for _, name := range []string{"a~timeout=slow", "a~healthcheck=h,timeout=slow", "a"} {
		publish(t, p, renamed(name, false, addresses...))
		c := p.current.clusters[0]
		if c.name != name || c.state != state || state.closed {
			t.Fatalf("%s began anew (closed: %t)", c.name, state.closed)
		}
		if out(c) != "b" {
			t.Errorf("%s: ejected %q", name, out(c))
		}
		for range 4 {
			get()
		}
	}
	if n := state.meter.connects.Load(); n != connects {
		t.Errorf("%d connections made anew", n-connects)
	}
	publish(t, p, &world{})
	if !state.closed {
		t.Error("what nobody has any more is not closed")
	}
}

// Where another listener goes on with the former cluster, the new one knows
// what that knew, and has pools and counts of its own.
func TestStateIsCopiedWhereBothStay(t *testing.T) {
	addresses := []string{named(t, "1"), named(t, "2")}
	p := run(t, renamed("a", true, addresses...))
	before := p.current.clusters[0]
	before.report(before.endpoints[0].standing, 500)
	publish(t, p, renamed("a~timeout=slow", true, addresses...))
	a, b := p.current.clusters[0], p.current.clusters[1]
	if a.name != "a" || a.state != before.state || b.state == before.state {
		t.Fatal("the former cluster lost its state")
	}
	if out(a) != "" || out(b) != "a" {
		t.Errorf("ejected: %q of the former, %q of the new one", out(a), out(b))
	}
	b.state.detector.mu.Lock()
	b.state.detector.pardon(b.endpoints[0].standing, b.endpoints[0].standing.ejections.at)
	b.state.detector.mu.Unlock()
	if b.pick(context.Background(), 0) == b.pick(context.Background(), 0) {
		t.Error("not let in again")
	}
}
