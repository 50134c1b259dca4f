package schema

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/meshc/meshc/schema/diag"
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
func (s *Sources) authority(d *Document, mesh string, p pair) {
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
	if c.CheckSignatureFrom(c) != nil && c.IsCA {
		report(fmt.Sprintf("is not a root CA: it is signed by %s", c.Issuer), "give a certificate that is signed with its own key")
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

// identity checks a client's certificate and key. Kuma takes any, so what is
// wrong is a warning.
func (s *Sources) identity(d *Document, mesh string, p pair) {
	if p.cert != nil || p.key != nil {
		s.pair(d, mesh, p)
	}
}

// roots checks certificates that others are verified against. Kuma takes any,
// so what is wrong is a warning.
func (s *Sources) roots(d *Document, mesh string, source *kuma.DataSource, path []any) {
	if data, ok, from := s.bytes(d, mesh, source, false, path); ok {
		if _, err := certificates(data); err != nil {
			s.unusable(diag.Warning, d, path, from, err.Error(), pemHint)
		}
	}
}

const pemHint = "write it in PEM: a block that begins with -----BEGIN"

// pair checks that both halves can be read and belong together, as far as they
// can be found. It returns the certificates, if they can be read, and the place
// that they come from, if it is not the field.
func (s *Sources) pair(d *Document, mesh string, p pair) ([]*x509.Certificate, []diag.Related) {
	cert, haveCert, fromCert := s.bytes(d, mesh, p.cert, false, p.certPath)
	key, haveKey, fromKey := s.bytes(d, mesh, p.key, true, p.keyPath)
	var chain []*x509.Certificate
	var err error
	if haveCert {
		if chain, err = certificates(cert); err != nil {
			s.unusable(p.severity, d, p.certPath, fromCert, err.Error(), pemHint)
		}
	}
	if !haveKey {
		return chain, fromCert
	}
	if block, _ := pem.Decode(key); block == nil {
		s.unusable(p.severity, d, p.keyPath, fromKey, "is not a private key", pemHint)
		return chain, fromCert
	}
	if chain == nil {
		return nil, nil
	}
	switch _, err = tls.X509KeyPair(cert, key); {
	case err == nil:
	case strings.Contains(err.Error(), "does not match"):
		s.unusable(p.severity, d, p.keyPath, fromKey, "is not the key of the certificate", "give the two that were made together")
	default: // the error quotes nothing of the key
		s.unusable(p.severity, d, p.keyPath, fromKey, "is not a private key that can be used: "+strings.TrimPrefix(err.Error(), "tls: "), pemHint)
	}
	return chain, fromCert
}

func (s *Sources) unusable(severity diag.Severity, d *Document, path []any, from []diag.Related, message, hint string) {
	s.add(severity, diag.CodeCertificate, d, path, fmt.Sprintf("%v %s", path[len(path)-1], message), hint)
	s.found[len(s.found)-1].Related = from
}

// certificates reads one or more certificates in PEM.
func certificates(data []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("is not a certificate that can be used: %s", strings.TrimPrefix(err.Error(), "x509: "))
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, errors.New("holds no certificate")
	}
	return out, nil
}
