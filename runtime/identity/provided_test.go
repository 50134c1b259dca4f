package identity_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/identity"
)

// root makes a certificate that is signed with its own key, both in PEM.
func root(t *testing.T, change func(*x509.Certificate)) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	change(c)
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
}

func good(*x509.Certificate) {}

func TestAProvidedAuthority(t *testing.T) {
	dir := t.TempDir()
	write := func(cert, key []byte) {
		for name, data := range map[string][]byte{"ca.pem": cert, "ca.key": key} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	next := world(snapshot.Snapshot{
		Authorities: snapshot.ListOf(snapshot.Authority{ID: "default/mine", Mesh: "default", Backend: "mine", Issues: true, Cert: "c", Key: "k",
			Expiration: snapshot.Duration(24 * time.Hour), Sources: snapshot.ListOf("kuma/Mesh//default")}),
		Secrets: snapshot.ListOf(snapshot.Secret{ID: "c", File: "ca.pem"}, snapshot.Secret{ID: "k", File: "ca.key"}),
	})
	cert, key := root(t, good)
	_, foreign := root(t, good)
	for name, c := range map[string]struct {
		change func(*x509.Certificate)
		want   string
	}{
		"no CA":     {func(c *x509.Certificate) { c.IsCA = false }, "is not a CA"},
		"no usage":  {func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }, "keyCertSign"},
		"all usage": {func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageDigitalSignature }, "must not have"},
		"ended":     {func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, "ended on"},
	} {
		write(root(t, c.change))
		if _, _, err := identity.New(identity.Config{Roots: []string{dir}}).Prepare(t.Context(), next); err == nil ||
			!strings.Contains(err.Error(), "mesh.yaml:3:1: authority default/mine: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
	write(cert, foreign)
	if _, _, err := identity.New(identity.Config{Roots: []string{dir}}).Prepare(t.Context(), next); err == nil || !strings.Contains(err.Error(), "its key is not that of its certificate") {
		t.Errorf("another's key: %v", err)
	}

	write(cert, key)
	var log bytes.Buffer
	s := identity.New(identity.Config{Roots: []string{dir}, Poll: time.Millisecond, Log: slog.New(slog.NewTextHandler(&log, nil))})
	told := make(chan struct{}, 100)
	s.OnChange(func() { told <- struct{}{} })
	v := publish(t, s, next)
	first := mesh(t, v, "default.web", "default")
	if !bytes.Equal(first.RootsPEM, cert) || !trusts(first, first) || first.NotAfter.After(time.Now().Add(time.Hour)) {
		t.Error("the certificate is not of the provided authority, or outlives it")
	}
	go s.Run(t.Context())
	write(root(t, good))
	for second := first; trusts(first, second); second = mesh(t, v, "default.web", "default") {
		select {
		case <-told:
		case <-time.After(time.Minute):
			t.Fatal("the new authority is not followed")
		}
	}
}

// TestAReloadLooksAtTheFilesAsTheyAre replaces the two halves of an authority
// one after the other, each followed by a reload: what the second one finds is
// a pair, however long ago the files were last looked at.
func TestAReloadLooksAtTheFilesAsTheyAre(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	next := world(snapshot.Snapshot{
		Authorities: snapshot.ListOf(snapshot.Authority{ID: "default/mine", Mesh: "default", Backend: "mine", Issues: true, Cert: "c", Key: "k",
			Expiration: snapshot.Duration(24 * time.Hour), Sources: snapshot.ListOf("kuma/Mesh//default")}),
		Secrets: snapshot.ListOf(
			snapshot.Secret{ID: "c", File: "ca.pem", Digest: snapshot.Digest{1}}, snapshot.Secret{ID: "k", File: "ca.key", Digest: snapshot.Digest{2}}),
	})
	cert, key := root(t, good)
	write("ca.pem", cert)
	write("ca.key", key)
	s := identity.New(identity.Config{Roots: []string{dir}, Poll: time.Hour, Log: slog.New(slog.DiscardHandler)})
	told := 0
	s.OnChange(func() { told++ })
	mesh(t, publish(t, s, next), "default.web", "default")

	cert, key = root(t, good)
	write("ca.key", key)
	if _, _, err := s.Prepare(t.Context(), next); err == nil || !strings.Contains(err.Error(), "its key is not that of its certificate") {
		t.Errorf("with half of the new pair: %v", err)
	}
	write("ca.pem", cert)
	told = 0
	if b := mesh(t, publish(t, s, next), "default.web", "default"); !bytes.Equal(b.RootsPEM, cert) {
		t.Error("the new authority is not in use")
	}
	if told != 1 {
		t.Errorf("who shows certificates was told %d times of the new ones", told)
	}
}
