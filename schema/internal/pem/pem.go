// Package pem reads the certificates and private keys that documents hold, one
// way for all dialects. Its errors complete a sentence that begins with the
// field ("is encrypted", "holds no certificate"), and quote nothing of a key.
package pem

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

const certificate = "CERTIFICATE"

// Certificates returns the certificates in text, in their order; without an
// error there is at least one. Any other block is an error: certificates are
// shown to everybody, and what stands among them by mistake may be the key.
func Certificates(text []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != certificate {
			return nil, fmt.Errorf("holds a PEM block of type %q, want %s", block.Type, certificate)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("holds a certificate (number %d) that does not parse: %s", len(out)+1, strings.TrimPrefix(err.Error(), "x509: "))
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, errors.New("holds no certificate in PEM")
	}
	return out, nil
}

// Key returns the first private key in text, which may have other blocks
// before it, as EC PARAMETERS. It takes PKCS #8 (RFC 5958), PKCS #1 (RFC 8017,
// appendix A.1.2) and SEC 1 (RFC 5915), none of them encrypted.
func Key(text []byte) (crypto.Signer, error) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return nil, errors.New("holds no private key in PEM")
		}
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "": // RFC 5958, RFC 1421
			return nil, errors.New("holds an encrypted private key")
		case block.Type != "PRIVATE KEY" && !strings.HasSuffix(block.Type, " PRIVATE KEY"):
			continue
		}
		key, ok := parseKey(block.Bytes)
		if !ok {
			return nil, errors.New("holds a private key that does not parse")
		}
		signer, ok := key.(crypto.Signer)
		if !ok { // as those of X25519
			return nil, errors.New("holds a private key that cannot sign")
		}
		return signer, nil
	}
}

// parseKey parses a key in whichever form it is: the type of its block is often wrong.
func parseKey(der []byte) (key any, ok bool) {
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return key, true
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, true
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, true
	}
	return nil, false
}

// Pair reports whether key is the one that c was made for.
func Pair(c *x509.Certificate, key crypto.Signer) bool {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(c.PublicKey)
}
