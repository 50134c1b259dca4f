package xds_test

import (
	"strings"
	"testing"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/status"
)

// slow returns web with another timeout, so that its cluster changes.
func slow(name string, seconds int, endpoints ...snapshot.Endpoint) service {
	s := web(name, endpoints...)
	s.timeout = time.Duration(seconds) * time.Second
	return s
}

func refusals(n int) func(status.Node) bool {
	return func(node status.Node) bool { return len(node.Refusals) == n }
}

func TestRefusalNamesTheResourceAndItsOrigin(t *testing.T) {
	const (
		a = "Error adding/updating cluster(s) a: ring hash: minimum_ring_size() > maximum_ring_size()"
		b = "Error adding/updating cluster(s) a-b: b: no, a.b: no"
	)
	tests := []struct {
		name    string
		changed []service
		message string
		want    map[string]string // resource to file
	}{
		{"by name", []service{slow("a", 7), slow("a-b", 7)}, a, map[string]string{"a": "a.yaml"}},
		{"several, and not those whose names are parts of them", []service{slow("a", 7), slow("a-b", 7), slow("a.b", 7), slow("b", 7)}, b,
			map[string]string{"a-b": "a-b.yaml", "a.b": "a.b.yaml"}},
		{"in quotes", []service{slow("a", 7), slow("b", 7)}, "cluster 'b' is not to my taste", map[string]string{"b": "b.yaml"}},
		{"no name, but only one it can be", []service{slow("b", 7)}, "Proto constraint validation failed", map[string]string{"b": "b.yaml"}},
		{"no name", []service{slow("a", 7), slow("b", 7)}, "Proto constraint validation failed", map[string]string{"": "a.yaml"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			names := []string{"a", "a-b", "a.b", "b"}
			all := map[string]service{}
			for _, n := range names {
				all[n] = web(n)
			}
			build := func() snapshot.Snapshot {
				var list []service
				for _, s := range all {
					list = append(list, s)
				}
				return world(list, gateway(names...))
			}
			r := start(t)
			r.publish(build())
			c := r.delta("gateway")
			c.boot([]string{"gateway"}, names)
			for _, s := range test.changed {
				all[s.name] = s
			}
			r.publish(build())
			c.nack(c.receive(), test.message)
			node := r.eventually("has the refusals", refusals(len(test.want)))
			for _, refusal := range node.Refusals {
				file, ok := test.want[refusal.Resource]
				if !ok || refusal.Type != "cluster" || refusal.Message != test.message || refusal.Version == "" ||
					len(refusal.Origins) == 0 || refusal.Origins[0].File != file || refusal.Origins[0].Line != 3 {
					t.Errorf("refusal %+v", refusal)
				}
			}
		})
	}
}

func TestRefusalOfARouteLeadsToTheVirtualHost(t *testing.T) {
	r := start(t)
	r.publish(world([]service{web("a"), web("b")}, gateway("a")))
	c := r.delta("gateway")
	c.boot([]string{"gateway"}, []string{"a"})
	r.publish(world([]service{web("a"), web("b")}, gateway("a", "b")))
	clusters := c.expect(cds, "b")
	c.subscribe(eds, "b")
	c.ack(c.expect(eds, "b"))
	c.ack(clusters)
	c.nack(c.expect(rds, "gateway"), "route: unknown cluster 'b'")
	node := r.eventually("has the refusal", refusals(1))
	got := node.Refusals[0]
	if got.Type != "route" || got.Resource != "gateway" || len(got.Origins) != 1 || got.Origins[0].File != "b.yaml" {
		t.Errorf("refusal %+v", got)
	}
}

func TestRefusalHoldsTheGeneration(t *testing.T) {
	r := start(t)
	first := world([]service{web("v1", one)}, gateway("v1"))
	r.publish(first)
	c := r.delta("gateway")
	c.boot([]string{"gateway"}, []string{"v1"})
	bad := []service{slow("v2", 7, two), web("v3", two)}
	r.publish(world(bad, gateway("v2", "v3")))
	clusters := c.expect(cds, "v2", "v3")
	c.subscribe(eds, "v3")
	c.ack(c.expect(eds, "v3"))
	c.nack(clusters, "Error adding/updating cluster(s) v2: no")
	c.quiet() // no route, and v1 stays

	// Another version with the same refused cluster: its endpoints move, the
	// routes do not, and the refused version is not sent again.
	bad[1].endpoints = []snapshot.Endpoint{one}
	r.publish(world(bad, gateway("v2", "v3")))
	c.ack(c.expect(eds, "v3"))
	c.quiet()
	node := r.eventually("has the refusal", refusals(1))
	if node.Acked != first.Version {
		t.Errorf("accepted is %s, not the first version", node.Acked.Short())
	}

	good := world([]service{slow("v2", 8, two), web("v3", one)}, gateway("v2", "v3"))
	r.publish(good)
	clusters = c.expect(cds, "v2")
	c.subscribe(eds, "v2")
	c.ack(c.expect(eds, "v2"))
	c.ack(clusters)
	c.ack(c.expect(rds, "gateway"))
	c.ack(c.expect(cds, "-v1"))
	node = r.eventually("has accepted it", func(n status.Node) bool { return n.Acked == good.Version })
	if len(node.Refusals) > 0 {
		t.Errorf("refusals %+v", node.Refusals)
	}
}

