package compiler

import (
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/kuma"
)

// kumaService makes a service of what docs offer, and of what is behind the
// ingresses of zones. walls are the zones that others do not enter directly.
func kumaService(k serviceKey, docs []*schema.Document, walls map[string]bool, remote []endpoint, ingresses []*schema.Document) *service {
	all := slices.Concat(docs, ingresses)
	s := &service{
		serviceKey:     k,
		dialect:        schema.Kuma,
		discovery:      snapshot.Static,
		balancing:      snapshot.RoundRobin,
		connectTimeout: defaultConnectTimeout,
		doc:            all[0], docs: all,
		whole: k.whole(),
	}
	first := true
	add := func(path []any, tags map[string]string, e endpoint, ready bool) {
		if first {
			s.path = path
		}
		s.protocol = commonProtocol(s.protocol, tags[kuma.ProtocolTag], first)
		first = false
		if ready {
			e.tags, e.location = tags, locationOf(tags)
			if e.inbound && walls[e.zone] {
				e.walled, s.zoned = true, true
			}
			s.endpoints = append(s.endpoints, e)
		}
	}
	for _, d := range docs {
		switch r := d.Body.(type) {
		case *kuma.Dataplane:
			for i, in := range r.Networking.Inbound {
				if in.Tags[kuma.ServiceTag] != k.name {
					continue
				}
				address := inboundAddress(r, in)
				if net.ParseIP(address) == nil {
					s.discovery = snapshot.DNS
				}
				add([]any{"networking", "inbound", i, "tags", kuma.ServiceTag}, in.Tags,
					endpoint{Endpoint: snapshot.Endpoint{Address: address, Port: uint16(in.Port)}, inbound: true}, ready(in))
			}
		case *kuma.ExternalService:
			host, port := splitHostPort(r.Networking.Address)
			if net.ParseIP(host) == nil {
				s.discovery = snapshot.DNS
			}
			// As Kuma: the outside world is spoken to by its own name.
			s.hostFromEndpoint = true
			e := endpoint{Endpoint: snapshot.Endpoint{Address: canonicalIP(host), Port: port, Hostname: hostOfIP(host)}}
			if t := externalTransport(d, r, host); t != nil {
				e.transport, e.Transport = t, t.Name
			}
			add([]any{"tags", kuma.ServiceTag}, r.Tags, e, true)
		}
	}
	for i, e := range remote {
		if len(docs) == 0 && i == 0 {
			s.path = []any{"networking", "ingress"}
		}
		// An ingress that does not say what its instances speak has them speak what the others do.
		if p := e.tags[kuma.ProtocolTag]; p != "" || len(docs) == 0 {
			s.protocol = commonProtocol(s.protocol, p, first)
			first = false
		}
		if net.ParseIP(e.Address) == nil {
			s.discovery = snapshot.DNS
		}
		s.endpoints, s.zoned = append(s.endpoints, e), true
	}
	if s.http(false) {
		s.domains = kumaDomains(k)
	}
	return s
}

// commonProtocol joins the protocols of a service's inbounds: the same gives
// that one, grpc and http2 give http2, anything else is tcp (Kuma 1.1.6).
func commonProtocol(have, next string, first bool) string {
	if next == "" {
		next = "tcp"
	}
	switch {
	case first || have == next:
		return next
	case have == "grpc" && next == "http2", have == "http2" && next == "grpc":
		return "http2"
	}
	return "tcp"
}

// kumaDomains are the hosts of a mesh service at the gateway: its name, also
// with .mesh, in mesh default; with .MESH.mesh in any.
func kumaDomains(k serviceKey) []string {
	name := strings.ToLower(k.name)
	hosts := []string{name + "." + k.mesh + ".mesh"}
	if k.mesh == "default" {
		hosts = []string{name, name + ".mesh", name + ".default.mesh"}
	}
	for _, h := range hosts {
		hosts = append(hosts, h+":80")
	}
	return hosts
}

// inboundAddress is where others reach the inbound.
func inboundAddress(d *kuma.Dataplane, in kuma.Inbound) string {
	if in.Address != "" {
		return canonicalIP(in.Address)
	}
	return canonicalIP(d.Networking.Address)
}

// splitHostPort takes HOST:PORT apart; the schema has checked it.
func splitHostPort(address string) (string, uint16) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address, 0
	}
	n, _ := strconv.ParseUint(port, 10, 16)
	return host, uint16(n)
}
