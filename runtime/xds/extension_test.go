package xds_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/status"
	"github.com/meshc/meshc/runtime/xds"
)

const trial = "meshc/trial"

func withText(c *xds.Config) { c.Filter = textFilter }

// text is a use of a textFilter, from svc/NAME in NAME.yaml, line 3.
func text(name, config string, clusters ...string) snapshot.Filter {
	return snapshot.Filter{Name: name, Kind: "text", Config: config, Clusters: snapshot.ListOf(clusters...), Sources: snapshot.ListOf("svc/" + name)}
}

// filteredGateway is a world of services v1 and v2 whose gateway routes to v1.
func filteredGateway(filters ...snapshot.Filter) snapshot.Snapshot {
	g := gateway("v1")
	g.Listeners = snapshot.ListOf(with(g.Listeners.At(0), filters...))
	return pluginWorld([]service{web("v1", one), web("v2", two)}, nil, g)
}

// bootFiltered connects as Envoy does, to a gateway with filters.
func (c *deltaClient) bootFiltered(clusters []string, filters ...string) map[string]map[string]string {
	c.t.Helper()
	c.subscribe(cds)
	all := c.expect(cds, clusters...)
	c.subscribe(eds, clusters...)
	endpoints := c.expect(eds, clusters...)
	c.ack(endpoints)
	c.ack(all)
	c.subscribe(lds)
	listeners := c.expect(lds, "gateway", trial)
	c.ack(listeners)
	c.subscribe(ecds, filters...)
	got := []*discoveryv3.DeltaDiscoveryResponse{all, endpoints, listeners}
	for _, f := range filters {
		r := c.expect(ecds, f)
		c.ack(r)
		got = append(got, r)
	}
	c.subscribe(rds, "gateway")
	routes := c.expect(rds, "gateway")
	c.ack(routes)
	c.quiet()
	return versions(append(got, routes)...)
}

func TestNewFilterIsTriedBeforeItsListener(t *testing.T) {
	r := start(t, withText)
	r.publish(filteredGateway())
	c := r.delta("gateway")
	c.boot([]string{"gateway"}, []string{"v1"})
	next := filteredGateway(text("p", "1 v2", "v2"))
	r.publish(next)
	clusters := c.expect(cds, "v2") // no route leads there
	c.subscribe(eds, "v2")
	c.ack(c.expect(eds, "v2"))
	c.quiet() // no filter before the cluster that it calls
	c.ack(clusters)
	c.ack(c.expect(lds, trial))
	c.quiet() // it has not asked for the filter
	c.subscribe(ecds, "text/p")
	filter := c.expect(ecds, "text/p")
	c.quiet()
	c.ack(filter)
	c.ack(c.expect(lds, "gateway"))
	c.quiet()
	r.eventually("has it all", func(n status.Node) bool { return n.Acked == next.Version })
}

func TestChangedFilterIsAllThatIsSent(t *testing.T) {
	r := start(t, withText)
	r.publish(filteredGateway(text("p", "1"), text("q", "1")))
	c := r.delta("gateway")
	c.bootFiltered([]string{"v1"}, "text/p", "text/q")
	r.publish(filteredGateway(text("p", "2"), text("q", "1")))
	c.ack(c.expect(ecds, "text/p"))
	c.quiet()
	// A condition that comes is the filter's too.
	matched := text("q", "1")
	matched.Match.PathPrefix = "/in"
	r.publish(filteredGateway(text("p", "2"), matched))
	c.ack(c.expect(ecds, "text/q"))
	c.quiet()
}

func TestFilterGoesAfterItsListenerAndBeforeItsCluster(t *testing.T) {
	r := start(t, withText)
	r.publish(filteredGateway(text("p", "1 v2", "v2")))
	c := r.delta("gateway")
	c.bootFiltered([]string{"v1", "v2"}, "text/p")
	last := filteredGateway()
	r.publish(last)
	listeners := c.expect(lds, "gateway")
	c.quiet()
	c.ack(listeners)
	listeners = c.expect(lds, "-"+trial)
	c.quiet()
	c.unsubscribe(ecds, "text/p")
	c.ack(listeners)
	c.ack(c.expect(cds, "-v2"))
	c.quiet()
	r.eventually("has it all", func(n status.Node) bool { return n.Acked == last.Version })
}

