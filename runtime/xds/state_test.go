package xds_test

import (
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"

	"github.com/meshc/meshc/runtime/status"
)

// bootState connects as Envoy does and takes everything.
func (c *stateClient) boot(services ...string) {
	c.t.Helper()
	c.ask(cds, nil)
	clusters := c.expect(cds, services...)
	c.ask(eds, nil, services...)
	c.ack(c.expect(eds, services...))
	c.ack(clusters)
	c.ask(lds, nil)
	c.ack(c.expect(lds, "gateway"))
	c.ask(rds, nil, "gateway")
	c.ack(c.expect(rds, "gateway"))
	c.quiet()
}

func TestStateOfTheWorldMakesBeforeItBreaks(t *testing.T) {
	r := start(t)
	r.publish(world([]service{web("v1", one)}, gateway("v1")))
	c := r.state("gateway")
	c.boot("v1")
	next := world([]service{web("v2", two)}, gateway("v2"))
	r.publish(next)
	clusters := c.expect(cds, "v1", "v2") // v1 would be removed if it were left out
	c.quiet()
	c.names[eds] = []string{"v1", "v2"}
	c.ask(eds, nil, "v1", "v2") // with no nonce it counts as well
	endpoints := c.expect(eds, "v2")
	c.ack(clusters)
	c.quiet()
	c.ack(endpoints)
	routes := c.expect(rds, "gateway")
	c.quiet()
	c.ack(routes)
	c.ack(c.expect(cds, "v2"))
	c.ask(eds, endpoints, "v2")
	c.quiet()
	r.eventually("has it all", func(n status.Node) bool { return n.Acked == next.Version && n.Protocol == "sotw" })
}

func TestStateOfTheWorldSendsOnlyChangedEndpoints(t *testing.T) {
	r := start(t)
	r.publish(world([]service{web("a", one), web("b", one)}, gateway("a", "b")))
	c := r.state("gateway")
	c.boot("a", "b")
	r.publish(world([]service{web("a", one), web("b", two)}, gateway("a", "b")))
	c.ack(c.expect(eds, "b"))
	r.publish(world([]service{slow("a", 7, one), web("b", two)}, gateway("a", "b")))
	clusters := c.expect(cds, "a", "b")
	c.ack(c.expect(eds, "a")) // for its cluster has changed
	c.ack(clusters)
	c.quiet()
}

// A gRPC client has no wildcard: it asks for what it needs, by name, top down.
func TestStateOfTheWorldByName(t *testing.T) {
	r := start(t)
	r.publish(world([]service{web("a", one), web("b", two), web("c", two)}, gateway("a", "b", "c")))
	c := r.state("gateway")
	c.ask(lds, nil, "gateway", "gone")
	c.ack(c.expect(lds, "gateway"))
	c.ask(rds, nil, "gateway")
	c.ack(c.expect(rds, "gateway"))
	c.ask(cds, nil, "a")
	clusters := c.expect(cds, "a")
	c.ack(clusters)
	c.ask(eds, nil, "a")
	endpoints := c.expect(eds, "a")
	c.ack(endpoints)
	c.ask(cds, clusters, "a", "b")
	clusters = c.expect(cds, "a", "b")
	c.ask(cds, clusters, "b")
	c.ask(eds, endpoints, "b")
	c.ack(c.expect(eds, "b"))
	c.quiet()
	// c is none of its business.
	r.publish(world([]service{web("a", one), web("b", two), web("c", one)}, gateway("a", "b", "c")))
	c.quiet()
	r.publish(world([]service{web("a", one), web("b", one), web("c", one)}, gateway("a", "b", "c")))
	c.ack(c.expect(eds, "b"))
	c.ask(cds, clusters) // it gives up its last name, and gets no wildcard
	c.quiet()
}

// A gRPC client may be sent a cluster that it does not want any more: for its
// endpoints it never asks, and what comes next does not wait for that.
func TestStateOfTheWorldOfWhatIsGivenUp(t *testing.T) {
	r := start(t)
	r.publish(world([]service{web("a", one)}, gateway("a")))
	c := r.state("gateway")
	c.ask(cds, nil, "a", "b")
	clusters := c.expect(cds, "a")
	c.ask(eds, nil, "a")
	endpoints := c.expect(eds, "a")
	c.ack(endpoints)
	c.ack(clusters)
	c.quiet()
	r.publish(world([]service{web("a", one), web("b", two)}, gateway("a", "b")))
	clusters = c.expect(cds, "a", "b")
	c.ask(cds, clusters, "a") // taken, and b given up
	c.quiet()
	r.publish(world([]service{web("a", two), web("b", two)}, gateway("a", "b")))
	c.ack(c.expect(eds, "a"))
	c.quiet()
}

