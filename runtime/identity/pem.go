package identity

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// pair is a certificate authority: a certificate that may sign, and its key.
type pair struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// certificates returns the certificates in text, of which there is at least
// one. The errors complete a sentence about what holds the text, and quote
// nothing of it.
func certificates(text []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("holds a certificate that does not parse: %s", strings.TrimPrefix(err.Error(), "x509: "))
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, errors.New("holds no certificate in PEM")
	}
	return out, nil
}

// privateKeys returns the private keys in text, in PKCS #8, PKCS #1 or SEC 1, of
// which there is at least one.
func privateKeys(text []byte) ([]crypto.Signer, error) {
	var out []crypto.Signer
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "PRIVATE KEY" && !strings.HasSuffix(block.Type, " PRIVATE KEY") {
			continue
		}
		key := parseKey(block.Bytes)
		if key == nil {
			return nil, errors.New("holds a private key that cannot be used: want one in PKCS #8, PKCS #1 or SEC 1, not encrypted")
		}
		out = append(out, key)
	}
	if len(out) == 0 {
		return nil, errors.New("holds no private key in PEM")
	}
	return out, nil
}

// parseKey parses a key in whichever form it is, or returns nil.
func parseKey(der []byte) crypto.Signer {
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		signer, _ := key.(crypto.Signer)
		return signer
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key
	}
	return nil
}

// fits reports whether p's key is the one that its certificate was made for.
func (p pair) fits() bool {
	public, ok := p.key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(p.cert.PublicKey)
}

func certPEM(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

func keyPEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
