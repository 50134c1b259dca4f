package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	mathrand "math/rand/v2"
	"time"
)

// leaf is the certificate of a proxy.
type leaf struct {
	cert    *x509.Certificate
	key     *ecdsa.PrivateKey
	keyPEM  []byte
	issuer  *x509.Certificate
	backend string
	uris    string // joined, to tell whether it still says what it should
	life    time.Duration
	renewAt time.Time
}

// sign makes a certificate for uris that is valid for life, or until its issuer
// ends.
//
// The key is ECDSA P-256, the one curve that Envoy takes and in Go the cheapest
// to make and to use: Kuma's RSA keys would cost a tenth of a second for each
// of ten thousand proxies.
func sign(p pair, backend string, uris []string, life time.Duration, now time.Time) (*leaf, error) {
	if now.After(p.cert.NotAfter) {
		return nil, fmt.Errorf("the certificate of its authority %s ended on %s", backend, p.cert.NotAfter.UTC().Format(time.DateTime))
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	end := now.Add(life)
	if end.After(p.cert.NotAfter) {
		end = p.cert.NotAfter
	}
	names, err := alternativeNames(uris)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: newSerial(),
		NotBefore:    now.Add(-clockSkew), NotAfter: end,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyAgreement,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		ExtraExtensions:       []pkix.Extension{names},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, p.cert, key.Public(), p.key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	text, err := keyPEM(key)
	if err != nil {
		return nil, err
	}
	l := &leaf{cert: cert, key: key, keyPEM: text, issuer: p.cert, backend: backend, uris: joined(uris), life: life}
	// Not all proxies that were started together are renewed together.
	// What is written in a certificate has no parts of a second.
	valid := cert.NotAfter.Sub(now)
	l.renewAt = now.Add(valid/5*4 - mathrand.N(valid/20+1))
	return l, nil
}

// alternativeNames is the extension with uris (RFC 5280, section 4.2.1.6),
// critical, for there is no other name. Go's own way through url.URL would
// write some tags in another way than they are.
func alternativeNames(uris []string) (pkix.Extension, error) {
	names := make([]asn1.RawValue, len(uris))
	for i, u := range uris {
		names[i] = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(u)}
	}
	value, err := asn1.Marshal(names)
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: value}, err
}

func (l *leaf) serial() string { return hex.EncodeToString(l.cert.SerialNumber.Bytes()) }

// bundle joins l with what its mesh trusts.
func (l *leaf) bundle(r *roots) *Bundle {
	return &Bundle{
		Certificate: tls.Certificate{Certificate: [][]byte{l.cert.Raw}, PrivateKey: l.key, Leaf: l.cert},
		Roots:       r.pool,
		CertPEM:     certPEM(l.cert), KeyPEM: l.keyPEM, RootsPEM: r.pem,
		Version:  l.serial() + "-" + r.digest,
		Trust:    digest(r.digest, l.uris, string(l.issuer.RawSubjectPublicKeyInfo)),
		NotAfter: l.cert.NotAfter,
	}
}
