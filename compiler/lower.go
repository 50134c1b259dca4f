package compiler

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/kuma"
)

// lower writes the snapshot.
func lower(b *build) {
	out := snapshot.Snapshot{}
	views := append(slices.Clone(b.views), nil) // nil is the gateway
	id := func(v *view) string {
		if v == nil {
			return snapshot.GatewayID
		}
		return v.id
	}
	slices.SortFunc(views, func(x, y *view) int { return cmp.Compare(id(x), id(y)) })
	out.Proxies = snapshot.ListOfFunc(len(views), func(i int) snapshot.Proxy {
		if views[i] == nil {
			return b.lowerGateway()
		}
		return b.lowerDataplane(views[i])
	})

	clusters, namesStay := b.lowerClusters()
	out.Clusters = b.c.clusterList.update(clusters, func(x, y *lowered) bool { return x.cluster.Name < y.cluster.Name },
		func(l *lowered) snapshot.Cluster { return l.cluster })
	out.Endpoints = b.c.endpointList.update(b.oneOfEachSet(clusters, namesStay), func(x, y *lowered) bool { return x.endpoints.Name < y.endpoints.Name },
		func(l *lowered) snapshot.EndpointSet { return l.endpoints })

	out.Blobs = b.lowerBlobs()
	out.Authorities, out.Secrets = b.lowerSecurity()

	out.Documents = b.c.documents.update(b.docs, byID, lowerDocument)
	out.Origins = b.c.origins.update(b.docs, byID, lowerOrigin)
	unsupported := b.c.unsupported.update(b.docs, byID, b.c.Node.unsupported)
	count := 0
	for _, ds := range unsupported.All() {
		count += len(ds)
	}
	b.unsupported = slices.Grow(b.unsupported, count)
	for _, ds := range unsupported.All() {
		b.unsupported = append(b.unsupported, ds...)
	}
	b.out = snapshot.Seal(out)
}

func lowerDocument(d *schema.Document) snapshot.Document {
	out := snapshot.Document{
		ID: d.ID(), Dialect: string(d.Dialect), Kind: d.Kind,
		Namespace: d.Namespace, Mesh: d.Mesh, Name: d.Name,
		JSON: d.JSON,
	}
	out.Digest = out.Sum()
	return out
}

func lowerOrigin(d *schema.Document) snapshot.Origin {
	return snapshot.Origin{ID: d.ID(), File: d.Origin, Line: d.Tree.Pos.Line, Column: d.Tree.Pos.Column}
}

// lowerGateway makes the proxy that routes by host to every HTTP service.
func (b *build) lowerGateway() snapshot.Proxy {
	var inputs []any
	slices.SortFunc(b.hosts, func(x, y *gatewayHost) int { return cmp.Compare(x.service.whole, y.service.whole) })
	l := snapshot.Listener{
		Name: snapshot.GatewayID, Direction: snapshot.Gateway, Protocol: snapshot.HTTP,
		VirtualHosts: snapshot.ListOfFunc(len(b.hosts)+len(b.routeHosts), func(i int) snapshot.VirtualHost {
			if i >= len(b.hosts) {
				return b.lowerRouteHost(b.routeHosts[i-len(b.hosts)], inTheClear)
			}
			h := b.hosts[i]
			inputs = inputs[:0]
			if h.kept != "" || !h.plain() { // else all lies in the service
				inputs = append(inputs, h.passage, h.kept)
			}
			inputs = h.plugins.appendInput(inputs)
			return b.c.hosts.get(h.service, inputs, func() snapshot.VirtualHost {
				name := h.service.whole
				return lowerHost(name, h.domains, h.lowerAll(name, "http", h.plugins), sources(h.policies(), h.service.docs...))
			})
		}),
		Filters: snapshot.ListOf(b.gatewayFilters...),
	}
	l.Digest = l.Sum()
	own, shared := b.lowerStreams()
	listeners := slices.Concat([]snapshot.Listener{l}, b.lowerGatewayTLS(l, shared), own, b.lowerNode()) // in the order of their names
	p := snapshot.Proxy{ID: snapshot.GatewayID, Identities: b.gatewayIdentities(), Listeners: snapshot.ListOf(listeners...)}
	p.Digest = p.Sum()
	return p
}