func TestRefusedFilterHoldsTheListener(t *testing.T) {
	r := start(t, withText)
	first := filteredGateway(text("p", "1"))
	r.publish(first)
	c := r.delta("gateway")
	c.bootFiltered([]string{"v1"}, "text/p")
	r.publish(filteredGateway(text("p", "2"), text("q", "bad")))
	c.ack(c.expect(ecds, "text/p"))
	c.ack(c.expect(lds, trial))
	c.subscribe(ecds, "text/q")
	c.nack(c.expect(ecds, "text/q"), "Unable to create Wasm plugin q")
	c.quiet() // the listener stays as it is
	node := r.eventually("has the refusal", refusals(1))
	if got := node.Refusals[0]; got.Type != "extension" || got.Resource != "text/q" || got.Origins[0].File != "q.yaml" || node.Acked != first.Version {
		t.Errorf("refusal %+v", got)
	}
	// Nor does another version bring it, as long as the filter is the same.
	r.publish(filteredGateway(text("p", "3"), text("q", "bad")))
	c.ack(c.expect(ecds, "text/p"))
	c.quiet()
	last := filteredGateway(text("p", "3"), text("q", "good"))
	r.publish(last)
	c.ack(c.expect(ecds, "text/q"))
	c.ack(c.expect(lds, "gateway"))
	c.quiet()
	r.eventually("has it all", func(n status.Node) bool { return n.Acked == last.Version && len(n.Refusals) == 0 })
}

// A refusal that comes when the next version is under way is about what is
// past.
func TestLateRefusalOfWhatIsReplacedHoldsNothing(t *testing.T) {
	r := start(t, withText)
	r.publish(filteredGateway(text("p", "1"), text("q", "1")))
	c := r.delta("gateway")
	c.bootFiltered([]string{"v1"}, "text/p", "text/q")
	r.publish(filteredGateway(text("p", "bad"), text("q", "bad")))
	p, q := c.expect(ecds, "text/p"), c.expect(ecds, "text/q")
	c.nack(p, "no")
	c.quiet()
	last := filteredGateway(text("p", "2"), text("q", "2"), text("r", "1"))
	r.publish(last)
	c.ack(c.expect(ecds, "text/p"))
	c.ack(c.expect(ecds, "text/q"))
	c.nack(q, "no")
	c.ack(c.expect(lds, trial))
	c.subscribe(ecds, "text/r")
	c.ack(c.expect(ecds, "text/r"))
	c.ack(c.expect(lds, "gateway"))
	r.eventually("has it all", func(n status.Node) bool { return n.Acked == last.Version && len(n.Refusals) == 0 })
}

func TestReconnectionTriesFiltersBeforeListeners(t *testing.T) {
	first := start(t, withText)
	first.publish(filteredGateway(text("p", "1")))
	c := first.delta("gateway")
	have := c.bootFiltered([]string{"v1"}, "text/p")
	c.close()
	r := start(t, withText)
	r.publish(filteredGateway(text("p", "1"), text("q", "1")))
	c = r.delta("gateway")
	c.reconnect(cds, have[cds], "*")
	c.ack(c.expect(cds))
	c.reconnect(eds, have[eds], "v1")
	c.reconnect(lds, have[lds], "*")
	c.ack(c.expect(lds, trial))
	c.reconnect(ecds, have[ecds], "text/p")
	c.reconnect(rds, have[rds], "gateway")
	c.quiet()
	c.subscribe(ecds, "text/q")
	c.ack(c.expect(ecds, "text/q"))
	c.ack(c.expect(lds, "gateway"))
	c.quiet()
}