func TestRefusalWithoutANameBringsTheOthersBack(t *testing.T) {
	r := start(t)
	r.publish(world([]service{web("a"), web("b"), web("c")}, gateway("a", "b", "c")))
	c := r.delta("gateway")
	c.boot([]string{"gateway"}, []string{"a", "b", "c"})
	r.publish(world([]service{slow("a", 7), slow("b", 7), web("c")}, gateway("a", "b", "c")))
	clusters := c.expect(cds, "a", "b")
	c.ack(c.expect(eds, "a", "b"))
	c.nack(clusters, "Invalid duration: Expected positive duration")
	r.eventually("has the refusal", refusals(1))
	// The client took neither; b is sent again because a has changed.
	r.publish(world([]service{slow("a", 8), slow("b", 7), web("c")}, gateway("a", "b", "c")))
	clusters = c.expect(cds, "a", "b")
	c.ack(c.expect(eds, "a", "b"))
	c.ack(clusters)
	c.quiet()
	r.eventually("has no refusal", refusals(0))
}

func TestRefusedListenerKeepsWhatItUsed(t *testing.T) {
	r := start(t)
	r.publish(world([]service{web("v1", one)}, proxy("m.d", outboundTCP(1, "v1"))))
	c := r.delta("m.d")
	c.subscribe(cds)
	clusters := c.expect(cds, "v1")
	c.subscribe(eds, "v1")
	c.ack(c.expect(eds, "v1"))
	c.ack(clusters)
	c.subscribe(lds)
	c.ack(c.expect(lds, "outbound:127.0.0.1:1"))
	next := proxy("m.d", outboundTCP(1, "v2"))
	r.publish(world([]service{web("v2", two)}, next))
	clusters = c.expect(cds, "v2")
	c.subscribe(eds, "v2")
	c.ack(c.expect(eds, "v2"))
	c.ack(clusters)
	c.nack(c.expect(lds, "outbound:127.0.0.1:1"), "cannot bind '127.0.0.1:1': Address already in use")
	c.quiet()
	// Later versions reach the client, but v1 stays while its listener may.
	r.publish(world([]service{web("v2", one)}, next))
	c.ack(c.expect(eds, "v2"))
	c.quiet()
	r.eventually("has the refusal", refusals(1))
	r.publish(world(nil, proxy("m.d")))
	c.ack(c.expect(lds, "-outbound:127.0.0.1:1"))
	c.ack(c.expect(cds, "-v1", "-v2"))
	r.eventually("has no refusal", refusals(0))
}

func TestFreshClientIsServedBesideARefusedCluster(t *testing.T) {
	r := start(t)
	r.publish(world([]service{web("a", one), web("bad", two)}, gateway("a", "bad")))
	c := r.delta("gateway")
	c.subscribe(cds)
	c.nack(c.expect(cds, "a", "bad"), "Error adding/updating cluster(s) bad: no")
	c.subscribe(eds, "a")
	c.ack(c.expect(eds, "a"))
	c.subscribe(lds)
	c.ack(c.expect(lds, "gateway"))
	c.subscribe(rds, "gateway")
	c.ack(c.expect(rds, "gateway"))
	c.quiet()
}

func TestFreshClientIsServedEvenIfItAskedBeforeItRefused(t *testing.T) {
	r := start(t)
	r.publish(world([]service{web("bad", two)}, gateway("bad")))
	c := r.delta("gateway")
	c.subscribe(cds)
	clusters := c.expect(cds, "bad")
	c.subscribe(lds)
	c.subscribe(rds, "gateway")
	c.quiet()
	c.nack(clusters, "no")
	c.expect(lds, "gateway")
	c.expect(rds, "gateway")
}

func TestLongRefusalIsCut(t *testing.T) {
	r := start(t)
	r.publish(world([]service{web("a", one)}, gateway("a")))
	c := r.delta("gateway")
	c.subscribe(cds)
	c.nack(c.expect(cds, "a"), strings.Repeat("é", 1<<20))
	n := r.eventually("has the refusal", refusals(1))
	if size := len(n.Refusals[0].Message); size > 4096 {
		t.Errorf("the message has %d bytes", size)
	}
}
