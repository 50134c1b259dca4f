package compiler

import (
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/kuma"
)

// peers says behind which endpoints of a service dataplanes of its mesh listen.
// It is comparable: a part of clusterInputs.
type peers string

const (
	noPeers  peers = ""
	allPeers peers = "*" // behind all that are inbounds, under the service's own name
)

// peersOf returns the peers of s; else they are lines of "ADDRESS:PORT SERVICE".
func (b *build) peersOf(s *service) peers {
	if b.mtls[s.mesh] == nil {
		return noPeers
	}
	if s.dialect == schema.Kuma {
		return allPeers
	}
	var lines []string
	for _, e := range s.endpoints {
		if name := b.inboundAt(s.mesh, e.Endpoint); name != "" {
			lines = append(lines, address(e.Address, e.Port)+" "+name)
		}
	}
	return peers(strings.Join(lines, "\n"))
}

// of returns who proves itself at an endpoint of s: a service, or "".
func (p peers) of(s *service) func(endpoint) string {
	switch p {
	case allPeers:
		return func(e endpoint) string {
			if e.inbound {
				return s.name
			}
			return ""
		}
	case noPeers:
		return func(endpoint) string { return "" }
	}
	names := make(map[string]string, strings.Count(string(p), "\n")+1)
	for line := range strings.SplitSeq(string(p), "\n") {
		at, name, _ := strings.Cut(line, " ")
		names[at] = name
	}
	return func(e endpoint) string { return names[address(e.Address, e.Port)] }
}

// meshTransport is how the dataplanes of a service are spoken to. SNI is as
// Kuma has it: the service, and in braces the tags that are asked for and the
// mesh, sorted.
func meshTransport(mesh, service string, subset map[string]string) snapshot.Transport {
	pairs := []string{"mesh=" + mesh}
	for k, v := range subset {
		pairs = append(pairs, k+"="+v)
	}
	slices.Sort(pairs)
	return snapshot.Transport{
		Name: "mesh:" + service, Mesh: mesh, Peers: snapshot.ListOf(serviceURI(mesh, service)),
		SNI: service + "{" + strings.Join(pairs, ",") + "}",
	}
}

// externalTransport is the TLS to an ExternalService at host, or nil.
func externalTransport(d *schema.Document, e *kuma.ExternalService, host string) *snapshot.Transport {
	tls := e.Networking.TLS
	if tls == nil || !tls.Enabled {
		return nil
	}
	t := &snapshot.Transport{Name: "external:" + d.Name}
	for _, s := range sourcesOf(d) {
		switch s.source {
		case tls.CACert:
			t.CA, t.Host = s.id(), host
		case tls.ClientCert:
			t.Cert = s.id()
		case tls.ClientKey:
			t.Key = s.id()
		}
	}
	if net.ParseIP(host) == nil { // RFC 6066, section 3: no address stands in SNI
		t.SNI = host
	}
	return t
}

// transports gives each endpoint of the cluster c the name of its transport and
// returns the transports, sorted by name. What is spoken over them is offered by
// ALPN (RFC 7301), as Envoy does unasked: some servers want to hear it.
func (u clusterUse) transports(p peers, c snapshot.Cluster) (func(endpoint) snapshot.Endpoint, snapshot.List[snapshot.Transport]) {
	all, peer := map[string]snapshot.Transport{}, p.of(u.service)
	for e := range u.visible() {
		if name := peer(e); name != "" {
			t := meshTransport(u.service.mesh, name, u.tags)
			all[t.Name] = t
		} else if e.transport != nil {
			all[e.transport.Name] = *e.transport
		}
	}
	names := slices.Sorted(maps.Keys(all))
	list := snapshot.ListOfFunc(len(names), func(i int) snapshot.Transport {
		t := all[names[i]]
		switch {
		case c.HTTP2:
			t.ALPN = snapshot.ListOf("h2")
		case c.Protocol == snapshot.HTTP:
			t.ALPN = snapshot.ListOf("http/1.1")
		}
		return t
	})
	return func(e endpoint) snapshot.Endpoint {
		if name := peer(e); name != "" {
			e.Transport = "mesh:" + name
		}
		return e.Endpoint
	}, list
}
