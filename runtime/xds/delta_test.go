package xds_test

import (
	"testing"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/status"
	"github.com/meshc/meshc/runtime/xds"
)

var one, two = at("192.0.2.1", 80), at("192.0.2.2", 80)

func web(name string, endpoints ...snapshot.Endpoint) service {
	return service{name: name, endpoints: endpoints}
}

func TestDeltaSubscriptions(t *testing.T) {
	snap := world([]service{web("a", one), web("b", two), web("unused")}, gateway("a", "b"))
	t.Run("wildcard by asking for nothing", func(t *testing.T) {
		r := start(t)
		r.publish(snap)
		c := r.delta("gateway")
		c.subscribe(cds)
		c.expect(cds, "a", "b")
	})
	t.Run("wildcard by its name", func(t *testing.T) {
		r := start(t)
		r.publish(snap)
		c := r.delta("gateway")
		c.subscribe(cds, "*")
		c.expect(cds, "a", "b")
	})
	t.Run("names", func(t *testing.T) {
		r := start(t)
		r.publish(snap)
		c := r.delta("gateway")
		c.subscribe(cds, "b", "gone", "unused")
		c.expect(cds, "b", "-gone", "-unused")
	})
	t.Run("a name besides the wildcard is answered although it is known", func(t *testing.T) {
		r := start(t)
		r.publish(snap)
		c := r.delta("gateway")
		c.subscribe(cds, "*", "gone")
		c.expect(cds, "a", "b", "-gone")
		c.subscribe(cds, "b")
		c.expect(cds, "b")
		c.unsubscribe(cds, "b")
		c.expect(cds, "b") // the wildcard still wants it
		c.unsubscribe(cds, "gone")
		c.expect(cds, "-gone")
		c.unsubscribe(cds, "*")
		c.quiet()
	})
	t.Run("endpoints and routes have no wildcard unless it is named", func(t *testing.T) {
		r := start(t)
		r.publish(snap)
		c := r.delta("gateway")
		c.subscribe(eds)
		c.quiet()
		c.subscribe(eds, "*")
		c.expect(eds, "a", "b")
	})
	t.Run("absent names are answered at once, and later when they come", func(t *testing.T) {
		r := start(t)
		r.publish(snap)
		c := r.delta("gateway")
		c.subscribe(eds, "a", "later")
		c.ack(c.expect(eds, "a", "-later"))
		r.publish(world([]service{web("a", one), web("later", two)}, gateway("a", "later")))
		c.expect(eds, "later")
	})
	t.Run("what is no longer wanted is not sent", func(t *testing.T) {
		r := start(t)
		r.publish(snap)
		c := r.delta("gateway")
		c.subscribe(eds, "a", "b")
		c.ack(c.expect(eds, "a", "b"))
		c.unsubscribe(eds, "a")
		c.quiet()
		r.publish(world([]service{web("a", two), web("b", one)}, gateway("a", "b")))
		c.expect(eds, "b")
	})
	t.Run("listener without HTTP", func(t *testing.T) {
		r := start(t)
		r.publish(world([]service{{name: "db", tcp: true}}, proxy("m.d", outboundTCP(1, "db"), outboundTCP(2))))
		c := r.delta("m.d")
		c.subscribe(cds)
		clusters := c.expect(cds, "db", "meshc/no-endpoints")
		c.subscribe(eds, "db")
		c.ack(c.expect(eds, "db"))
		c.ack(clusters)
		c.subscribe(lds)
		c.expect(lds, "outbound:127.0.0.1:1", "outbound:127.0.0.1:2")
	})
}

func TestBeforeTheFirstSnapshotClientsWait(t *testing.T) {
	r := start(t)
	c := r.delta("gateway")
	c.reconnect(cds, map[string]string{"a": "of an earlier server"}, "*")
	c.quiet()
	r.publish(world([]service{web("a", one)}, gateway("a")))
	c.expect(cds, "a")
}

func TestMakeBeforeBreak(t *testing.T) {
	r := start(t)
	r.publish(world([]service{web("v1", one)}, proxy("m.d", outbound(1, host("web", []string{"*"}, "/", "v1")), outboundTCP(2, "v1"))))
	c := r.delta("m.d")
	http, tcp, added := "outbound:127.0.0.1:1", "outbound:127.0.0.1:2", "outbound:127.0.0.1:3"
	c.subscribe(cds)
	clusters := c.expect(cds, "v1")
	c.subscribe(eds, "v1")
	c.ack(c.expect(eds, "v1"))
	c.ack(clusters)
	c.subscribe(lds)
	c.ack(c.expect(lds, http, tcp))
	c.subscribe(rds, http)
	c.ack(c.expect(rds, http))
	c.quiet()

	r.publish(world([]service{web("v2", two)}, proxy("m.d",
		outbound(1, host("web", []string{"*"}, "/", "v2")), outbound(3, host("web", []string{"*"}, "/", "v2")))))
	clusters = c.expect(cds, "v2")
	c.quiet() // the endpoints are not asked for yet
	c.subscribe(eds, "v2")
	endpoints := c.expect(eds, "v2")
	c.quiet()
	c.ack(endpoints)
	c.quiet()
	c.ack(clusters)
	listeners := c.expect(lds, added)
	c.quiet()
	c.ack(listeners)
	c.quiet() // its routes are not asked for yet
	c.subscribe(rds, added)
	routes := c.expect(rds, added)
	c.quiet()
	c.ack(routes)
	routes = c.expect(rds, http)
	c.quiet()
	c.ack(routes)
	listeners = c.expect(lds, "-"+tcp)
	c.quiet()
	c.ack(listeners)
	clusters = c.expect(cds, "-v1")
	c.quiet()
	c.ack(clusters)
	c.unsubscribe(eds, "v1")
	c.quiet()
}

