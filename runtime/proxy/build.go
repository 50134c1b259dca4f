package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sort"
	"strconv"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// builder makes a generation out of the one before and a snapshot. It writes
// to neither: all it changes is new.
type builder struct {
	*Proxy
	gen      *generation
	previous *generation // empty before the first
	specs    finder[snapshot.Cluster]
	sets     finder[snapshot.EndpointSet]

	made     map[string]*cluster              // what previous does not have like this, by name
	replaced map[*cluster]*cluster            // those of made that take the place of one of previous
	meters   map[meterKey]*meter              // what previous does not have
	changed  bool                             // whether a target, or the service behind one, may be another
	lists    []snapshot.List[snapshot.Filter] // the filters of each listener of gen
	meshes   bool                             // whether any mesh of the snapshot has mTLS
	origins  snapshot.List[snapshot.Origin]
	errs     []error // of clusters

	former map[string]*cluster // those of the listener that is being made anew, by their endpoints
	heirs  []heir
}

// build makes the running form of next. Nothing of it serves yet.
func (p *Proxy) build(ctx context.Context, next snapshot.Snapshot) (*generation, error) {
	if next.Version.IsZero() {
		return nil, errors.New("the snapshot is not sealed")
	}
	g := &generation{byKey: map[string]*listener{}}
	g.refs.Store(1)
	b := builder{
		Proxy: p, gen: g, previous: &generation{},
		specs:  finder[snapshot.Cluster]{list: next.Clusters, name: func(c snapshot.Cluster) string { return c.Name }},
		sets:   finder[snapshot.EndpointSet]{list: next.Endpoints, name: func(e snapshot.EndpointSet) string { return e.Name }},
		meshes: next.Authorities.Len() > 0, origins: next.Origins,
		made: map[string]*cluster{}, replaced: map[*cluster]*cluster{}, meters: map[meterKey]*meter{},
	}
	p.mu.Lock()
	if p.current != nil {
		b.previous = p.current
	}
	p.mu.Unlock()
	if p.cfg.Identities != nil {
		g.identities = p.cfg.Identities.View(next.Version)
	}
	b.replace()
	var errs []error
	for _, px := range next.Proxies.All() {
		if px.ID == snapshot.GatewayID && p.cfg.Gateway+p.cfg.GatewayTLS == "" || px.ID != snapshot.GatewayID && !p.cfg.Serve(px.ID) {
			continue
		}
		for _, l := range px.Listeners.All() {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if err := b.listener(px.ID, l, next.Origins); err != nil {
				errs = append(errs, err)
			}
		}
	}
	if err := errors.Join(append(errs, b.errs...)...); err != nil {
		return nil, err
	}
	b.tables()
	b.inherit()
	for _, c := range b.made {
		g.made = append(g.made, c)
	}
	// From here on filters of g run.
	p.preparing.Store(g)
	if err := b.filters(ctx, next); err != nil {
		p.abandon(g)
		return nil, err
	}
	return g, nil
}

// replace makes anew the clusters of the previous generation that changed.
func (b *builder) replace() {
	for _, old := range b.previous.clusters {
		spec := b.specs.find(old.name)
		set := b.sets.find(cmp.Or(spec.EndpointsName(), old.name))
		if old.spec == spec.Digest && old.set == set.Digest {
			continue
		}
		if keyOf(spec, old.name, old.owner) != old.key {
			b.replaced[old], b.changed = moved, true
			continue
		}
		c := b.newCluster(old.name, old.owner, spec, set, old.state)
		b.replaced[old] = c
		b.changed = b.changed || c.service != old.service
	}
}

