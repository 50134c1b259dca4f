package compiler

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
)

// lowered is a cluster with its endpoints.
type lowered struct {
	cluster   snapshot.Cluster
	endpoints snapshot.EndpointSet
}

// lower writes the snapshot.
func lower(b *build) {
	out := snapshot.Snapshot{}
	proxies := []snapshot.Proxy{b.lowerGateway()}
	for i := range b.views {
		proxies = append(proxies, b.lowerDataplane(&b.views[i]))
	}
	slices.SortFunc(proxies, func(x, y snapshot.Proxy) int { return cmp.Compare(x.ID, y.ID) })
	out.Proxies = snapshot.ListOf(proxies...)

	clusters := b.lowerClusters()
	cs, es := make([]snapshot.Cluster, len(clusters)), make([]snapshot.EndpointSet, len(clusters))
	for i, l := range clusters {
		cs[i], es[i] = l.cluster, l.endpoints
	}
	out.Clusters, out.Endpoints = snapshot.ListOf(cs...), snapshot.ListOf(es...)

	documents, origins := make([]snapshot.Document, 0, len(b.docs)), make([]snapshot.Origin, 0, len(b.docs))
	for _, d := range b.docs {
		id := d.ID()
		documents = append(documents, b.c.documents.get(id, []any{d}, func() snapshot.Document { return lowerDocument(d) }))
		origins = append(origins, snapshot.Origin{ID: id, File: d.Origin, Line: d.Tree.Pos.Line, Column: d.Tree.Pos.Column})
	}
	out.Documents, out.Origins = snapshot.ListOf(documents...), snapshot.ListOf(origins...)
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

// lowerGateway makes the proxy that routes by host to every HTTP service.
func (b *build) lowerGateway() snapshot.Proxy {
	hosts := make([]snapshot.VirtualHost, len(b.hosts))
	var inputs []any
	for i, h := range b.hosts {
		inputs = appendArms(append(inputs[:0], h.service, h.kept), h.route, h.arms)
		hosts[i] = b.c.hosts.get(h.service.whole, inputs, func() snapshot.VirtualHost {
			return lowerHost(h.service.whole, h.domains, h.arms, sources(h.route, h.service.docs...))
		})
	}
	slices.SortFunc(hosts, func(x, y snapshot.VirtualHost) int { return cmp.Compare(x.Name, y.Name) })
	l := snapshot.Listener{
		Name: snapshot.GatewayID, Direction: snapshot.Gateway, Protocol: snapshot.HTTP,
		VirtualHosts: snapshot.ListOf(hosts...),
	}
	l.Digest = l.Sum()
	p := snapshot.Proxy{ID: snapshot.GatewayID, Listeners: snapshot.ListOf(l)}
	p.Digest = p.Sum()
	return p
}

// lowerDataplane makes the proxy of one dataplane.
func (b *build) lowerDataplane(v *view) snapshot.Proxy {
	inputs := []any{v.doc, len(v.listeners)}
	for _, l := range v.listeners {
		inputs = appendArms(append(inputs, l.name()), l.route, l.arms)
	}
	id := v.doc.Mesh + "." + v.doc.Name
	return b.c.proxies.get(id, inputs, func() snapshot.Proxy {
		listeners := make([]snapshot.Listener, len(v.listeners))
		for i := range v.listeners {
			listeners[i] = lowerListener(v.doc, &v.listeners[i])
		}
		p := snapshot.Proxy{ID: id, Mesh: v.doc.Mesh, Listeners: snapshot.ListOf(listeners...)}
		p.Digest = p.Sum()
		return p
	})
}

func lowerListener(doc *schema.Document, l *listener) snapshot.Listener {
	out := snapshot.Listener{
		Name: l.name(), Direction: l.direction, Protocol: l.protocol,
		Address: l.address, Port: l.port, Service: l.service,
		Sources: sources(l.route, doc),
	}
	targets := targets(l.arms)
	if l.direction == snapshot.Inbound {
		targets = []snapshot.Target{{Cluster: localName(l.local), Weight: 1}}
	}
	if l.protocol == snapshot.HTTP {
		host := snapshot.VirtualHost{
			Name: l.service, Domains: snapshot.ListOf("*"),
			Routes:  snapshot.ListOf(route(l.service, targets, l.arms)),
			Sources: out.Sources,
		}
		host.Digest = host.Sum()
		out.VirtualHosts = snapshot.ListOf(host)
	} else {
		out.Targets = snapshot.ListOf(targets...)
	}
	out.Digest = out.Sum()
	return out
}

func lowerHost(name string, domains []string, arms []arm, from snapshot.List[string]) snapshot.VirtualHost {
	sorted := slices.Sorted(slices.Values(domains))
	h := snapshot.VirtualHost{
		Name: name, Domains: snapshot.ListOf(sorted...),
		Routes:  snapshot.ListOf(route(name, targets(arms), arms)),
		Sources: from,
	}
	h.Digest = h.Sum()
	return h
}

// route sends every request to targets.
func route(name string, targets []snapshot.Target, arms []arm) snapshot.Route {
	r := snapshot.Route{Name: name, PathPrefix: "/", Targets: snapshot.ListOf(targets...)}
	for _, a := range arms {
		r.HostFromEndpoint = r.HostFromEndpoint || a.service.hostFromEndpoint
	}
	return r
}

func targets(arms []arm) []snapshot.Target {
	out := make([]snapshot.Target, len(arms))
	for i, a := range arms {
		out[i] = snapshot.Target{Cluster: a.name(), Weight: a.weight}
	}
	return out
}

// lowerClusters makes every cluster that a listener refers to, sorted by name.
func (b *build) lowerClusters() []*lowered {
	uses := make(map[string]clusterUse, len(b.hosts))
	locals := map[string]*lowered{}
	for _, h := range b.hosts {
		for _, a := range h.arms {
			uses[a.name()] = a.clusterUse
		}
	}
	for _, v := range b.views {
		for _, l := range v.listeners {
			for _, a := range l.arms {
				uses[a.name()] = a.clusterUse
			}
			if l.direction == snapshot.Inbound {
				name := localName(l.local)
				locals[name] = lowerLocal(name, l, v.doc, locals[name])
			}
		}
	}
	out := slices.AppendSeq(make([]*lowered, 0, len(uses)+len(locals)), maps.Values(locals))
	for name, u := range uses {
		out = append(out, b.c.clusters.get(name, []any{u.service}, func() *lowered { return lowerCluster(name, u) }))
	}
	slices.SortFunc(out, func(x, y *lowered) int { return cmp.Compare(x.cluster.Name, y.cluster.Name) })
	return out
}

func lowerCluster(name string, u clusterUse) *lowered {
	s := u.service
	protocol := snapshot.TCP
	if s.http(s.dialect == schema.Kubernetes) {
		protocol = snapshot.HTTP
	}
	l := &lowered{
		cluster: snapshot.Cluster{
			Name: name, Service: s.name, Mesh: s.mesh, Protocol: protocol,
			Discovery: s.discovery, Balancing: s.balancing,
			ConnectTimeout: snapshot.Duration(s.connectTimeout),
			// One document is enough to find the cluster; its endpoints name all.
			Sources: sources(nil, s.doc),
		},
		endpoints: snapshot.EndpointSet{Name: name, Endpoints: snapshot.ListOf(u.endpoints()...), Sources: sources(nil, s.docs...)},
	}
	return l.sealed()
}

// localName names the cluster behind an inbound. No service has an @ in its name.
func localName(e snapshot.Endpoint) string { return fmt.Sprintf("local@%s:%d", e.Address, e.Port) }

// lowerLocal makes the cluster of the application beside an inbound; before is
// the one that another inbound with the same application made.
func lowerLocal(name string, l listener, doc *schema.Document, before *lowered) *lowered {
	from := []string{doc.ID()}
	if before != nil {
		from = slices.Compact(slices.Sorted(slices.Values(append(from, before.cluster.Sources.Slice()...))))
	}
	out := &lowered{
		cluster: snapshot.Cluster{
			Name: name, Protocol: l.protocol,
			Discovery: snapshot.Static, Balancing: snapshot.RoundRobin,
			ConnectTimeout: snapshot.Duration(defaultConnectTimeout),
			Sources:        snapshot.ListOf(from...),
		},
		endpoints: snapshot.EndpointSet{Name: name, Endpoints: snapshot.ListOf(l.local), Sources: snapshot.ListOf(from...)},
	}
	if before != nil && before.cluster.Protocol == snapshot.HTTP {
		out.cluster.Protocol = snapshot.HTTP
	}
	return out.sealed()
}

func (l *lowered) sealed() *lowered {
	l.cluster.Digest, l.endpoints.Digest = l.cluster.Sum(), l.endpoints.Sum()
	return l
}

// appendArms adds the memo inputs of something made from arms.
func appendArms(inputs []any, route *schema.Document, arms []arm) []any {
	inputs = append(inputs, route)
	for _, a := range arms {
		inputs = append(inputs, a.service)
	}
	return inputs
}

// sources returns the sorted IDs of docs and, where there is one, of route.
func sources(route *schema.Document, docs ...*schema.Document) snapshot.List[string] {
	ids := make([]string, 0, len(docs)+1)
	for _, d := range docs {
		ids = append(ids, d.ID())
	}
	if route != nil {
		ids = append(ids, route.ID())
	}
	slices.Sort(ids)
	return snapshot.ListOf(slices.Compact(ids)...)
}
