package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
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
