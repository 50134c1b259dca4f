package compiler

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
)

// lowered is a cluster with its endpoints.
type lowered struct {
	cluster   snapshot.Cluster
	endpoints snapshot.EndpointSet
}

// single is what one document gives whatever the others say.
type single struct {
	document    snapshot.Document
	unsupported []diag.Diagnostic
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
	out.Clusters = snapshot.ListOfFunc(len(clusters), func(i int) snapshot.Cluster { return clusters[i].cluster })
	out.Endpoints = snapshot.ListOfFunc(len(clusters), func(i int) snapshot.EndpointSet { return clusters[i].endpoints })

	out.Documents = snapshot.ListOfFunc(len(b.docs), func(i int) snapshot.Document {
		d := b.docs[i]
		one := b.c.documents.get(d, nil, func() *single { return &single{lowerDocument(d), unsupported(d)} })
		b.unsupported = append(b.unsupported, one.unsupported...)
		return one.document
	})
	out.Origins = snapshot.ListOfFunc(len(b.docs), func(i int) snapshot.Origin {
		d := b.docs[i]
		return snapshot.Origin{ID: d.ID(), File: d.Origin, Line: d.Tree.Pos.Line, Column: d.Tree.Pos.Column}
	})
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
	var inputs []any
	slices.SortFunc(b.hosts, func(x, y *gatewayHost) int { return cmp.Compare(x.service.whole, y.service.whole) })
	l := snapshot.Listener{
		Name: snapshot.GatewayID, Direction: snapshot.Gateway, Protocol: snapshot.HTTP,
		VirtualHosts: snapshot.ListOfFunc(len(b.hosts), func(i int) snapshot.VirtualHost {
			h := b.hosts[i]
			inputs = inputs[:0]
			if h.route != nil || h.kept != "" { // else all lies in the service
				inputs = appendArms(append(inputs, h.kept), h.route, h.arms)
			}
			return b.c.hosts.get(h.service, inputs, func() snapshot.VirtualHost {
				return lowerHost(h.service.whole, h.domains, h.arms, sources(h.route, h.service.docs...))
			})
		}),
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
	all := make(map[string]*lowered, len(b.hosts))
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
				all[name] = lowerLocal(name, l, v.doc, all[name])
			}
		}
	}
	for name, u := range uses {
		all[name] = b.c.clusters.get(clusterKey{u.service, name}, nil, func() *lowered { return lowerCluster(name, u) })
	}
	b.c.clusterOrder = inOrder(b.c.clusterOrder, all, strings.Compare)
	out := make([]*lowered, len(all))
	for i, name := range b.c.clusterOrder {
		out[i] = all[name]
	}
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
