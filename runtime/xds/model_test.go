package xds_test

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"pgregory.net/rapid"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/xds"
	"github.com/meshc/meshc/runtime/xds/envoy"
)

// message is a response of either protocol.
type message struct {
	url, nonce string
	names      []string
	resources  map[string]proto.Message
	removed    []string
	whole      bool // what is left out is removed
}

// model behaves as Envoy does, with its answers put off at will.
type model struct {
	rt    *rapid.T
	wire  wire
	inbox chan message
	done  chan struct{}

	has resources
	// refused are clusters that it would not take and has not come to have.
	refused map[string]bool
	out     map[string][]func()
	// awaits are what clusters that came of late still lack: their endpoints,
	// even if the client has them, and their secrets. The ACK of their
	// response waits for that, as Envoy's does. Those warming serve nothing.
	awaits   map[string]map[reference]bool
	warming  map[string]bool
	deferred []func()
}

// wire is one protocol.
type wire interface {
	connect(url string, names []string)
	change(url string, subscribe, unsubscribe []string)
	answer(m message, refusal string)
	receive() (message, error)
	close()
}

func newModel(rt *rapid.T, r *rig, delta bool) *model {
	c := &model{
		rt: rt, inbox: make(chan message, 1000), done: make(chan struct{}),
		has:     resources{cds: {}, eds: {}, ecds: {}, lds: {}, rds: {}, sds: {}},
		refused: map[string]bool{}, out: map[string][]func(){}, warming: map[string]bool{}, awaits: map[string]map[reference]bool{},
	}
	if delta {
		c.wire = &deltaWire{r.delta("gateway")}
	} else {
		c.wire = &stateWire{r.state("gateway"), map[string]*discoveryv3.DiscoveryResponse{}}
	}
	go func() {
		defer close(c.done)
		for {
			m, err := c.wire.receive()
			if err != nil {
				return
			}
			c.inbox <- m
		}
	}()
	return c
}

func (c *model) stop() {
	c.wire.close()
	<-c.done
}

func (c *model) connect() {
	c.wire.connect(cds, nil)
	c.wire.connect(lds, nil)
}

// speak sends the oldest thing there is to say about a type.
func (c *model) speak(url string) bool {
	if len(c.out[url]) == 0 {
		return false
	}
	say := c.out[url][0]
	c.out[url] = c.out[url][1:]
	say()
	return true
}

func (c *model) later(url string, say func()) { c.out[url] = append(c.out[url], say) }

func (c *model) receiveIfThere() {
	select {
	case m := <-c.inbox:
		c.apply(m)
	default:
	}
}