func TestAcksBeforeQuestionsDoNotOpenTheBarrier(t *testing.T) {
	r := start(t)
	r.publish(world([]service{web("v1", one)}, gateway("v1")))
	c := r.delta("gateway")
	c.boot([]string{"gateway"}, []string{"v1"})
	r.publish(world([]service{web("v1", one), web("v2", two)}, gateway("v1", "v2")))
	c.ack(c.expect(cds, "v2"))
	c.quiet()
	c.subscribe(eds, "v2")
	c.ack(c.expect(eds, "v2"))
	c.expect(rds, "gateway")
}

func TestUnorderedSendsAllAtOnce(t *testing.T) {
	r := start(t, func(c *xds.Config) { c.Unordered = true })
	r.publish(world([]service{web("v1", one)}, gateway("v1")))
	c := r.delta("gateway")
	c.boot([]string{"gateway"}, []string{"v1"})
	r.publish(world([]service{web("v2", two)}, gateway("v2")))
	c.expect(cds, "v2")
	c.expect(rds, "gateway")
	c.expect(cds, "-v1")
}

func TestBarrierOpensWhenTheClientStaysSilent(t *testing.T) {
	r := start(t, func(c *xds.Config) { c.BarrierTimeout = time.Millisecond })
	r.publish(world([]service{web("v1", one)}, gateway("v1")))
	c := r.delta("gateway")
	c.boot([]string{"gateway"}, []string{"v1"})
	r.publish(world([]service{web("v2", two)}, gateway("v2")))
	c.expect(cds, "v2")
	c.expect(rds, "gateway")
	c.expect(cds, "-v1")
}

func TestChangedClusterGetsItsEndpointsAgain(t *testing.T) {
	r := start(t)
	r.publish(world([]service{web("a", one), web("b", one)}, gateway("a", "b")))
	c := r.delta("gateway")
	c.boot([]string{"gateway"}, []string{"a", "b"})
	slow := web("a", one)
	slow.timeout = 7 * time.Second
	r.publish(world([]service{slow, web("b", one)}, gateway("a", "b")))
	clusters := c.expect(cds, "a")
	c.ack(c.expect(eds, "a")) // nobody asked, and the cluster is not accepted yet
	c.ack(clusters)
	c.quiet()
}

func TestOneEndpointChangedIsAllThatIsSent(t *testing.T) {
	r := start(t)
	r.publish(world([]service{web("a", one), web("b", one)}, gateway("a", "b")))
	c := r.delta("gateway")
	c.boot([]string{"gateway"}, []string{"a", "b"})
	r.publish(world([]service{web("a", one), web("b", two)}, gateway("a", "b")))
	c.ack(c.expect(eds, "b"))
	c.quiet()
	r.publish(world([]service{web("a", one), web("b", two)}, gateway("a", "b")))
	c.quiet()
}

func TestGenerationsCoalesce(t *testing.T) {
	r := start(t)
	r.publish(world([]service{web("a", one), web("b", one)}, gateway("a", "b")))
	c := r.delta("gateway")
	c.boot([]string{"gateway"}, []string{"a", "b"})
	r.publish(world([]service{web("a", two), web("b", one)}, gateway("a", "b")))
	first := c.expect(eds, "a")
	r.publish(world([]service{web("a", two), web("b", two)}, gateway("a", "b")))
	r.publish(world([]service{web("a", two, at("192.0.2.9", 80)), web("b", two)}, gateway("a", "b")))
	last := world([]service{web("a", one), web("b", two)}, gateway("a", "b"))
	r.publish(last)
	c.quiet() // until the first is through
	c.ack(first)
	c.ack(c.expect(eds, "a", "b"))
	r.eventually("has the last version", func(n status.Node) bool { return n.Acked == last.Version && n.Sent == last.Version })
}

