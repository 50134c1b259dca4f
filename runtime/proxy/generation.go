package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
)

// generation is the running form of one snapshot.
type generation struct {
	listeners []*listener
	byKey     map[string]*listener
	clusters  map[string]*cluster
	states    map[string]*clusterState // of clusters, by name
	pools     map[poolKey]*pool        // of static endpoints
	factories []filter.Factory         // closed with the last reference
	metered   map[meterKey]*meter
	upstreams map[string]*upstreamMeter
	refs      atomic.Int64
}

// acquire takes a reference; it reports false when the generation is gone.
func (g *generation) acquire() bool {
	for {
		n := g.refs.Load()
		if n == 0 {
			return false
		}
		if g.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (g *generation) release() {
	if g.refs.Add(-1) > 0 {
		return
	}
	for _, f := range g.factories {
		f.Close()
	}
}

// uses reports whether pool key serves an endpoint of g. Pools of DNS clusters
// stay while the cluster does; addresses that are no longer resolved idle out.
func (g *generation) uses(key poolKey) bool {
	if _, ok := g.pools[key]; ok {
		return true
	}
	c := g.clusters[key.cluster]
	return c != nil && c.dns != nil
}

// listener is what happens to what arrives on a socket.
type listener struct {
	gen       *generation
	key       string // of the socket
	name      string
	address   string // to bind
	direction snapshot.Direction
	protocol  snapshot.Protocol
	service   string
	hosts     map[string]*virtualHost
	fallback  *virtualHost // of domain "*"
	split     split        // TCP
	factories []filter.Factory
	meter     *meter // of what is not routed to a service
	conns     *connMeter
}

// build makes the running form of next. Nothing of it serves yet.
func (p *Proxy) build(ctx context.Context, next snapshot.Snapshot) (*generation, error) {
	n := next.Clusters.Len()
	g := &generation{
		byKey: map[string]*listener{}, clusters: make(map[string]*cluster, n), states: make(map[string]*clusterState, n),
		pools: make(map[poolKey]*pool, n), metered: make(map[meterKey]*meter, n), upstreams: make(map[string]*upstreamMeter, n),
	}
	g.refs.Store(1)
	b := builder{
		Proxy: p, gen: g, previous: &generation{},
		specs: make(map[string]snapshot.Cluster, n), endpoints: make(map[string]snapshot.EndpointSet, n),
	}
	p.mu.Lock()
	if p.current != nil {
		b.previous = p.current // its maps are not written to any more
	}
	p.mu.Unlock()
	for _, c := range next.Clusters.All() {
		b.specs[c.Name] = c
	}
	for _, e := range next.Endpoints.All() {
		b.endpoints[e.Name] = e
	}
	var errs []error
	for _, px := range next.Proxies.All() {
		if px.ID == snapshot.GatewayID && p.cfg.Gateway == "" || px.ID != snapshot.GatewayID && !p.cfg.Serve(px.ID) {
			continue
		}
		for _, l := range px.Listeners.All() {
			if err := ctx.Err(); err != nil {
				g.release()
				return nil, err
			}
			if err := b.listener(l); err != nil {
				errs = append(errs, fmt.Errorf("listener %s of %s: %w", l.Name, px.ID, err))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		g.release()
		return nil, err
	}
	return g, nil
}

type builder struct {
	*Proxy
	gen       *generation
	previous  *generation // empty before the first
	specs     map[string]snapshot.Cluster
	endpoints map[string]snapshot.EndpointSet
}

func (b *builder) listener(spec snapshot.Listener) error {
	l := &listener{
		gen: b.gen, name: spec.Name, direction: spec.Direction, protocol: spec.Protocol, service: spec.Service,
	}
	domains := 0
	for _, vh := range spec.VirtualHosts.All() {
		domains += vh.Domains.Len()
	}
	l.hosts = make(map[string]*virtualHost, domains)
	if spec.Direction == snapshot.Gateway {
		l.address = b.cfg.Gateway
	} else {
		l.address = net.JoinHostPort(spec.Address, strconv.Itoa(int(spec.Port)))
	}
	l.key = l.address
	if spec.Port == 0 && spec.Direction != snapshot.Gateway {
		l.key += " " + l.name // the system chooses a port for each
	}
	if other := b.gen.byKey[l.key]; other != nil {
		return fmt.Errorf("%s is also the address of listener %s", l.address, other.name)
	}
	l.meter = b.meter(l.name, "")
	l.conns = b.metrics.connections(l.name)
	for _, vh := range spec.VirtualHosts.All() {
		b.virtualHost(l, vh)
	}
	l.split = b.split(l, spec.Targets)
	for _, f := range spec.Filters.All() {
		if b.cfg.NewFilter == nil {
			return fmt.Errorf("filter %s: this process has no filters", f.Kind)
		}
		factory, err := b.cfg.NewFilter(f.Kind, f.Config)
		if err != nil {
			return fmt.Errorf("filter %s: %w", f.Kind, err)
		}
		l.factories = append(l.factories, factory)
		b.gen.factories = append(b.gen.factories, factory)
	}
	b.gen.byKey[l.key] = l
	b.gen.listeners = append(b.gen.listeners, l)
	return nil
}

func (b *builder) virtualHost(l *listener, spec snapshot.VirtualHost) {
	vh := &virtualHost{name: spec.Name, routes: make([]route, 0, spec.Routes.Len())}
	for _, r := range spec.Routes.All() {
		vh.routes = append(vh.routes, route{
			name: r.Name, prefix: r.PathPrefix, split: b.split(l, r.Targets), hostFromEndpoint: r.HostFromEndpoint,
		})
	}
	for _, domain := range spec.Domains.All() {
		if domain == "*" {
			l.fallback = vh
		} else if l.hosts[domain] == nil {
			l.hosts[domain] = vh
		}
	}
}

func (b *builder) split(l *listener, targets snapshot.List[snapshot.Target]) split {
	var s split
	for _, t := range targets.All() {
		s.total += uint64(t.Weight)
		c := b.cluster(t.Cluster)
		s.arms = append(s.arms, arm{cluster: c, below: s.total, meter: b.meter(l.name, c.service)})
	}
	return s
}

// cluster returns the running form of a cluster, which a snapshot may lack:
// then it has no endpoint.
func (b *builder) cluster(name string) *cluster {
	if c := b.gen.clusters[name]; c != nil {
		return c
	}
	spec, ok := b.specs[name]
	if !ok {
		spec = snapshot.Cluster{Name: name, Service: name}
	}
	set := b.endpoints[name]
	b.gen.upstreams[name] = b.upstream(name)
	if c := b.previous.clusters[name]; c != nil && c.spec == spec.Digest && c.set == set.Digest && c.set != (snapshot.Digest{}) {
		b.add(c)
		return c
	}
	c := &cluster{
		name: name, service: spec.Service, clientIP: spec.Balancing == snapshot.ClientIP, spec: spec.Digest, set: set.Digest,
		connectTimeout: time.Duration(spec.ConnectTimeout), meter: b.gen.upstreams[name], state: b.previous.states[name],
	}
	if c.connectTimeout == 0 {
		c.connectTimeout = 5 * time.Second
	}
	if c.state == nil {
		c.state = &clusterState{}
	}
	if spec.Discovery == snapshot.DNS {
		c.dns = newDNSCluster(b.Proxy, c, set.Endpoints)
	} else {
		c.endpoints = make([]*endpoint, 0, set.Endpoints.Len())
		for _, e := range set.Endpoints.All() {
			ip, err := netip.ParseAddr(e.Address)
			if err != nil {
				b.log.Error("endpoint is not an IP address", "cluster", name, "address", e.Address)
				continue
			}
			address := netip.AddrPortFrom(ip, e.Port)
			c.endpoints = append(c.endpoints, newEndpoint(b.pool(c, address), e.Hostname))
		}
	}
	b.add(c)
	return c
}

// add makes c, new or taken over, a part of the generation.
func (b *builder) add(c *cluster) {
	b.gen.clusters[c.name] = c
	b.gen.states[c.name] = c.state
	for _, e := range c.endpoints {
		b.gen.pools[e.pool.key] = e.pool
	}
}

// pool returns the pool that serves already, or a new one.
func (b *builder) pool(c *cluster, address netip.AddrPort) *pool {
	key := poolKey{c.name, address}
	b.mu.Lock()
	pl := b.pools[key]
	b.mu.Unlock()
	if pl != nil {
		return pl
	}
	return newPool(b.Proxy, key, c.meter)
}