func (c *model) apply(m message) {
	refusal := ""
	has := c.has[m.url]
	filters, needed := c.filters(), c.needed()
	for _, name := range m.names {
		res := m.resources[name]
		switch res := res.(type) {
		case *clusterv3.Cluster:
			if res.ConnectTimeout.AsDuration() == poisonous {
				refusal += ", " + name + ": poison"
				c.refused[name] = true
				continue
			}
			if old, had := has[name]; !had || !proto.Equal(old, res) {
				// A changed cluster wants its endpoints again, and serves as
				// it was meanwhile. What it has of secrets is good enough.
				c.warming[name] = c.warming[name] || !had
				c.awaits[name] = map[reference]bool{}
				for need := range needs(res) {
					if need.url == eds || c.has[sds][need.name] == nil {
						c.awaits[name][need] = true
					}
				}
			}
		case *endpointv3.ClusterLoadAssignment, *tlsv3.Secret:
			for _, awaited := range c.awaits {
				delete(awaited, reference{m.url, name})
			}
		case *corev3.TypedExtensionConfig:
			if strings.HasPrefix(filterText(res), "bad") {
				refusal = ", no good"
				continue
			}
		case *listenerv3.Listener:
			old, had := has[name].(*listenerv3.Listener)
			if had && name != envoy.TrialListener {
				for _, f := range filterNames(res) {
					if c.has[ecds][f] == nil && !slices.Contains(filterNames(old), f) {
						c.rt.Fatalf("listener %q serves, and is to get filter %q, which the client lacks", name, f)
					}
				}
			}
			if isHTTP(res) && (!had || !isHTTP(old)) {
				c.later(rds, func() { c.wire.change(rds, []string{name}, nil) })
			}
			if had && isHTTP(old) && !isHTTP(res) {
				c.dropRoute(name)
			}
		}
		has[name] = res
	}
	removed := m.removed
	if m.whole {
		for name := range has {
			if !slices.Contains(m.names, name) {
				removed = append(removed, name)
			}
		}
	}
	for _, name := range removed {
		old := has[name]
		delete(has, name)
		delete(c.refused, name)
		switch old := old.(type) {
		case *clusterv3.Cluster:
			delete(c.awaits, name)
			delete(c.warming, name)
		case *listenerv3.Listener:
			if isHTTP(old) {
				c.dropRoute(name)
			}
		}
	}
	maps.DeleteFunc(c.awaits, func(name string, awaited map[reference]bool) bool {
		if len(awaited) == 0 {
			delete(c.warming, name)
			delete(c.refused, name)
		}
		return len(awaited) == 0
	})
	switch m.url {
	case lds:
		c.follow(ecds, filters, c.filters())
	case cds:
		now := c.needed()
		c.follow(eds, needed[eds], now[eds])
		c.follow(sds, needed[sds], now[sds])
	}
	if refusal != "" {
		refusal = "Error adding/updating cluster(s) " + refusal[2:]
	}
	answer := func() { c.later(m.url, func() { c.wire.answer(m, refusal) }) }
	if m.url == cds && len(c.awaits) > 0 {
		c.deferred = append(c.deferred, answer)
	} else {
		answer()
	}
	if len(c.awaits) == 0 {
		for _, a := range c.deferred {
			a()
		}
		c.deferred = nil
	}
	c.check(m)
}

// reference names a resource of a type.
type reference struct{ url, name string }

// needs returns what a cluster asks for.
func needs(c *clusterv3.Cluster) map[reference]bool {
	out := map[reference]bool{}
	if c.GetType() == clusterv3.Cluster_EDS {
		out[reference{eds, cmp.Or(c.GetEdsClusterConfig().GetServiceName(), c.Name)}] = true
	}
	for _, m := range c.TransportSocketMatches {
		tls := &tlsv3.UpstreamTlsContext{}
		if err := m.TransportSocket.GetTypedConfig().UnmarshalTo(tls); err != nil {
			panic(err)
		}
		out[reference{sds, tls.CommonTlsContext.GetCombinedValidationContext().GetValidationContextSdsSecretConfig().GetName()}] = true
	}
	return out
}

// needed returns what the client's clusters ask for, by type.
func (c *model) needed() map[string]map[string]bool {
	out := map[string]map[string]bool{eds: {}, sds: {}}
	for _, cluster := range c.has[cds] {
		for need := range needs(cluster.(*clusterv3.Cluster)) {
			out[need.url][need.name] = true
		}
	}
	return out
}

// filters returns the extensions that the client's listeners name.
func (c *model) filters() map[string]bool {
	out := map[string]bool{}
	for _, l := range c.has[lds] {
		for _, name := range filterNames(l.(*listenerv3.Listener)) {
			out[name] = true
		}
	}
	return out
}

// follow asks for the resources of a type that are needed now, and were not
// before, and gives up the others.
func (c *model) follow(url string, before, now map[string]bool) {
	var subscribe, unsubscribe []string
	for name := range now {
		if !before[name] {
			subscribe = append(subscribe, name)
		}
	}
	for name := range before {
		if !now[name] {
			unsubscribe = append(unsubscribe, name)
			delete(c.has[url], name)
		}
	}
	if len(subscribe)+len(unsubscribe) > 0 {
		c.later(url, func() { c.wire.change(url, subscribe, unsubscribe) })
	}
}

