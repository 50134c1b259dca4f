//go:build linux

package xds_test

import (
	"crypto/x509"
	"net"
	"net/netip"
	neturl "net/url"
	"testing"

	"github.com/meshc/meshc/runtime/status"
	"github.com/meshc/meshc/runtime/xds/envoy"
)

// TestRealEnvoyShowsItsCertificate: the configuration that meshc bootstrap
// prints brings an Envoy in as the node that its certificate is for, and as no
// other.
func TestRealEnvoyShowsItsCertificate(t *testing.T) {
	ca := newSigner(t, "ca")
	files := ca.server()
	ca.sign("server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	ca.sign("client", &x509.Certificate{URIs: []*neturl.URL{{Scheme: "meshc", Opaque: "default.shop"}}})
	r := overTLS(t, files)
	r.publish(world(nil, gateway(), proxy("default.shop")))
	addr := netip.MustParseAddrPort(r.addr)
	as := func(node string) envoy.Connection {
		return envoy.Connection{
			NodeID: node, Host: addr.Addr().String(), Port: addr.Port(),
			ServerCA: ca.path("ca.crt"), Certificate: ca.path("client.crt"), Key: ca.path("client.key"),
		}
	}
	r.connect(as("default.shop"))
	r.eventually("has it all", func(n status.Node) bool { return n.ID == "default.shop" && !n.Acked.IsZero() })
	r.begin(as("gateway"))
	r.eventually("was refused", func(n status.Node) bool { return n.ID == "gateway" && n.Refused != "" })
}

// TestRealEnvoyLooksItsServerUp: localhost has an IPv6 address as well, on which
// nobody listens.
func TestRealEnvoyLooksItsServerUp(t *testing.T) {
	r := start(t)
	r.publish(world(nil, gateway()))
	r.connect(envoy.Connection{NodeID: "gateway", Host: "localhost", Port: netip.MustParseAddrPort(r.addr).Port()})
}
