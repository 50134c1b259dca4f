//go:build linux

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"sync"
	"time"
)

// abiIdentities are certificates of one authority, in PEM: its own, that of a
// client in the mesh, and that of a server outside.
type abiIdentities struct {
	ca, client, server abiIdentity
}

type abiIdentity struct{ cert, key string }

// pair is i as crypto/tls has it.
func (i abiIdentity) pair() tls.Certificate {
	pair, err := tls.X509KeyPair([]byte(i.cert), []byte(i.key))
	if err != nil {
		panic(err) // it was made here
	}
	return pair
}

// abiCertificates are made once, for a digest of one to be the same in both
// data planes.
var abiCertificates = sync.OnceValue(func() (all abiIdentities) {
	now := time.Now()
	number := int64(0)
	issue := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (abiIdentity, *x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		number++
		template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(number), now.Add(-time.Hour), now.Add(24*time.Hour)
		if parent == nil {
			parent, signer = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
		if err != nil {
			panic(err)
		}
		made, err := x509.ParseCertificate(der)
		if err != nil {
			panic(err)
		}
		secret, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			panic(err)
		}
		text := func(kind string, bytes []byte) string {
			return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes}))
		}
		return abiIdentity{text("CERTIFICATE", der), text("PRIVATE KEY", secret)}, made, key
	}
	ca, parent, signer := issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "ABI authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, URIs: []*url.URL{{Scheme: "spiffe", Host: "default"}},
	}, nil, nil)
	leaf := func(name string, usage x509.ExtKeyUsage, ips ...net.IP) abiIdentity {
		i, _, _ := issue(&x509.Certificate{
			Subject:  pkix.Name{CommonName: name, Organization: []string{"Tests, Ltd", "ABI+x"}, Country: []string{"NL"}},
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage}, BasicConstraintsValid: true,
			URIs:     []*url.URL{{Scheme: "spiffe", Host: "default", Path: "/" + name}},
			DNSNames: []string{name + ".test", name + ".example"}, IPAddresses: ips,
		}, parent, signer)
		return i
	}
	all.ca, all.client = ca, leaf("caller", x509.ExtKeyUsageClientAuth)
	all.server = leaf("outside", x509.ExtKeyUsageServerAuth, net.ParseIP(abiTLSHost))
	return all
})

// abiTLSClient is what a client of the mesh shows, and by what name it calls.
func abiTLSClient() *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{abiCertificates().client.pair()}, ServerName: "abi.test",
		InsecureSkipVerify: true, // who answers is not what is tested
	}
}