func TestStateOfTheWorldAnswersEveryFirstQuestion(t *testing.T) {
	r := start(t)
	r.publish(world([]service{web("a", one)}, gateway("a")))
	c := r.state("m.nobody")
	for _, url := range []string{cds, lds} {
		c.ask(url, nil)
		c.ack(c.expect(url))
	}
	for _, url := range []string{eds, rds} {
		c.ask(url, nil, "gone")
		c.ack(c.expect(url))
	}
	c.quiet()
}

func TestStateOfTheWorldIgnoresAnswersToWhatIsOld(t *testing.T) {
	r := start(t)
	r.publish(world([]service{web("a", one), web("b", one)}, gateway("a", "b")))
	c := r.state("gateway")
	c.ask(eds, nil, "a")
	old := c.expect(eds, "a")
	c.ask(eds, old, "a", "b")
	c.expect(eds, "b")
	c.ask(eds, old, "a") // crossed with the response
	c.quiet()
	r.publish(world([]service{web("a", one), web("b", two)}, gateway("a", "b")))
	c.names[eds] = []string{"a", "b"}
	c.quiet() // the first response for b is not answered yet
}

func TestStateOfTheWorldRefusal(t *testing.T) {
	r := start(t)
	r.publish(world([]service{web("a", one), web("b", one)}, gateway("a", "b")))
	c := r.state("gateway")
	c.boot("a", "b")
	r.publish(world([]service{slow("a", 7, one), web("b", one)}, gateway("a", "b")))
	clusters := c.expect(cds, "a", "b")
	c.ack(c.expect(eds, "a"))
	c.nack(clusters, "Invalid duration: Expected positive duration") // one had changed, so it is that
	c.quiet()
	node := r.eventually("has the refusal", refusals(1))
	if node.Refusals[0].Resource != "a" {
		t.Errorf("refusal %+v", node.Refusals[0])
	}
	// The same version is not sent again for its own sake.
	r.publish(world([]service{slow("a", 7, one), web("b", two)}, gateway("a", "b")))
	c.ack(c.expect(eds, "b"))
	c.quiet()
	r.publish(world([]service{slow("a", 8, one), web("b", two)}, gateway("a", "b")))
	clusters = c.expect(cds, "a", "b")
	c.ack(c.expect(eds, "a"))
	c.ack(clusters)
	r.eventually("has no refusal", refusals(0))
}

// What a client refused is not repeated where a response must list all: what
// it took before stands for it, and nothing for what is new.
func TestStateOfTheWorldDoesNotRepeatWhatWasRefused(t *testing.T) {
	r := start(t)
	r.publish(world([]service{web("a", one), web("b", one)}, gateway("a", "b")))
	c := r.state("gateway")
	c.boot("a", "b")
	r.publish(world([]service{slow("a", 7, one), web("b", one), web("new", one)}, gateway("a", "b", "new")))
	clusters := c.expect(cds, "a", "b", "new")
	c.ack(c.expect(eds, "a"))
	c.nack(clusters, "Error adding/updating cluster(s) a: no, new: no")
	r.eventually("has the refusals", refusals(2))
	r.publish(world([]service{slow("a", 7, one), slow("b", 8, one), web("new", one)}, gateway("a", "b", "new")))
	clusters = c.expect(cds, "a", "b")
	for i, want := range []time.Duration{time.Second, 8 * time.Second} {
		_, m := unpack(clusters.Resources[i])
		if got := m.(*clusterv3.Cluster).ConnectTimeout.AsDuration(); got != want {
			t.Errorf("cluster %d has %s, not %s", i, got, want)
		}
	}
}

func TestStateOfTheWorldReconnects(t *testing.T) {
	r := start(t)
	r.publish(world([]service{slow("a", 7, one)}, gateway("a")))
	c := r.state("gateway")
	c.boot("a")
	again := r.state("gateway")
	again.boot("a")
}

func TestStateOfTheWorldTriesFiltersBeforeTheirListener(t *testing.T) {
	r := start(t, withText)
	r.publish(filteredGateway())
	c := r.state("gateway")
	c.boot("v1")
	r.publish(filteredGateway(text("p", "1"), text("q", "bad")))
	c.ack(c.expect(lds, "gateway", trial)) // the gateway would be removed if it were left out
	c.quiet()
	c.ask(ecds, nil, "text/p", "text/q")
	p, q := c.expect(ecds, "text/p"), c.expect(ecds, "text/q")
	c.ack(p)
	c.nack(q, "no")
	c.quiet()
	node := r.eventually("has the refusal", refusals(1))
	if got := node.Refusals[0]; got.Resource != "text/q" || got.Origins[0].File != "q.yaml" {
		t.Errorf("refusal %+v", got)
	}
	last := filteredGateway(text("p", "1"), text("q", "good"))
	r.publish(last)
	c.ack(c.expect(ecds, "text/q"))
	c.ack(c.expect(lds, "gateway", trial))
	c.quiet()
	r.eventually("has it all", func(n status.Node) bool { return n.Acked == last.Version && len(n.Refusals) == 0 })
}
