package compiler

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/meshc/meshc/schema/diag"
)

// order gives the hosts of the gateway to those who claim them, and puts its
// routes in order.
func order(b *build) {
	b.claimHosts()
	b.orderRoutes()
}

// claim is a service with the domains that it asks for.
type claim struct {
	service serviceKey
	domains []string
}

// claimHosts gives every domain of the gateway to one service: the first by
// mesh and name. The others keep their other domains.
func (b *build) claimHosts() {
	if slices.EqualFunc(b.hosts, b.c.claims, func(h *gatewayHost, c claim) bool {
		return h.service.serviceKey == c.service && slices.Equal(h.service.domains, c.domains)
	}) {
		for _, h := range b.hosts {
			h.domains = h.service.domains
		}
		return
	}
	b.c.claims = nil
	owners := make(map[string]*gatewayHost, 8*len(b.hosts))
	for _, h := range b.hosts {
		h.domains = h.service.domains
		lost := 0
		for _, domain := range h.service.domains {
			owner, taken := owners[domain]
			if !taken {
				owners[domain] = h
				continue
			}
			if lost++; lost == 1 { // one finding a service, however many hosts it lost
				b.report(diag.CodeHostTwice, diag.Warning, h.service.doc, h.service.path,
					fmt.Sprintf("the gateway serves host %s as service %s, not as %s", domain, owner.service.name, h.service.name),
					"name the port in the Host header, or change the name or address of one of the two",
					diag.Related{Place: owner.service.doc.Place(owner.service.path...), Message: "the service that has it"})
			}
		}
		if lost > 0 {
			h.domains = slices.DeleteFunc(slices.Clone(h.domains), func(d string) bool { return owners[d] != h })
			h.kept = strings.Join(h.domains, " ")
		}
	}
	if slices.ContainsFunc(b.hosts, func(h *gatewayHost) bool { return h.kept != "" || len(h.domains) == 0 }) {
		b.hosts = slices.DeleteFunc(b.hosts, func(h *gatewayHost) bool { return len(h.domains) == 0 })
		return
	}
	for _, h := range b.hosts {
		b.c.claims = append(b.c.claims, claim{h.service.serviceKey, h.domains})
	}
}

// checkPorts reports and drops listeners on an address that another listener
// of the same proxy has, or that overlaps it through the wildcard address.
func (b *build) checkPorts(v *view) {
	kept := v.listeners[:0]
	for _, l := range v.listeners {
		i := listensAt(kept, l.address, l.port)
		if i < 0 {
			kept = append(kept, l)
			continue
		}
		b.report(diag.CodePortTwice, diag.Error, v.doc, l.path,
			fmt.Sprintf("%s binds %s, which overlaps its %s listener on %s", v.doc.Name,
				net.JoinHostPort(l.address, fmt.Sprint(l.port)), kept[i].direction, net.JoinHostPort(kept[i].address, fmt.Sprint(kept[i].port))),
			"use another port or address for one of the two",
			diag.Related{Place: v.doc.Place(kept[i].path...), Message: "the other listener"})
	}
	v.listeners = kept
	b.checkLoops(v)
}

// listensAt returns the index of a listener that takes what is for an address, or -1.
func listensAt(listeners []listener, address string, port uint16) int {
	for i := range listeners { // by index: a proxy may have thousands, and they are large
		if l := &listeners[i]; l.port == port && overlap(l.address, address) {
			return i
		}
	}
	return -1
}

// checkLoops reports inbounds that hand their traffic to a listener of the
// same proxy, where it would go round for ever.
func (b *build) checkLoops(v *view) {
	for _, in := range v.listeners {
		if !in.hasLocal() {
			continue
		}
		i := listensAt(v.listeners, in.local.address, in.local.port)
		if i < 0 {
			continue
		}
		b.report(diag.CodeInvalid, diag.Error, v.doc, in.path,
			fmt.Sprintf("the inbound hands its traffic to %s, where %s itself listens",
				net.JoinHostPort(in.local.address, fmt.Sprint(in.local.port)), v.doc.Name),
			"set servicePort to the port of the service beside the proxy, or address to another address than the service's",
			diag.Related{Place: v.doc.Place(v.listeners[i].path...), Message: "the listener"})
	}
}

func overlap(a, b string) bool {
	return a == b || net.ParseIP(a).IsUnspecified() || net.ParseIP(b).IsUnspecified()
}
