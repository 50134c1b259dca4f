package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/identity"
)

// secured is TLS as a client, to endpoints of one cluster.
type secured struct {
	proxy  *Proxy
	spec   snapshot.Transport
	digest snapshot.Digest // of spec
	owner  string          // the ID of the proxy whose certificate is shown
	made   *identity.View  // of the snapshot that it was first in

	last atomic.Pointer[credentials]
}

// terms tells connections apart that may not stand for one another. It stays
// the same while a certificate is merely renewed. The zero terms is of those in
// the clear.
type terms struct {
	spec                 snapshot.Digest
	trust, ca, cert, key string // versions
}

// credentials are what is shown and trusted in terms.
type credentials struct {
	terms
	config *tls.Config
	own    *x509.Certificate // that config shows, or nil
	bundle *identity.Bundle  // that config was made of, or nil
}

// same reports whether s and o, either of which may be nil, make the same of a
// connection.
func (s *secured) same(o *secured) bool {
	if s == nil || o == nil {
		return s == o
	}
	return s.digest == o.digest && s.owner == o.owner
}

// current returns what is shown and trusted now: as the snapshot has it that
// serves or, where that has nothing of the kind, the one that s was made of.
func (s *secured) current() (*credentials, error) {
	if g := s.proxy.serving.Load(); g != nil && g.identities != s.made {
		if c, err := s.credentials(g.identities); err == nil {
			return c, nil
		}
	}
	return s.credentials(s.made)
}

// terms returns the current one; nothing is of the zero terms that it returns
// where there is none.
func (s *secured) terms() terms {
	c, err := s.current()
	if err != nil {
		return terms{}
	}
	return c.terms
}

func (s *secured) credentials(v *identity.View) (*credentials, error) {
	last := s.last.Load()
	if s.spec.Mesh != "" {
		b, err := bundle(v, s.owner, s.spec.Mesh)
		if err != nil {
			return nil, err
		}
		if last == nil || last.bundle != b {
			last = &credentials{terms{spec: s.digest, trust: b.Trust}, s.meshConfig(b), b.Certificate.Leaf, b}
			s.last.Store(last)
		}
		return last, nil
	}
	var values [3]*identity.Value // nil where there is none
	e := terms{spec: s.digest}
	for i, of := range []struct {
		id      string
		version *string
	}{{s.spec.CA, &e.ca}, {s.spec.Cert, &e.cert}, {s.spec.Key, &e.key}} {
		if of.id == "" {
			continue
		}
		value, err := secret(v, of.id)
		if err != nil {
			return nil, err
		}
		values[i], *of.version = value, value.Version
	}
	if last != nil && last.terms == e {
		return last, nil
	}
	config, own, err := s.externalConfig(values[0], values[1], values[2])
	if err != nil {
		if last == nil {
			return nil, err
		}
		s.proxy.log.Error("a secret cannot be used; what it was before stays in use", "host", s.spec.Host, "error", err)
		config, own = last.config, last.own
	}
	last = &credentials{terms: e, config: config, own: own}
	s.last.Store(last)
	return last, nil
}

func (s *secured) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: s.spec.SNI, NextProtos: s.spec.ALPN.Slice(),
		InsecureSkipVerify: true, // VerifyConnection does it
	}
}

// meshConfig shows b and wants a certificate of one of the peers.
func (s *secured) meshConfig(b *identity.Bundle) *tls.Config {
	c := s.config()
	c.Certificates = []tls.Certificate{b.Certificate}
	peers := s.spec.Peers.Slice()
	c.VerifyConnection = func(state tls.ConnectionState) error {
		uris, _, err := peerURIs(state, b.Roots, x509.ExtKeyUsageServerAuth, time.Now())
		if err == nil && !slices.ContainsFunc(peers, func(p string) bool { return slices.Contains(uris, p) }) {
			err = &verifyError{fmt.Errorf("the server is none of %q", peers)}
		}
		return err
	}
	return c
}

// externalConfig is for a server outside the mesh, with the certificate that it
// shows, or nil. Without ca, anybody is taken for it, as Envoy does.
func (s *secured) externalConfig(ca, cert, key *identity.Value) (_ *tls.Config, own *x509.Certificate, err error) {
	c := s.config()
	if ca != nil {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(ca.Bytes) {
			return nil, nil, fmt.Errorf("secret %s holds no certificate in PEM", s.spec.CA)
		}
		host := s.spec.Host
		c.VerifyConnection = func(state tls.ConnectionState) error {
			_, err := verifyChain(state, x509.VerifyOptions{Roots: roots, DNSName: host})
			return err
		}
	}
	if cert != nil && key != nil {
		pair, err := tls.X509KeyPair(cert.Bytes, key.Bytes)
		if err != nil {
			// Its text is of the form of the secrets, and quotes nothing of them.
			return nil, nil, fmt.Errorf("secrets %s and %s: %w", s.spec.Cert, s.spec.Key, err)
		}
		own = pair.Leaf
		// Which the server may not have asked for by the name of its authority.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return c, own, nil
}

// securedConn is a connection after its handshake as a client.
type securedConn struct {
	*tls.Conn
	terms terms
	own   *x509.Certificate
}

// certificate returns the certificate that is shown to servers that ask for one.
func (c *securedConn) certificate() *x509.Certificate { return c.own }

// termsOf returns those that nc was made on.
func termsOf(nc net.Conn) terms {
	if c, ok := nc.(*securedConn); ok {
		return c.terms
	}
	return terms{}
}

// Quiet reports that nothing has been received and not read. What the socket
// holds is not looked at.
func (c *securedConn) Quiet() bool {
	var one [1]byte
	c.SetReadDeadline(past)
	n, err := c.Read(one[:])
	c.SetReadDeadline(time.Time{})
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded)
}

// shake makes the handshake on nc, which it closes where that fails.
func (s *secured) shake(ctx context.Context, nc net.Conn) (net.Conn, error) {
	c, err := s.current()
	if err != nil {
		nc.Close()
		return nil, &tlsError{err}
	}
	out := tls.Client(nc, c.config)
	if err := out.HandshakeContext(ctx); err != nil {
		nc.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &tlsError{err}
	}
	return &securedConn{out, c.terms, c.own}, nil
}

// tlsError is a handshake that failed.
type tlsError struct{ err error }

func (e *tlsError) Error() string { return "TLS: " + e.err.Error() }

// reason is the error in the words of Envoy's transport failure reasons.
func (e *tlsError) reason() string {
	reason := "SSLV3_ALERT_HANDSHAKE_FAILURE"
	var verification *verifyError
	var record tls.RecordHeaderError
	switch {
	case errors.As(e.err, &verification):
		reason = "CERTIFICATE_VERIFY_FAILED"
	case errors.As(e.err, &record):
		reason = "WRONG_VERSION_NUMBER"
	}
	return "TLS_error:|SSL routines:OPENSSL_internal:" + reason + ":TLS_error_end"
}

func (e *tlsError) Unwrap() error { return e.err }
