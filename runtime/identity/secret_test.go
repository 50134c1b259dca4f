package identity

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// A file that held PEM keeps what it held until it holds PEM again.
func TestBrokenFileKeepsWhatItHeld(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ca.pem")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
	write(key)
	s := &secret{of: snapshot.Secret{ID: "x", File: path}}
	if changed, err := s.read(time.Now()); !changed || err != nil {
		t.Fatal(changed, err)
	}
	for _, bad := range []string{"garbage", key[:30], "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		write(bad)
		if changed, err := s.read(time.Now()); changed || err == nil || string(s.value.Load().Bytes) != key {
			t.Errorf("%q: changed %v, error %v", bad, changed, err)
		}
	}
	write(key + key)
	if changed, err := s.read(time.Now()); !changed || err != nil {
		t.Error(changed, err)
	}
}
