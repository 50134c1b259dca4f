package compiler

import (
	"fmt"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
)

// lowered is a cluster with its endpoints.
type lowered struct {
	cluster   snapshot.Cluster
	endpoints snapshot.EndpointSet
}

// lowerClusters makes every cluster that a listener or filter refers to, sorted by name.
func (b *build) lowerClusters() []*lowered {
	order := &b.c.clusterOrder
	names := make([]string, 0, len(order.met))
	uses := make([]clusterUse, 0, len(order.met)) // of the first names; the others are local
	use := func(p *passage) {
		for a := range p.everywhere() {
			names, uses = append(names, a.name), append(uses, a.clusterUse)
		}
	}
	for _, h := range b.hosts {
		use(h.passage)
	}
	for _, r := range b.gatewayRoutes {
		if to := b.targets[r.service]; to != nil {
			use(to.passage)
		}
	}
	for _, h := range b.routeHosts {
		if h.owner != nil {
			use(h.owner.passage)
		}
	}
	for _, s := range b.streams {
		use(s.passage)
	}
	for i := range b.node {
		if u, ok := b.nodeUse(&b.node[i]); ok {
			names, uses = append(names, u.name), append(uses, u)
		}
	}
	for _, p := range b.plugins {
		for _, name := range p.body.Conf.Services {
			if s := b.service(serviceKey{p.doc.Mesh, name}); s != nil { // else reported
				names, uses = append(names, s.whole), append(uses, newUse(s, nil, place{}, treatment{}))
			}
		}
	}
	var locals []localKey
	known := map[string]int{} // their index by name
	for _, v := range b.views {
		for i := range v.listeners {
			l := &v.listeners[i]
			use(l.passage)
			for _, e := range l.entries {
				names, uses = append(names, e.name), append(uses, e.clusterUse)
			}
			if !l.hasLocal() {
				continue
			}
			if at, ok := known[l.local.name]; !ok {
				known[l.local.name] = len(locals)
				locals = append(locals, localKey{l.local, v.doc, l.protocol})
			} else if l.protocol == snapshot.HTTP {
				locals[at].protocol = snapshot.HTTP
			}
		}
	}
	for _, k := range locals {
		names = append(names, k.name)
	}
	calls := b.uniteCalls()
	for _, c := range calls {
		names = append(names, callName(c.hostPort))
	}
	order.order(names, strings.Compare)
	out := make([]*lowered, order.length)
	for i, u := range uses {
		if at := &out[order.places[i]]; *at == nil {
			peers := noPeers
			if !u.through {
				peers = b.peersOf(u.service)
			}
			*at = b.c.clusters.get(clusterKey{u.service, u.name}, u.inputs(peers), func() *lowered { return lowerCluster(u, peers) })
		}
	}
	for i, k := range locals {
		out[order.places[len(uses)+i]] = b.c.locals.get(k, nil, func() *lowered { return lowerLocal(k) })
	}
	for i, c := range calls {
		name := names[len(uses)+len(locals)+i]
		out[order.places[len(uses)+len(locals)+i]] = b.c.callClusters.get(name, []any{strings.Join(c.sources.Slice(), "\n")}, func() *lowered { return lowerCall(name, c) })
	}
	return out
}

// oneOfEachSet returns a cluster for each set of endpoints, in the order of the
// sets' names.
func (b *build) oneOfEachSet(clusters []*lowered) []*lowered {
	order := &b.c.endpointOrder
	names := make([]string, len(clusters))
	for i, l := range clusters {
		names[i] = l.endpoints.Name
	}
	order.order(names, strings.Compare)
	out := make([]*lowered, order.length)
	for i, l := range clusters {
		if at := &out[order.places[i]]; *at == nil {
			*at = l
		}
	}
	return out
}

// inputs are what a memo of the cluster depends on beside its key.
func (u clusterUse) inputs(p peers) []any {
	if u.treatment == (treatment{}) && u.from == (place{}) && p == noPeers {
		return nil
	}
	return []any{u.treatment, u.from, p}
}

func lowerCluster(u clusterUse, p peers) *lowered {
	s := u.service
	// At the gateway, Kubernetes services that say nothing speak HTTP.
	protocol := s.protocol
	if protocol == "" && s.dialect == schema.Kubernetes {
		protocol = "http"
	}
	l := &lowered{
		cluster: snapshot.Cluster{
			Name: u.name, Service: s.name, Mesh: s.mesh, Protocol: listens(protocol),
			Discovery: s.discovery, Balancing: s.balancing,
			ConnectTimeout: snapshot.Duration(s.connectTimeout),
			HTTP2:          protocol == "grpc" || protocol == "http2",
			// One document is enough to find the cluster; its endpoints name all.
			Sources: sources(u.treatment.docs(), s.doc),
		},
	}
	if name := u.endpointsName(); u.name != name {
		l.cluster.Endpoints = name
	}
	if protocol == udpProtocol {
		l.cluster.Protocol = snapshot.UDP
	}
	s.upkeep.lower(&l.cluster)
	if u.through {
		l.cluster.Protocol, l.cluster.HTTP2 = snapshot.TCP, false
	}
	u.treatment.lower(&l.cluster, protocol)
	endpoint, transports := u.transports(p, l.cluster)
	l.cluster.Transports = transports
	l.endpoints = snapshot.EndpointSet{Name: u.endpointsName(), Endpoints: snapshot.ListOf(u.endpoints(endpoint)...), Sources: sources(nil, s.docs...)}
	return l.sealed()
}

// local is where an inbound hands its traffic on: the application beside it.
type local struct {
	address string
	port    uint16
	http2   bool // it speaks HTTP/2, with prior knowledge
	name    string
}

// named names the cluster of l. No service has an @ in its name.
func (l local) named() local {
	l.name = fmt.Sprintf("local@%s:%d", l.address, l.port)
	if l.http2 {
		l.name += "/http2"
	}
	return l
}

// localKey is all that the cluster of an application depends on. Proxies share
// it; one document, the first, is enough to find it.
type localKey struct {
	local
	doc      *schema.Document
	protocol snapshot.Protocol
}

// lowerLocal makes the cluster of the application beside an inbound.
func lowerLocal(k localKey) *lowered {
	from := sources(nil, k.doc)
	out := &lowered{
		cluster: snapshot.Cluster{
			Name: k.name, Protocol: k.protocol, HTTP2: k.http2,
			Discovery: snapshot.Static, Balancing: snapshot.RoundRobin,
			ConnectTimeout: snapshot.Duration(defaultConnectTimeout),
			Sources:        from,
		},
		endpoints: snapshot.EndpointSet{Name: k.name, Endpoints: snapshot.ListOf(snapshot.Endpoint{Address: k.address, Port: k.port}), Sources: from},
	}
	return out.sealed()
}

func (l *lowered) sealed() *lowered {
	l.cluster.Digest, l.endpoints.Digest = l.cluster.Sum(), l.endpoints.Sum()
	return l
}
