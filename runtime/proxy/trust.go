package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/identity"
)

// Identities is where certificates and secrets come from: an identity.Store,
// which prepares a snapshot before the proxy does.
type Identities interface {
	// View returns what belongs to the snapshot of that version.
	View(version snapshot.Digest) *identity.View
}

var errNoIdentities = errors.New("nothing in this process issues certificates")

// bundle returns what a proxy shows and trusts in a mesh.
func bundle(v *identity.View, proxy, mesh string) (*identity.Bundle, error) {
	if v == nil {
		return nil, errNoIdentities
	}
	return v.Mesh(proxy, mesh)
}

// secret returns the secret id of the snapshot of v.
func secret(v *identity.View, id string) (*identity.Value, error) {
	if v == nil {
		return nil, errNoIdentities
	}
	return v.Secret(id)
}

// verifyError is a peer that is not who it should be.
type verifyError struct{ error }

func (e *verifyError) Unwrap() error { return e.error }

// peerURIs verifies that the peer's certificate leads to roots and may be used
// for usage, by the time at. It returns the URIs in it, and the end of the root.
func peerURIs(s tls.ConnectionState, roots *x509.CertPool, usage x509.ExtKeyUsage, at time.Time) (uris []string, until time.Time, err error) {
	chain, err := verifyChain(s, x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{usage}, CurrentTime: at})
	if err != nil {
		return nil, time.Time{}, err
	}
	for _, u := range chain[0].URIs {
		uris = append(uris, u.String())
	}
	return uris, chain[len(chain)-1].NotAfter, nil
}

// verifyChain returns the peer's certificate with what vouches for it, the root last.
func verifyChain(s tls.ConnectionState, o x509.VerifyOptions) ([]*x509.Certificate, error) {
	if len(s.PeerCertificates) == 0 {
		return nil, &verifyError{errors.New("the peer shows no certificate")}
	}
	o.Intermediates = x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		o.Intermediates.AddCert(c)
	}
	chains, err := s.PeerCertificates[0].Verify(o)
	if err != nil {
		return nil, &verifyError{err}
	}
	return chains[0], nil
}

// access says who may use a listener that speaks TLS.
type access struct {
	enforced bool
	clients  [][]string // each, the URIs that a client has all of
	digest   snapshot.Digest
}

func newAccess(spec snapshot.Access) access {
	a := access{enforced: spec.Enforced, digest: snapshot.DigestOf(spec)}
	for _, r := range spec.Rules.All() {
		for _, c := range r.Clients.All() {
			a.clients = append(a.clients, c.URIs.Slice())
		}
	}
	return a
}

// check returns why a client with these URIs may not use a listener for mesh.
func (a *access) check(mesh string, uris []string) error {
	domain := "spiffe://" + mesh + "/"
	if !slices.ContainsFunc(uris, func(u string) bool { return strings.HasPrefix(u, domain) }) {
		return fmt.Errorf("the client is none of mesh %s", mesh)
	}
	admitted := func(of []string) bool {
		return !slices.ContainsFunc(of, func(u string) bool { return !slices.Contains(uris, u) })
	}
	if a.enforced && !slices.ContainsFunc(a.clients, admitted) {
		return errors.New("no TrafficPermission admits the client")
	}
	return nil
}

// hangUp closes a connection at once, from any goroutine: over TLS, a goodbye
// could wait for a peer that reads nothing.
func hangUp(nc net.Conn) { bare(nc).Close() }

// bare returns the socket below TLS.
func bare(nc net.Conn) net.Conn {
	for {
		under, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return nc
		}
		nc = under.NetConn()
	}
}
