package compiler

import (
	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/kong"
	"github.com/meshc/meshc/schema/kubernetes"
	"github.com/meshc/meshc/schema/kuma"
)

// EndpointPlace returns where d, one of the sources of an endpoint set, defines
// an endpoint of it; ok is false where it does not.
func EndpointPlace(d *schema.Document, e snapshot.Endpoint) (at diag.Place, ok bool) {
	is := func(host string, port uint16) bool { return canonicalIP(host) == e.Address && port == e.Port }
	switch r := d.Body.(type) {
	case *kuma.Dataplane:
		for i, in := range r.Networking.Inbound {
			if is(inboundAddress(r, in), uint16(in.Port)) {
				return d.Place("networking", "inbound", i), true
			}
		}
	case *kuma.ExternalService:
		return d.Place("networking", "address"), is(splitHostPort(r.Networking.Address))
	case *kubernetes.Endpoints:
		for i, s := range r.Subsets {
			for _, field := range []string{"addresses", "notReadyAddresses"} {
				of := s.Addresses
				if field != "addresses" {
					of = s.NotReadyAddresses
				}
				for j, a := range of {
					if is(a.IP, e.Port) && hasPort(s.Ports, e.Port) {
						return d.Place("subsets", i, field, j), true
					}
				}
			}
		}
	case *kubernetes.EndpointSlice:
		for i, s := range r.Endpoints {
			for _, a := range s.Addresses {
				if is(a, e.Port) && hasPort(r.Ports, e.Port) {
					return d.Place("endpoints", i), true
				}
			}
		}
	case *kong.Target:
		return d.Place("target"), is(kongTarget(r.Target))
	case *kong.Service:
		return d.Place("host"), is(r.Host, uint16(r.Port))
	}
	return at, false
}

func hasPort(ports []kubernetes.EndpointPort, port uint16) bool {
	for _, p := range ports {
		if uint16(p.Port) == port {
			return true
		}
	}
	return false
}
