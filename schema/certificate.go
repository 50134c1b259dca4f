package schema

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/internal/pem"
	"github.com/meshc/meshc/schema/kuma"
)

// pair is a certificate with its key, and the fields that have them.
type pair struct {
	cert, key         *kuma.DataSource
	certPath, keyPath []any
	severity          diag.Severity // of what is wrong with them
}

// authority checks the CA that a user brings for a mesh, as Kuma does: a root,
// alone, that may sign certificates and do nothing else with its key
// (X.509-SVID, sections 4.1 and 4.3).
func (s *sourceCheck) authority(d *Document, mesh string, p pair) {
	if p.cert == nil && p.key == nil {
		return // a builtin one
	}
	chain, from := s.pair(d, mesh, p)
	if len(chain) == 0 {
		return
	}
	report := func(message, hint string) { s.unusable(p.severity, d, p.certPath, from, message, hint) }
	if len(chain) > 1 {
		report(fmt.Sprintf("holds a chain of %d certificates", len(chain)), "give the root CA alone")
		return
	}
	c := chain[0]
	if !c.IsCA {
		report("is not a CA: its basic constraint CA is not true", "make it with CA:TRUE")
	}
	if c.IsCA {
		if problem := notRoot(c); problem != "" {
			report("is not a root CA: it is signed "+problem, "give a certificate that is signed with its own key")
		}
	}
	if c.KeyUsage&x509.KeyUsageCertSign == 0 {
		report("may not sign certificates: it lacks the key usage keyCertSign", "make it with keyUsage=keyCertSign,cRLSign")
	}
	for _, forbidden := range []struct {
		usage x509.KeyUsage
		name  string
	}{{x509.KeyUsageDigitalSignature, "digitalSignature"}, {x509.KeyUsageKeyAgreement, "keyAgreement"}, {x509.KeyUsageKeyEncipherment, "keyEncipherment"}} {
		if c.KeyUsage&forbidden.usage != 0 {
			report("has the key usage "+forbidden.name+", which a CA of mesh identities must not have", "make it with keyUsage=keyCertSign,cRLSign")
		}
	}
}

// notRoot says by whom c is signed, or "" where with its own key. What else c
// may be used for does not matter here, so CheckSignatureFrom will not do.
func notRoot(c *x509.Certificate) string {
	if !bytes.Equal(c.RawIssuer, c.RawSubject) {
		return fmt.Sprintf("by %s", c.Issuer)
	}
	err := c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature)
	if _, old := errors.AsType[x509.InsecureAlgorithmError](err); err == nil || old {
		return "" // nobody checks the signature of a root, which may be as old as SHA-1
	}
	return "in its own name, but with another key"
}

// identity checks a client's certificate and key.
func (s *sourceCheck) identity(d *Document, mesh string, p pair) {
	if p.cert != nil || p.key != nil {
		s.pair(d, mesh, p)
	}
}

// chain returns the certificates of a source, nil where they cannot be found or
// read, and the place that they come from, if it is not the field.
func (s *sourceCheck) chain(severity diag.Severity, d *Document, mesh string, source *kuma.DataSource, path []any) ([]*x509.Certificate, []diag.Related) {
	var chain []*x509.Certificate
	data, from, err := s.bytes(d, mesh, source, false, path)
	if err == nil && data != nil {
		chain, err = pem.Certificates(data)
	}
	if err != nil {
		s.unusable(severity, d, path, from, err.Error(), pemHint)
	}
	return chain, from
}

const (
	pemHint = "write it in PEM: a block that begins with -----BEGIN CERTIFICATE-----"
	keyHint = "write it in PEM, not encrypted: a block that begins with -----BEGIN PRIVATE KEY-----"
)

// pair checks that both halves can be read and belong together, as far as they
// can be found. It returns the certificates, if they can be read, and the place
// that they come from, if it is not the field.
func (s *sourceCheck) pair(d *Document, mesh string, p pair) ([]*x509.Certificate, []diag.Related) {
	chain, fromCert := s.chain(p.severity, d, mesh, p.cert, p.certPath)
	data, fromKey, err := s.bytes(d, mesh, p.key, true, p.keyPath)
	if err == nil && data == nil {
		return chain, fromCert
	}
	var key crypto.Signer
	if err == nil {
		key, err = pem.Key(data)
	}
	switch {
	case err != nil:
		s.unusable(p.severity, d, p.keyPath, fromKey, err.Error(), keyHint)
	case chain != nil && !pem.Pair(chain[0], key):
		s.unusable(p.severity, d, p.keyPath, fromKey, "is not the key of the certificate", "give the two that were made together")
	}
	return chain, fromCert
}

func (s *sourceCheck) unusable(severity diag.Severity, d *Document, path []any, from []diag.Related, message, hint string) {
	s.add(severity, diag.CodeCertificate, d, path, fmt.Sprintf("%v %s", path[len(path)-1], message), hint)
	s.found[len(s.found)-1].Related = from
}
