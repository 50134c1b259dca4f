package pem_test

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	encoding "encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/meshc/meshc/schema/internal/pem"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func block(kind string, der []byte) []byte {
	return encoding.EncodeToMemory(&encoding.Block{Type: kind, Bytes: der})
}

func certificateOf(key crypto.Signer) []byte {
	c := &x509.Certificate{SerialNumber: big.NewInt(1)}
	return block("CERTIFICATE", must(x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)))
}

func TestPairs(t *testing.T) {
	ec := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	keys := []crypto.Signer{ec, rsaKey, ed, must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}
	for i, key := range keys {
		chain, err := pem.Certificates(slices.Concat([]byte("a remark\n"), certificateOf(key), certificateOf(ec)))
		if err != nil || len(chain) != 2 {
			t.Fatal(len(chain), err)
		}
		for j, other := range keys {
			read, err := pem.Key(block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(other))))
			if err != nil {
				t.Fatal(err)
			}
			if got := pem.Pair(chain[0], read); got != (i == j) {
				t.Errorf("certificate %d, key %d: %v", i, j, got)
			}
		}
	}
	for name, text := range map[string][]byte{
		"PKCS #1":    block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)),
		"SEC 1":      slices.Concat(block("EC PARAMETERS", []byte("x")), block("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(ec)))),
		"mislabeled": block("RSA PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(ec))),
	} {
		if _, err := pem.Key(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMistakes(t *testing.T) {
	ec := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	cert := certificateOf(ec)
	key := block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(ec)))
	for text, want := range map[string]string{
		"": "holds no certificate", "REDACTED": "holds no certificate",
		string(block("CERTIFICATE", []byte("x"))):                "holds a certificate (number 1) that does not parse",
		string(cert) + string(block("CERTIFICATE", []byte("x"))): "holds a certificate (number 2) that does not parse",
		string(cert) + string(key):                               `holds a PEM block of type "PRIVATE KEY", want CERTIFICATE`,
		string(block("CERTIFICATE REQUEST", []byte("x"))):        `holds a PEM block of type "CERTIFICATE REQUEST"`,
	} {
		if chain, err := pem.Certificates([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) || chain != nil {
			t.Errorf("%s\ngot %v, want %s", text, err, want)
		}
	}
	old := encoding.EncodeToMemory(&encoding.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}, Bytes: []byte("x")})
	agree := block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(must(ecdh.X25519().GenerateKey(rand.Reader)))))
	for text, want := range map[string]string{
		"": "holds no private key", string(cert): "holds no private key", // a block, but no key
		string(block("ENCRYPTED PRIVATE KEY", []byte("x"))): "holds an encrypted private key", string(old): "holds an encrypted private key",
		string(block("PRIVATE KEY", []byte("x"))): "holds a private key that does not parse",
		string(agree): "holds a private key that cannot sign",
	} {
		if _, err := pem.Key([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s\ngot %v, want %s", text, err, want)
		}
	}
}
