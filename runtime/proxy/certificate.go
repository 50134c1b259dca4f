package proxy

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"net"
	"slices"
	"strings"

	"github.com/meshc/meshc/runtime/filter"
)

// servedConn is a connection after its handshake as a server.
type servedConn struct {
	*tls.Conn
	own *x509.Certificate // that was shown
}

// certificate returns the certificate that was shown.
func (c *servedConn) certificate() *x509.Certificate { return c.own }

// presented returns which of certs crypto/tls shows to a client that says hello.
func presented(hello *tls.ClientHelloInfo, certs []tls.Certificate) *x509.Certificate {
	for i := range certs {
		if len(certs) == 1 || hello.SupportsCertificate(&certs[i]) == nil {
			return certs[i].Leaf
		}
	}
	return certs[0].Leaf
}

// tlsProperty answers for Envoy's attributes of a connection's TLS, which are
// the same downstream and upstream; nc may be nil or in the clear.
func tlsProperty(nc net.Conn, name string) (filter.Value, bool) {
	c, ok := nc.(interface{ ConnectionState() tls.ConnectionState })
	if !ok {
		return nil, false
	}
	state := c.ConnectionState()
	if name == "tls_version" {
		return strings.Replace(tls.VersionName(state.Version), " ", "v", 1), true
	}
	what, side, _ := strings.Cut(name, "_certificate")
	i := strings.LastIndexByte(what, '_')
	if i < 0 {
		return nil, false
	}
	var cert *x509.Certificate
	switch what, side = what[:i], what[i+1:]+side; side {
	case "local":
		if shown, ok := nc.(interface{ certificate() *x509.Certificate }); ok {
			cert = shown.certificate()
		}
	case "peer", "peer_digest":
		if len(state.PeerCertificates) > 0 {
			cert = state.PeerCertificates[0]
		}
	default:
		return nil, false
	}
	return certificateProperty(cert, what, side)
}

// certificateProperty answers for one certificate, nil for none: Envoy then has
// an empty subject, and nothing else.
func certificateProperty(c *x509.Certificate, what, side string) (filter.Value, bool) {
	switch {
	case what == "subject" && side != "peer_digest":
		if c == nil {
			return "", true
		}
		return subject(c), true
	case c == nil:
	case what == "sha256" && side == "peer_digest":
		sum := sha256.Sum256(c.Raw)
		return hex.EncodeToString(sum[:]), true
	case what == "uri_san" && side != "peer_digest" && len(c.URIs) > 0:
		return c.URIs[0].String(), true
	case what == "dns_san" && side != "peer_digest" && len(c.DNSNames) > 0:
		return c.DNSNames[0], true
	}
	return nil, false
}

// subject is that of c as RFC 2253 has it, with the attributes in the order that
// they stand in there.
func subject(c *x509.Certificate) string {
	var names pkix.RDNSequence
	if rest, err := asn1.Unmarshal(c.RawSubject, &names); err != nil || len(rest) > 0 {
		return ""
	}
	for _, n := range names { // String reverses what OpenSSL does, but not within these
		slices.Reverse(n)
	}
	return names.String()
}
