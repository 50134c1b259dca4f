package compiler

import (
	"fmt"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
)

// lowered is a cluster with its endpoints. It is not changed once made.
type lowered struct {
	cluster   snapshot.Cluster
	endpoints snapshot.EndpointSet
	// from is all that it was made from beside its name: a clusterInputs, a
	// localKey, or the sources of a call as one text.
	from any
}

// clusterInputs are what the cluster of a use depends on beside its name.
type clusterInputs struct {
	service   *service
	treatment treatment
	at        place
	peers     peers
}

func lowerCluster(u *clusterUse, p peers) *lowered {
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
			WriteTimeout:   snapshot.Duration(s.writeTimeout),
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
