package identity_test

import (
	"bytes"
	"crypto/tls"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/identity"
)

// asksForOwn is a snapshot with the secrets of the gateway's own certificate.
func asksForOwn() snapshot.Snapshot {
	id := snapshot.OwnCertificate()
	return world(snapshot.Snapshot{Secrets: snapshot.ListOf(
		snapshot.Secret{ID: id.Cert, Made: snapshot.MadeCertificate}, snapshot.Secret{ID: id.Key, Made: snapshot.MadeKey},
	)})
}

// ownOf returns the gateway's own certificate of a Store that keeps it in dir,
// and what the Store says.
func ownOf(t *testing.T, dir string) (tls.Certificate, string) {
	t.Helper()
	var log bytes.Buffer
	v := publish(t, identity.New(identity.Config{Dir: dir, Log: logTo(&log)}), asksForOwn())
	cert, err := v.Secret(snapshot.OwnCertificate().Cert)
	if err != nil {
		t.Fatal(err)
	}
	key, err := v.Secret(snapshot.OwnCertificate().Key)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert.Bytes, key.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return pair, log.String()
}

func TestTheOwnCertificateIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "identity")
	first, said := ownOf(t, dir)
	if c := first.Leaf; c.Subject.CommonName != "localhost" || c.IsCA || c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) != nil || time.Until(c.NotAfter) < 10*365*24*time.Hour {
		t.Errorf("%v, a CA: %t, until %v", c.Subject, c.IsCA, c.NotAfter)
	}
	if said != "" {
		t.Errorf("it says %q", said)
	}
	path := filepath.Join(dir, "gateway.pem")
	mode := func() os.FileMode {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	if m := mode(); m != 0o600 {
		t.Errorf("mode %o", m)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	again, said := ownOf(t, dir)
	if !again.Leaf.Equal(first.Leaf) {
		t.Error("another process has another certificate")
	}
	if said == "" || mode() != 0o600 {
		t.Errorf("a file that others can read: mode %o, log %q", mode(), said)
	}
	if kept, _ := ownOf(t, ""); kept.Leaf.Equal(first.Leaf) {
		t.Error("without a folder the certificate is the same")
	}
}

func TestTheOwnCertificateIsMadeAnewWhenItHasEnded(t *testing.T) {
	dir := t.TempDir()
	var old tls.Certificate
	synctest.Test(t, func(t *testing.T) { old, _ = ownOf(t, dir) }) // in the year 2000
	next, _ := ownOf(t, dir)
	if next.Leaf.Equal(old.Leaf) || !next.Leaf.NotAfter.After(time.Now()) {
		t.Errorf("valid until %v", next.Leaf.NotAfter)
	}
}

// What is damaged may be all that somebody has of it.
func TestAnOwnCertificateThatIsDamagedIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	ownOf(t, dir)
	path := filepath.Join(dir, "gateway.pem")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	half := whole[:bytes.Index(whole, []byte("-----BEGIN PRIVATE"))]
	if err := os.WriteFile(path, half, 0o600); err != nil {
		t.Fatal(err)
	}
	s := identity.New(identity.Config{Dir: dir})
	if _, _, err := s.Prepare(t.Context(), asksForOwn()); err == nil || !bytes.Contains([]byte(err.Error()), []byte(path)) {
		t.Errorf("error %v", err)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, half) {
		t.Errorf("the file is another now: %v", err)
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	publish(t, s, asksForOwn())
}