func TestReconnectionToAnotherServer(t *testing.T) {
	before := world([]service{web("a", one), web("b", one), web("old", one)}, gateway("a", "b", "old"))
	first := start(t)
	first.publish(before)
	c := first.delta("gateway")
	have := c.boot([]string{"gateway"}, []string{"a", "b", "old"})
	c.close()

	t.Run("nothing has changed", func(t *testing.T) {
		r := start(t)
		r.publish(before)
		c := r.delta("gateway")
		c.reconnect(cds, have[cds], "*")
		c.ack(c.expect(cds))
		c.reconnect(eds, have[eds], "a", "b", "old")
		c.reconnect(lds, have[lds], "*")
		c.ack(c.expect(lds))
		c.reconnect(rds, have[rds], "gateway")
		c.quiet()
	})
	t.Run("something has", func(t *testing.T) {
		slow := web("b", one)
		slow.timeout = 7 * time.Second
		r := start(t)
		r.publish(world([]service{web("a", one), slow, web("new", two)}, gateway("a", "b", "new")))
		c := r.delta("gateway")
		c.reconnect(cds, have[cds], "*")
		clusters := c.expect(cds, "b", "new")
		c.reconnect(eds, have[eds], "a", "b", "old")
		endpoints := c.expect(eds, "b") // for its cluster has changed
		c.reconnect(lds, have[lds], "*")
		c.reconnect(rds, have[rds], "gateway")
		c.quiet() // no new route before the new cluster
		c.ack(endpoints)
		c.subscribe(eds, "new")
		c.ack(c.expect(eds, "new"))
		c.ack(clusters)
		c.ack(c.expect(lds))
		routes := c.expect(rds, "gateway")
		c.quiet() // the old cluster stays until the route is gone
		c.ack(routes)
		c.ack(c.expect(cds, "-old"))
		c.quiet()
	})
	t.Run("clusters stay until the client has asked for its routes", func(t *testing.T) {
		r := start(t)
		r.publish(world([]service{web("a", one)}, gateway("a")))
		c := r.delta("gateway")
		c.reconnect(cds, have[cds], "*")
		c.ack(c.expect(cds))
		c.reconnect(eds, have[eds], "a", "b", "old")
		c.quiet()
		c.reconnect(lds, have[lds], "*")
		c.ack(c.expect(lds))
		c.quiet()
		c.reconnect(rds, have[rds], "gateway")
		routes := c.expect(rds, "gateway")
		c.quiet()
		c.ack(routes)
		c.expect(cds, "-b", "-old")
	})
}

func TestReconnectionAfterAListenerHasGone(t *testing.T) {
	listeners := []string{"outbound:127.0.0.1:1", "outbound:127.0.0.1:2"}
	r := start(t)
	r.publish(world([]service{web("a", one)}, proxy("m.d", outbound(1, host("h", []string{"*"}, "/", "a")), outbound(2, host("h", []string{"*"}, "/", "a")))))
	c := r.delta("m.d")
	have := c.boot(listeners, []string{"a"})
	c.close()
	last := world([]service{web("a", one)}, proxy("m.d", outbound(1, host("h", []string{"*"}, "/", "a"))))
	r.publish(last)
	c = r.delta("m.d")
	c.reconnect(cds, have[cds], "*")
	c.ack(c.expect(cds))
	c.reconnect(eds, have[eds], "a")
	c.quiet() // it is up to date, as far as it has asked
	c.reconnect(lds, have[lds], "*")
	c.ack(c.expect(lds))
	c.ack(c.expect(lds, "-"+listeners[1]))
	c.reconnect(rds, have[rds], listeners[0])
	c.quiet()
	r.eventually("is up to date", func(n status.Node) bool { return n.Acked == last.Version })
}

func TestUnknownNode(t *testing.T) {
	r := start(t)
	r.publish(world([]service{web("a", one)}, gateway("a")))
	c := r.delta("default.new")
	c.subscribe(cds)
	c.ack(c.expect(cds))
	c.subscribe(lds)
	c.ack(c.expect(lds))
	c.quiet()
	if n := r.eventually("is there", func(n status.Node) bool { return n.ID == "default.new" }); !n.Unknown || n.Protocol != "delta" || n.UserAgent != "test" {
		t.Errorf("the board shows %+v", n)
	}
	known := world([]service{web("a", one)}, gateway("a"), proxy("default.new", outboundTCP(9, "a")))
	r.publish(known)
	clusters := c.expect(cds, "a")
	c.subscribe(eds, "a")
	c.ack(c.expect(eds, "a"))
	c.ack(clusters)
	c.ack(c.expect(lds, "outbound:127.0.0.1:9"))
	r.eventually("is known", func(n status.Node) bool { return !n.Unknown && n.Acked == known.Version })
	r.publish(world([]service{web("a", one)}, gateway("a")))
	c.ack(c.expect(lds, "-outbound:127.0.0.1:9"))
	c.ack(c.expect(cds, "-a"))
	r.eventually("is unknown again", func(n status.Node) bool { return n.Unknown })
}

func TestBoardForgetsAStreamWhenItsNodeComesBack(t *testing.T) {
	r := start(t)
	r.publish(world(nil, gateway()))
	c := r.delta("gateway")
	c.subscribe(cds)
	c.expect(cds)
	c.close()
	r.eventually("is gone", func(n status.Node) bool { return !n.Disconnected.IsZero() })
	c = r.delta("gateway")
	c.subscribe(cds)
	c.expect(cds)
	if nodes := r.board.Nodes(); len(nodes) != 1 || !nodes[0].Disconnected.IsZero() {
		t.Errorf("the board shows %+v", nodes)
	}
}