// lowerGatewayTLS makes the gateway's listener for TLS, if there is one; in the
// clear it is plain. shared are the chains of streams.
func (b *build) lowerGatewayTLS(plain snapshot.Listener, shared []snapshot.Chain) []snapshot.Listener {
	l := plain
	if l.Chains = b.lowerChains(shared); l.Chains.Len() == 0 {
		return nil
	}
	l.Name = snapshot.GatewayTLS
	taken := b.domainsOver443()
	l.VirtualHosts = snapshot.ListOfFunc(plain.VirtualHosts.Len(), func(i int) snapshot.VirtualHost {
		if i < len(b.hosts) {
			return b.secureHost(b.hosts[i], plain.VirtualHosts.At(i), taken)
		}
		return b.lowerRouteHost(b.routeHosts[i-len(b.hosts)], overTLS)
	})
	l.Sources = sourcesOfChains(l.Chains)
	l.Digest = l.Sum()
	return []snapshot.Listener{l}
}

// loweredView is the proxy that a view was lowered to, and what it was made from.
type loweredView struct {
	from  viewInputs
	parts []any // those of listeners that change while the view stays
	proxy snapshot.Proxy
}

// viewInputs are what the proxy of a view depends on beside the view, with what
// its stamp counts.
type viewInputs struct {
	stamp    int
	mtls     bool
	template *schema.Document
	shows    string // the service of its metrics
}

// lowerDataplane makes the proxy of one dataplane.
func (b *build) lowerDataplane(v *view) snapshot.Proxy {
	from := viewInputs{mtls: b.mtls[v.doc.Mesh] != nil, template: b.template(v)}
	var permissions [][]*schema.Document // by listener
	if !from.mtls {
		v.admitted = nil // what changes meanwhile is not followed
	} else {
		from.shows = b.provenMetrics(v)
		permissions = b.permissions(v)
	}
	from.stamp = v.stamp
	parts := b.inputs[:0]
	if v.plugged || v.ingress {
		for i := range v.listeners {
			l := &v.listeners[i]
			parts = append(parts, i)
			for _, e := range l.entries {
				parts = append(parts, e.sni, e.name, e.service)
			}
			for _, p := range l.plugins {
				parts = append(parts, p)
			}
		}
	}
	b.inputs = parts
	if v.lowered != nil && v.lowered.from == from && slices.Equal(v.lowered.parts, parts) {
		return v.lowered.proxy
	}
	listeners := make([]snapshot.Listener, len(v.listeners))
	for i := range v.listeners {
		l := &v.listeners[i]
		listeners[i] = b.c.lowerListener(v.doc, l)
		if from.mtls && l.guarded() {
			listeners[i].TLS, listeners[i].Access = v.doc.Mesh, access(permissions[i])
		}
		listeners[i].Digest = listeners[i].Sum()
	}
	p := snapshot.Proxy{ID: v.id, Mesh: v.doc.Mesh, Listeners: snapshot.ListOf(listeners...)}
	if from.mtls {
		tags := v.tags
		if from.shows != "" {
			// The other tags of metrics are the mesh's choice, and no proxy's identity.
			tags = append(slices.Clone(tags), map[string]string{kuma.ServiceTag: from.shows})
		}
		p.Identities = snapshot.ListOf(identity(v.doc.Mesh, tags...))
	}
	applyTemplate(&p, from.template)
	p.Digest = p.Sum()
	v.lowered = &loweredView{from, slices.Clone(parts), p}
	return p
}