// A module is encoded once, however many listeners and proxies run it, and
// again only when it changes.
func TestFilterIsHeldOnce(t *testing.T) {
	const size, proxies = 4 << 20, 8
	calls := 0
	r := start(t, func(c *xds.Config) {
		c.Filter = func(f snapshot.Filter, _ bool, blob string) (xds.Filter, error) {
			calls++
			return xds.Filter{Filter: wrapperspb.String(f.Config + blob)}, nil
		}
	})
	build := func(config string, timeout time.Duration) snapshot.Snapshot {
		f := text("p", config)
		blob := strings.Repeat("x", size)
		f.Blob = module(blob).Digest
		var all []snapshot.Proxy
		for i := range proxies {
			p := proxy("m.d"+string(rune('a'+i)),
				with(outbound(1, host("h", []string{"*"}, "/", "v1")), f), with(outbound(2, host("h", []string{"*"}, "/", "v1")), f))
			all = append(all, p)
		}
		s := web("v1", one)
		s.timeout = timeout
		return pluginWorld([]service{s}, []string{blob}, all...)
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	s := build("1", time.Second)
	before := heap()
	r.publish(s)
	if grown := heap() - before; grown > size*3/2 {
		t.Errorf("%d bytes are held for a file of %d", grown, size)
	}
	r.publish(build("1", 2*time.Second))
	if calls != 1 {
		t.Errorf("it was made %d times", calls)
	}
	r.publish(build("2", time.Second))
	if calls != 2 {
		t.Errorf("it was made %d times", calls)
	}
	runtime.KeepAlive(s)
}

func TestPrepareRefusesFilters(t *testing.T) {
	perRoute := text("p", "1")
	perRoute.PerRoute = true
	matched := text("p", "1")
	matched.Match.PathPrefix = "/"
	missing := text("p", "1")
	missing.Blob = module("x").Digest
	named := host("h", []string{"*"}, "/", "v1")
	route := named.Routes.At(0)
	route.Filters = snapshot.ListOf(perRoute.Ref())
	named.Routes = snapshot.ListOf(route)
	plain := host("h", []string{"*"}, "/", "v1")
	for _, test := range []struct {
		name string
		snap snapshot.Snapshot
		want string
	}{
		{"a route of a connection", pluginWorld([]service{web("v1")}, nil, proxy("m.d", with(outboundTCP(1, "v1"), perRoute))),
			`p.yaml:3:1: proxy m.d: listener "outbound:127.0.0.1:1": filter "p": a connection`},
		{"a path of a connection", pluginWorld([]service{web("v1")}, nil, proxy("m.d", with(outboundTCP(1, "v1"), matched))), "p.yaml:3:1"},
		{"no file", pluginWorld([]service{web("v1")}, nil, proxy("m.d", with(outbound(1, plain), missing))), "lacks the file"},
		{"no cluster", pluginWorld([]service{web("v1")}, nil, proxy("m.d", with(outbound(1, plain), text("p", "1", "gone")))), `p.yaml:3:1: proxy m.d leads to cluster "gone"`},
		{"no such filter", pluginWorld([]service{web("v1")}, nil, proxy("m.d", outbound(1, named))), `the listener has no filter "text/p"`},
		{"not for routes", pluginWorld([]service{web("v1")}, nil, proxy("m.d", with(outbound(1, named), text("p", "1")))), `the listener has no filter "text/p"`},
		{"two configurations", pluginWorld([]service{web("v1")}, nil, proxy("m.d", with(outbound(1, plain), text("p", "1")), with(outbound(2, plain), text("p", "2")))),
			`p.yaml:3:1: proxy m.d: listener "outbound:127.0.0.1:2": filter "p" is configured otherwise`},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := xds.New(xds.Config{GatewayAddr: gatewayAddr, Filter: textFilter})
			_, _, err := server.Prepare(context.Background(), test.snap)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%q is not in: %v", test.want, err)
			}
		})
	}
}

// What a route enables depends on the listener's filters, not on the virtual
// host alone.
func TestRouteFollowsTheKindOfItsFilter(t *testing.T) {
	build := func(kind string) snapshot.Snapshot {
		f := text("p", "1")
		f.Kind, f.PerRoute = kind, true
		h := host("h", []string{"*"}, "/", "v1")
		route := h.Routes.At(0)
		route.Filters = snapshot.ListOf(f.Ref())
		h.Routes = snapshot.ListOf(route)
		return pluginWorld([]service{web("v1")}, nil, proxy("gateway", with(outbound(1, h), f)))
	}
	r := start(t, withText)
	r.publish(build("text"))
	r.publish(build("other"))
	c := r.delta("gateway")
	c.subscribe(rds, "outbound:127.0.0.1:1")
	got := c.expect(rds, "outbound:127.0.0.1:1").Resources[0].Resource
	if !strings.Contains(string(got.Value), "other/p") {
		t.Errorf("the route enables nothing of kind other: %q", got.Value)
	}
}