func (b *builder) listener(proxy string, spec snapshot.Listener, origins snapshot.List[snapshot.Origin]) error {
	if spec.IfLocal && !isLocal(spec.Address) {
		b.log.Debug("listener not opened: its address is none of this machine's", "listener", spec.Name)
		return nil
	}
	l := &listener{
		gen: b.gen, name: spec.Name, proxy: proxy, sources: spec.Sources, direction: spec.Direction, protocol: spec.Protocol, service: spec.Service, digest: spec.Digest,
		idleTimeout: time.Duration(spec.IdleTimeout), connectAttempts: spec.ConnectAttempts,
	}
	if l.address = b.address(spec); l.address == "" {
		return nil
	}
	l.key = l.address
	if spec.Protocol == snapshot.UDP {
		l.key = "udp " + l.address
	}
	if spec.Port == 0 && spec.Direction != snapshot.Gateway {
		l.key += " " + l.name // the system chooses a port for each
	}
	if other := b.gen.byKey[l.key]; other != nil {
		return l.fault(fmt.Errorf("%s is also the address of %s; what one process serves needs addresses of its own",
			l.address, other.title(origins)), origins)
	}
	if spec.TLS != "" {
		l.tls, l.access = spec.TLS, newAccess(spec.Access)
		if spec.Protocol == snapshot.HTTP {
			l.alpn = []string{"h2", "http/1.1"}
		}
		if _, err := bundle(b.gen.identities, proxy, spec.TLS); err != nil {
			return l.fault(err, origins)
		}
	}
	l.meter = b.meter(l.name, "")
	l.conns = b.metrics.connections(l.name)
	var err error
	old := b.previous.byKey[l.key]
	if l.chains, err = b.chains(l, spec, old); err != nil {
		return l.fault(err, origins)
	}
	if old != nil && old.digest == spec.Digest {
		l.hosts, l.domains, l.split = b.carryHosts(l, old.hosts), old.domains, b.carrySplit(l, old.split)
	} else {
		b.changed = true
		b.former = formerClusters(old)
		if err := b.virtualHosts(l, spec, old); err != nil {
			return l.fault(err, origins)
		}
		l.split = b.split(l, spec.Targets)
		b.former = nil
	}
	if l.ranges, err = newRanges(spec.SourceRanges); err != nil {
		return l.fault(err, origins)
	}
	for _, f := range spec.Filters.All() {
		for _, name := range f.Clusters.All() {
			l.calls = append(l.calls, b.cluster(name, proxy))
		}
	}
	b.gen.byKey[l.key] = l
	b.gen.listeners = append(b.gen.listeners, l)
	b.lists = append(b.lists, spec.Filters)
	return nil
}

// address returns where the listener binds, "" where this process does not open it.
func (b *builder) address(spec snapshot.Listener) string {
	host := spec.Address
	if spec.Direction == snapshot.Gateway {
		switch {
		case spec.Name == snapshot.GatewayTLS:
			return b.cfg.GatewayTLS
		case spec.Port == 0:
			return b.cfg.Gateway
		case host == "":
			host, _, _ = net.SplitHostPort(cmp.Or(b.cfg.Gateway, b.cfg.GatewayTLS))
		}
	}
	return net.JoinHostPort(host, strconv.Itoa(int(spec.Port)))
}

// virtualHosts makes the virtual hosts of a listener that is new or changed.
// It takes over those of old, which may be nil, that did not change.
func (b *builder) virtualHosts(l *listener, spec snapshot.Listener, old *listener) error {
	var before []*virtualHost
	if old != nil && old.name == l.name { // else its meters are others
		before = old.hosts
	}
	var byDigest map[snapshot.Digest]int // positions in before
	at := 0                              // where the next is if nothing changed
	l.hosts = make([]*virtualHost, spec.VirtualHosts.Len())
	for i, vh := range spec.VirtualHosts.All() {
		if at >= len(before) || before[at].digest != vh.Digest {
			if byDigest == nil {
				byDigest = make(map[snapshot.Digest]int, len(before))
				for i, h := range before {
					byDigest[h.digest] = i
				}
			}
			found, ok := byDigest[vh.Digest]
			if !ok {
				var err error
				if l.hosts[i], err = b.virtualHost(l, vh); err != nil {
					return fmt.Errorf("virtual host %q: %w", vh.Name, err)
				}
				continue
			}
			at = found
		}
		l.hosts[i] = b.carryHost(l, before[at])
		at++
	}
	l.domains = domainsOf(l.hosts, old)
	return nil
}