func (c *model) dropRoute(name string) {
	delete(c.has[rds], name)
	c.later(rds, func() { c.wire.change(rds, nil, []string{name}) })
}

// check is the invariant: what traffic may be sent to is there.
func (c *model) check(m message) {
	need := func(by, cluster string) {
		_, there := c.has[cds][cluster]
		if (!there || c.warming[cluster]) && !c.refused[cluster] {
			c.rt.Fatalf("after %s %v -%v: %s leads to cluster %q, which the client lacks", m.url, m.names, m.removed, by, cluster)
		}
	}
	for name, e := range c.has[ecds] {
		for _, cluster := range strings.Fields(filterText(e.(*corev3.TypedExtensionConfig)))[1:] {
			need(name, cluster)
		}
	}
	for name, l := range c.has[lds] {
		for _, cluster := range tcpClusters(l.(*listenerv3.Listener)) {
			need(name, cluster)
		}
		if route, ok := c.has[rds][name].(*routev3.RouteConfiguration); ok {
			for _, cluster := range routeClusters(route) {
				need(name, cluster)
			}
		}
	}
}

func (c *model) equals(want resources) bool {
	for url := range want {
		if !maps.EqualFunc(c.has[url], want[url], proto.Equal) {
			return false
		}
	}
	return true
}

// lastFilter is the one that ends a listener's chain.
func lastFilter(l *listenerv3.Listener) *anypb.Any {
	chain := l.FilterChains[0].Filters
	return chain[len(chain)-1].GetTypedConfig()
}

func isHTTP(l *listenerv3.Listener) bool {
	m := &hcmv3.HttpConnectionManager{}
	return lastFilter(l).UnmarshalTo(m) == nil && m.GetRds() != nil
}

// filterNames returns the extensions that l names.
func filterNames(l *listenerv3.Listener) []string {
	var out []string
	for _, f := range l.FilterChains[0].Filters {
		if f.GetConfigDiscovery() != nil {
			out = append(out, f.Name)
		}
	}
	m := &hcmv3.HttpConnectionManager{}
	if lastFilter(l).UnmarshalTo(m) == nil {
		for _, f := range m.HttpFilters {
			if f.GetConfigDiscovery() != nil {
				out = append(out, f.Name)
			}
		}
	}
	return out
}

// textFilter is a kind whose Config is all that Envoy gets.
func textFilter(f snapshot.Filter, _ bool, _ string) (xds.Filter, error) {
	return xds.Filter{Filter: wrapperspb.String(f.Config)}, nil
}

// filterText returns the Config of a textFilter: a word, and the clusters that
// it calls.
func filterText(e *corev3.TypedExtensionConfig) string {
	m := &wrapperspb.StringValue{}
	if err := e.TypedConfig.UnmarshalTo(m); err != nil {
		panic(err)
	}
	return m.Value
}

func tcpClusters(l *listenerv3.Listener) []string {
	p := &tcpv3.TcpProxy{}
	if lastFilter(l).UnmarshalTo(p) != nil {
		return nil
	}
	if p.GetCluster() != "" {
		return []string{p.GetCluster()}
	}
	var out []string
	for _, w := range p.GetWeightedClusters().GetClusters() {
		out = append(out, w.Name)
	}
	return out
}

func routeClusters(c *routev3.RouteConfiguration) []string {
	var out []string
	for _, h := range c.VirtualHosts {
		for _, r := range h.Routes {
			if name := r.GetRoute().GetCluster(); name != "" {
				out = append(out, name)
			}
			for _, w := range r.GetRoute().GetWeightedClusters().GetClusters() {
				out = append(out, w.Name)
			}
		}
	}
	return out
}

func unpack(a *anypb.Any) (string, proto.Message) {
	m, err := a.UnmarshalNew()
	if err != nil {
		panic(err)
	}
	if e, ok := m.(*endpointv3.ClusterLoadAssignment); ok {
		return e.ClusterName, m
	}
	return m.(named).GetName(), m
}