func (c *Compiler) lowerListener(doc *schema.Document, l *listener) snapshot.Listener {
	out := snapshot.Listener{
		Name: l.id, Direction: l.direction, Protocol: l.protocol,
		Address: l.address, Port: l.port, Service: l.service,
		Filters: c.filters(l), Sources: sources(l.policies(), doc),
	}
	if l.ingress {
		out.Chains = lowerEntries(l.entries)
		return out
	}
	routes := l.lowerAll(l.service, "tcp", nil)
	route := &routes[len(routes)-1]
	switch {
	case l.metrics != nil:
		routes = l.metrics.lower()
	case l.direction == snapshot.Inbound:
		route.Targets = snapshot.ListOf(snapshot.Target{Cluster: l.local.name, Weight: 1})
		route.Timeout = 0 // the caller's side has it
	}
	if l.protocol == snapshot.HTTP {
		host := snapshot.VirtualHost{
			Name: l.service, Domains: snapshot.ListOf("*"),
			Routes:  snapshot.ListOf(routes...),
			Sources: out.Sources,
		}
		host.Digest = host.Sum()
		out.VirtualHosts = snapshot.ListOf(host)
	} else {
		out.Targets = route.Targets
		out.IdleTimeout, out.ConnectAttempts = tcpIdle(l.timeout), connectAttempts(l.retry)
	}
	return out
}

func lowerHost(name string, domains []string, routes []snapshot.Route, from snapshot.List[string]) snapshot.VirtualHost {
	sorted := slices.Sorted(slices.Values(domains))
	h := snapshot.VirtualHost{
		Name: name, Domains: snapshot.ListOf(sorted...),
		Routes:  snapshot.ListOf(routes...),
		Sources: from,
	}
	h.Digest = h.Sum()
	return h
}

// lower makes the route that all requests take to p. unstated is what a service
// speaks whose documents say nothing.
func (p *passage) lower(name, unstated string) snapshot.Route {
	return p.lowerTo(snapshot.Route{Name: name, PathPrefix: "/"}, p.arms, p.protocol(unstated))
}

// lowerAll makes the routes of p: those of conf.http in order, and the one that
// takes the rest. All have the plugins.
func (p *passage) lowerAll(name, unstated string, plugins *routePlugins) []snapshot.Route {
	protocol := p.protocol(unstated)
	out := make([]snapshot.Route, 0, len(p.http)+1)
	for i, x := range p.http {
		out = append(out, p.lowerTo(lowerHTTPRoute(fmt.Sprintf("%s http[%d]", name, i), x.rule), x.arms, protocol))
	}
	out = append(out, p.lowerTo(snapshot.Route{Name: name, PathPrefix: "/"}, p.arms, protocol))
	for i := range out {
		plugins.fill(&out[i])
	}
	return out
}

// lowerTo fills in where the requests of r, which says what they are and how
// they are changed, go under p: to arms.
func (p *passage) lowerTo(r snapshot.Route, arms []arm, protocol string) snapshot.Route {
	r.Retry = p.lowerRetry(protocol)
	p.lowerTimeouts(&r, protocol)
	targets := make([]snapshot.Target, len(arms))
	rewrite, hosts := snapshot.PathRewrite{}, false
	for i, a := range arms {
		targets[i] = snapshot.Target{Cluster: a.name, Weight: a.weight}
		hosts = hosts || a.service.hostFromEndpoint
		if i == 0 {
			rewrite = a.service.rewrite
		} else if rewrite != a.service.rewrite {
			rewrite = snapshot.PathRewrite{} // services that differ get the path as it came
		}
	}
	// What the route says of a request comes before what its service says of all.
	if r.Rewrite == (snapshot.PathRewrite{}) {
		r.Rewrite = rewrite
	}
	r.HostFromEndpoint = hosts && r.Host == (snapshot.HostRewrite{})
	r.Hash = hashOf(arms, r.PathRegex)
	r.Targets = snapshot.ListOf(targets...)
	return r
}

// sources returns the sorted IDs of docs and policies.
func sources(policies []*schema.Document, docs ...*schema.Document) snapshot.List[string] {
	ids := make([]string, 0, len(docs)+len(policies))
	for _, d := range docs {
		ids = append(ids, d.ID())
	}
	for _, d := range policies {
		ids = append(ids, d.ID())
	}
	slices.Sort(ids)
	return snapshot.ListOf(slices.Compact(ids)...)
}