func (b *builder) virtualHost(l *listener, spec snapshot.VirtualHost) (*virtualHost, error) {
	vh := &virtualHost{name: spec.Name, domains: spec.Domains, routes: make([]route, spec.Routes.Len()), digest: spec.Digest}
	for i, r := range spec.Routes.All() {
		var err error
		if vh.routes[i], err = newRoute(r); err != nil {
			return nil, fmt.Errorf("route %q: %w", r.Name, err)
		}
		vh.routes[i].split = b.split(l, r.Targets)
	}
	return vh, nil
}

func (b *builder) split(l *listener, targets snapshot.List[snapshot.Target]) split {
	s := split{arms: make([]arm, targets.Len())}
	for i, t := range targets.All() {
		s.total += uint64(t.Weight)
		c := b.cluster(t.Cluster, l.proxy)
		s.arms[i] = arm{cluster: c, below: s.total, meter: b.meter(l.name, l.serves(c))}
	}
	return s
}

// carryHosts returns hosts, all of whose digests are as they were, with the
// clusters of this generation.
func (b *builder) carryHosts(l *listener, hosts []*virtualHost) []*virtualHost {
	if len(b.replaced) == 0 {
		return hosts
	}
	carried := make([]*virtualHost, len(hosts))
	for i, vh := range hosts {
		carried[i] = b.carryHost(l, vh)
	}
	return carried
}

func (b *builder) carryHost(l *listener, vh *virtualHost) *virtualHost {
	if !slices.ContainsFunc(vh.routes, func(r route) bool { return b.stale(r.split) }) {
		return vh
	}
	carried := *vh
	carried.routes = slices.Clone(vh.routes)
	for i := range carried.routes {
		carried.routes[i].split = b.carrySplit(l, carried.routes[i].split)
	}
	return &carried
}

func (b *builder) carrySplit(l *listener, s split) split {
	if !b.stale(s) {
		return s
	}
	s.arms = slices.Clone(s.arms)
	for i := range s.arms {
		if c := b.replaced[s.arms[i].cluster]; c != nil {
			if c == moved {
				c = b.cluster(s.arms[i].cluster.name, l.proxy)
			}
			s.arms[i].cluster, s.arms[i].meter = c, b.meter(l.name, l.serves(c))
		}
	}
	return s
}

// stale reports whether a cluster of s was replaced.
func (b *builder) stale(s split) bool {
	if len(b.replaced) == 0 {
		return false
	}
	for i := range s.arms {
		if b.replaced[s.arms[i].cluster] != nil {
			return true
		}
	}
	return false
}

// cluster returns the running form of a cluster, as proxy uses it. A snapshot
// may lack it: then it has no endpoint.
func (b *builder) cluster(name, proxy string) *cluster {
	key, owner := name, ""
	if b.meshes {
		if key = keyOf(b.specs.find(name), name, proxy); key != name {
			owner = proxy
		}
	}
	if c := b.made[key]; c != nil {
		return c
	}
	if i, ok := b.previous.cluster(key); ok {
		return b.previous.clusters[i] // as it was, or it would be in made
	}
	spec := b.specs.find(name)
	c := b.newCluster(name, owner, spec, b.sets.find(cmp.Or(spec.EndpointsName(), name)), newClusterState())
	c.fresh = true
	if former := b.former[c.setName]; former != nil && former.key != key {
		b.heirs = append(b.heirs, heir{c, former})
	}
	return c
}

