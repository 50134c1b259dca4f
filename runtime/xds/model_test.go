package xds_test

import (
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
	// warming are clusters without endpoints; the ACK of their response
	// waits for them, as Envoy's does.
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
		has:     resources{cds: {}, eds: {}, ecds: {}, lds: {}, rds: {}},
		refused: map[string]bool{}, out: map[string][]func(){}, warming: map[string]bool{},
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
	filters := c.filters()
	var subscribe, unsubscribe []string
	for _, name := range m.names {
		res := m.resources[name]
		switch res := res.(type) {
		case *clusterv3.Cluster:
			if res.ConnectTimeout.AsDuration() == poisonous {
				refusal += ", " + name + ": poison"
				c.refused[name] = true
				continue
			}
			old, had := has[name].(*clusterv3.Cluster)
			if res.GetType() == clusterv3.Cluster_EDS && (!had || !proto.Equal(old, res)) {
				if !had {
					c.warming[name] = true
				}
				if !had || old.GetType() != clusterv3.Cluster_EDS {
					subscribe = append(subscribe, name)
				}
			}
			if had && old.GetType() == clusterv3.Cluster_EDS && res.GetType() != clusterv3.Cluster_EDS {
				unsubscribe = append(unsubscribe, name)
				delete(c.warming, name)
			}
			if !c.warming[name] {
				delete(c.refused, name)
			}
		case *endpointv3.ClusterLoadAssignment:
			delete(c.warming, name)
			delete(c.refused, name)
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
			delete(c.warming, name)
			if old.GetType() == clusterv3.Cluster_EDS {
				unsubscribe = append(unsubscribe, name)
			}
		case *listenerv3.Listener:
			if isHTTP(old) {
				c.dropRoute(name)
			}
		}
	}
	if m.url == lds {
		c.followFilters(filters)
	}
	for _, name := range unsubscribe {
		delete(c.has[eds], name)
	}
	if len(subscribe)+len(unsubscribe) > 0 {
		c.later(eds, func() { c.wire.change(eds, subscribe, unsubscribe) })
	}
	if refusal != "" {
		refusal = "Error adding/updating cluster(s) " + refusal[2:]
	}
	answer := func() { c.later(m.url, func() { c.wire.answer(m, refusal) }) }
	if m.url == cds && len(c.warming) > 0 {
		c.deferred = append(c.deferred, answer)
	} else {
		answer()
	}
	if len(c.warming) == 0 {
		for _, a := range c.deferred {
			a()
		}
		c.deferred = nil
	}
	c.check(m)
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

// followFilters asks for the extensions that listeners name now, and not
// before, and the other way round.
func (c *model) followFilters(before map[string]bool) {
	now := c.filters()
	var subscribe, unsubscribe []string
	for name := range now {
		if !before[name] {
			subscribe = append(subscribe, name)
		}
	}
	for name := range before {
		if !now[name] {
			unsubscribe = append(unsubscribe, name)
			delete(c.has[ecds], name)
		}
	}
	if len(subscribe)+len(unsubscribe) > 0 {
		c.later(ecds, func() { c.wire.change(ecds, subscribe, unsubscribe) })
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
