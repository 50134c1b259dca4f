package main

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
)

// listenerOf returns the listener of a proxy that the request is for: the one
// that is named; the gateway's, unless the host is an address that it opens
// for a Service; the one of a dataplane whose address or service is the host.
func (a *asker) listenerOf(proxyID string) (found snapshot.Listener, ok bool) {
	host := a.headers.Value(":authority")
	for _, p := range a.snap.Proxies.All() {
		if p.ID != proxyID {
			continue
		}
		for _, l := range p.Listeners.All() {
			address := net.JoinHostPort(l.Address, strconv.Itoa(int(l.Port)))
			switch {
			case a.listener != "":
				if l.Name == a.listener || l.Port != 0 && address == a.listener {
					return l, true
				}
			case l.Name == snapshot.GatewayTLS && a.tls, l.Name == snapshot.GatewayID && !a.tls:
				found, ok = l, true
			case l.Direction == snapshot.Gateway && l.Address == "" && everyAddress("::", l.Port, host) && !names(found, host):
				return l, true
			case l.Port != 0 && address == host,
				l.Direction == snapshot.Node && everyAddress(l.Address, l.Port, host),
				l.Direction == snapshot.Outbound && (l.Service == host || l.Service+".mesh" == host):
				return l, true
			}
		}
	}
	return found, ok
}

// names reports whether a virtual host of l names a host.
func names(l snapshot.Listener, host string) bool {
	for _, vh := range l.VirtualHosts.All() {
		if slices.Contains(vh.Domains.Slice(), host) {
			return true
		}
	}
	return false
}

// everyAddress reports whether host is IP:PORT, and a listener on this port and
// the address that stands for all of its kind takes what is sent there.
func everyAddress(address string, port uint16, host string) bool {
	to, err := netip.ParseAddrPort(host)
	at, err2 := netip.ParseAddr(address)
	return err == nil && err2 == nil && at.IsUnspecified() && to.Port() == port && (at.Is6() || to.Addr().Is4())
}

// chainOf returns the chain of l for the server name of the client; ok is false
// where there is none.
func (a *asker) chainOf(l snapshot.Listener) (c snapshot.Chain, ok bool) {
	if l.Direction == snapshot.Inbound && !a.named { // the ingress of a zone, and the host is a service
		for _, c := range l.Chains.All() {
			if service, tags, ok := strings.Cut(c.Name, "{"); ok && service == a.serverName && strings.HasPrefix(tags, "mesh=") && !strings.Contains(tags, ",") {
				a.serverName = c.Name
				return c, true
			}
		}
	}
	for _, pattern := range snapshot.ServerNamePatterns(a.serverName) {
		for _, c := range l.Chains.All() {
			if slices.Contains(c.ServerNames.Slice(), pattern) {
				return c, true
			}
		}
	}
	return c, false
}