// newCluster makes a cluster; owner is the proxy whose certificate is shown on
// its connections, "" where none is.
func (b *builder) newCluster(name, owner string, spec snapshot.Cluster, set snapshot.EndpointSet, state *clusterState) *cluster {
	c := &cluster{
		key: keyOf(spec, name, owner), owner: owner, transports: b.transports(spec, owner),
		name: name, service: cmp.Or(spec.Service, name), balancing: newBalancing(spec), outliers: spec.Outliers,
		connectTimeout: cmp.Or(time.Duration(spec.ConnectTimeout), 5*time.Second), maxDuration: time.Duration(spec.MaxDuration),
		udp:   spec.Protocol == snapshot.UDP,
		http2: spec.HTTP2, state: state, spec: spec.Digest, set: set.Digest, setName: cmp.Or(spec.EndpointsName(), name),
		thresholds: spec.Thresholds, idleTimeout: or(spec.IdleTimeout, b.cfg.UpstreamIdleTimeout),
	}
	var err error
	if c.checks, err = newChecks(spec); err != nil {
		b.log.Error("cluster is not checked", "cluster", name, "error", err)
	}
	if len(c.checks) > 0 {
		c.checksDigest = snapshot.DigestOf(spec.Checks)
	}
	if spec.Discovery == snapshot.DNS {
		c.dns = newDNSCluster(b.Proxy, c, b.reachable(c, set.Endpoints))
	} else {
		b.populate(c, b.reachable(c, set.Endpoints))
	}
	b.made[c.key] = c
	return c
}

// populate makes the endpoints of c, with what its state knows of them.
func (b *builder) populate(c *cluster, set snapshot.List[snapshot.Endpoint]) {
	c.endpoints = make([]*endpoint, 0, set.Len())
	for _, e := range set.All() {
		ip, err := netip.ParseAddr(e.Address)
		if err != nil {
			b.log.Error("endpoint is not an IP address", "cluster", c.name, "address", e.Address)
			continue
		}
		address := netip.AddrPortFrom(ip, e.Port)
		pl, over := c.state.pool(address), c.transports[e.Transport]
		if pl == nil || !pl.secured.same(over) {
			pl = newPool(b.Proxy, address, c.state, over, pl)
		}
		c.endpoints = append(c.endpoints, newEndpoint(pl, e))
	}
}

// meter returns the counters for a listener and service, kept from before.
func (b *builder) meter(listener, service string) *meter {
	key := meterKey{listener, service}
	if m := b.previous.meters[key]; m != nil {
		return m
	}
	m := b.meters[key]
	if m == nil {
		m = &meter{}
		b.meters[key] = m
	}
	return m
}

// tables fills in what the generation has besides its listeners: the clusters
// and meters that they use. Where the targets are the same as before, so are
// the names of both.
func (b *builder) tables() {
	g := b.gen
	if !b.changed && len(g.listeners) == len(b.previous.listeners) {
		g.meters, g.clusters = b.previous.meters, b.previous.clusters
		if len(b.replaced) > 0 {
			g.clusters = slices.Clone(g.clusters)
		}
		for _, c := range b.replaced {
			i, _ := g.cluster(c.key)
			g.clusters[i] = c
		}
		return
	}
	g.meters = make(map[meterKey]*meter, len(b.previous.meters))
	clusters := make(map[string]*cluster, len(b.previous.clusters))
	for _, l := range g.listeners {
		g.meters[meterKey{l.name, ""}] = l.meter
		for s := range l.splits() {
			for _, a := range s.arms {
				g.meters[meterKey{l.name, l.serves(a.cluster)}] = a.meter
				clusters[a.cluster.key] = a.cluster
			}
		}
		for _, c := range l.calls {
			clusters[c.key] = c
		}
	}
	g.clusters = slices.SortedFunc(maps.Values(clusters), func(x, y *cluster) int { return cmp.Compare(x.key, y.key) })
}

// finder finds the elements of a list that is sorted by name. Asked in order,
// as it mostly is, it need not search.
type finder[T any] struct {
	list snapshot.List[T]
	name func(T) string
	next int // the element after the last one found
}

// find returns the element called name; the zero T where there is none.
func (f *finder[T]) find(name string) (found T) {
	if f.next < f.list.Len() {
		if e := f.list.At(f.next); f.name(e) == name {
			f.next++
			return e
		}
	}
	i, ok := sort.Find(f.list.Len(), func(i int) int { return cmp.Compare(name, f.name(f.list.At(i))) })
	f.next = i
	if ok {
		found = f.list.At(i)
		f.next++
	}
	return found
}
