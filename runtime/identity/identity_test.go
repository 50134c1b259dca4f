package identity_test

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/identity"
)

// builtin is an authority that meshc makes, with small keys, for speed.
func builtin(mesh, backend string, issues bool, expiration time.Duration) snapshot.Authority {
	return snapshot.Authority{
		ID: mesh + "/" + backend, Mesh: mesh, Backend: backend, Issues: issues, RSABits: 2048,
		Expiration: snapshot.Duration(expiration), Sources: snapshot.ListOf("kuma/Mesh//" + mesh),
	}
}

func proxyOf(id, mesh string, uris ...string) snapshot.Proxy {
	return snapshot.Proxy{ID: id, Mesh: mesh, Identities: snapshot.ListOf(snapshot.Identity{Mesh: mesh, URIs: snapshot.ListOf(uris...)})}
}

var web = proxyOf("default.web", "default", "kuma://kuma.io/service/web", "spiffe://default/web")

func world(s snapshot.Snapshot) snapshot.Snapshot {
	if s.Proxies.Len() == 0 {
		s.Proxies = snapshot.ListOf(web)
	}
	s.Origins = snapshot.ListOf(snapshot.Origin{ID: "kuma/Mesh//default", File: "mesh.yaml", Line: 3, Column: 1})
	return snapshot.Seal(s)
}

func publish(t *testing.T, s *identity.Store, next snapshot.Snapshot) *identity.View {
	t.Helper()
	commit, _, err := s.Prepare(t.Context(), next)
	if err != nil {
		t.Fatal(err)
	}
	v := s.View(next.Version)
	commit()
	return v
}

func mesh(t *testing.T, v *identity.View, proxy, mesh string) *identity.Bundle {
	t.Helper()
	b, err := v.Mesh(proxy, mesh)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// trusts reports whether who has a accepts the certificate of b.
func trusts(a, b *identity.Bundle) bool {
	_, err := b.Certificate.Leaf.Verify(x509.VerifyOptions{Roots: a.Roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err == nil
}

func logTo(b *bytes.Buffer) *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

func TestAProxyGetsACertificateOfItsIdentity(t *testing.T) {
	var log bytes.Buffer
	s := identity.New(identity.Config{Log: logTo(&log)})
	v := publish(t, s, world(snapshot.Snapshot{Authorities: snapshot.ListOf(builtin("default", "ca", true, time.Hour))}))
	b := mesh(t, v, "default.web", "default")
	c := b.Certificate.Leaf
	var uris []string
	for _, u := range c.URIs {
		uris = append(uris, u.String())
	}
	if want := []string{"kuma://kuma.io/service/web", "spiffe://default/web"}; !slices.Equal(uris, want) {
		t.Errorf("URIs %q, want %q", uris, want)
	}
	if life := time.Until(c.NotAfter); life > time.Hour || life < 59*time.Minute || !b.NotAfter.Equal(c.NotAfter) {
		t.Errorf("ends in %s, want an hour", life)
	}
	if !trusts(b, b) {
		t.Error("the certificate does not lead to the roots of its mesh")
	}
	if again := mesh(t, v, "default.web", "default"); again != b {
		t.Error("the second call gives another Bundle")
	}
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "--state-dir") {
		t.Errorf("no warning that the authority is not kept:\n%s", &log)
	}
	for _, k := range [][2]string{{"default.api", "default"}, {"default.web", "other"}} {
		if _, err := v.Mesh(k[0], k[1]); err == nil {
			t.Errorf("%q got a certificate", k)
		}
	}
}

func TestAnAuthorityIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "identity")
	next := world(snapshot.Snapshot{Authorities: snapshot.ListOf(builtin("default", "ca", true, time.Hour), builtin("default", "old/one", false, time.Hour))})
	before := mesh(t, publish(t, identity.New(identity.Config{Dir: dir}), next), "default.web", "default")
	after := mesh(t, publish(t, identity.New(identity.Config{Dir: dir}), next), "default.web", "default")
	if !bytes.Equal(before.RootsPEM, after.RootsPEM) || !trusts(before, after) || !trusts(after, before) {
		t.Error("after a restart the authority is another")
	}
	if n := bytes.Count(after.RootsPEM, []byte("BEGIN CERT")); n != 2 {
		t.Errorf("%d roots, want that of each backend", n)
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has mode %v, %v", info.Mode(), err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2 {
		t.Fatalf("files %v, %v", files, err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s has mode %v, %v", f.Name(), info.Mode(), err)
		}
	}
	path := filepath.Join(dir, files[0].Name())
	if err := os.WriteFile(path, []byte("-----BEGIN"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := identity.New(identity.Config{Dir: dir}).Prepare(t.Context(), next); err == nil || !strings.Contains(err.Error(), "mesh.yaml:3:1: authority default/ca") {
		t.Errorf("a damaged authority gives %v", err)
	}
}

func TestCertificatesAreRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := identity.New(identity.Config{Log: slog.New(slog.DiscardHandler)})
		var told atomic.Int32
		s.OnChange(func() { told.Add(1) })
		go s.Run(t.Context())
		v := publish(t, s, world(snapshot.Snapshot{Authorities: snapshot.ListOf(builtin("default", "ca", true, 10*time.Hour))}))
		first := mesh(t, v, "default.web", "default")
		time.Sleep(7*time.Hour + 20*time.Minute)
		synctest.Wait()
		if b := mesh(t, v, "default.web", "default"); b != first || told.Load() != 0 {
			t.Fatal("renewed too early")
		}
		time.Sleep(41 * time.Minute)
		synctest.Wait()
		b := mesh(t, v, "default.web", "default")
		if b == first || told.Load() != 1 {
			t.Fatalf("not renewed after four fifths of its time, told %d times", told.Load())
		}
		if b.Version == first.Version || b.Trust != first.Trust || !trusts(first, b) || !trusts(b, first) {
			t.Error("the two do not follow one another")
		}
		time.Sleep(1000 * time.Hour)
		synctest.Wait()
		if b := mesh(t, v, "default.web", "default"); !trusts(b, b) {
			t.Error("ended")
		}
	})
}

func TestAnAuthorityIsFollowedByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := identity.New(identity.Config{Log: slog.New(slog.DiscardHandler)})
		go s.Run(t.Context())
		a := builtin("default", "ca", true, time.Hour)
		a.CAExpiration = snapshot.Duration(100 * time.Hour)
		v := publish(t, s, world(snapshot.Snapshot{Authorities: snapshot.ListOf(a)}))
		last := mesh(t, v, "default.web", "default")
		roots := 1
		for range 1000 {
			time.Sleep(time.Hour / 6)
			synctest.Wait()
			b := mesh(t, v, "default.web", "default")
			// A peer may be as far behind as ten minutes.
			if !trusts(b, last) || !trusts(last, b) || !trusts(b, b) {
				t.Fatalf("after %s two that meet do not trust each other", time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)))
			}
			last, roots = b, max(roots, bytes.Count(b.RootsPEM, []byte("BEGIN CERT")))
		}
		if roots != 2 {
			t.Errorf("%d authorities side by side, want 2", roots)
		}
	})
}

func TestAReloadIssuesNothingAnew(t *testing.T) {
	s := identity.New(identity.Config{Log: slog.New(slog.DiscardHandler)})
	with := func(service string, as ...snapshot.Authority) snapshot.Snapshot {
		return world(snapshot.Snapshot{Authorities: snapshot.ListOf(as...), Clusters: snapshot.ListOf(snapshot.Cluster{Name: service})})
	}
	one, two := builtin("default", "one", true, time.Hour), builtin("default", "two", false, time.Hour)
	first := mesh(t, publish(t, s, with("a", one)), "default.web", "default")
	publish(t, s, with("b", one)) // in which nobody asks
	v := publish(t, s, with("c", one))
	if b := mesh(t, v, "default.web", "default"); b.Version != first.Version || b.Trust != first.Trust {
		t.Error("another certificate, for nothing")
	}
	both := mesh(t, publish(t, s, with("c", one, two)), "default.web", "default")
	if both.Certificate.Leaf != first.Certificate.Leaf || both.Version == first.Version || both.Trust == first.Trust {
		t.Error("another authority is trusted: the certificate stays, and Version and Trust are others")
	}
	one.Issues, two.Issues = false, true
	other := mesh(t, publish(t, s, with("c", one, two)), "default.web", "default")
	if other.Certificate.Leaf == first.Certificate.Leaf || !trusts(both, other) || !trusts(other, both) {
		t.Error("the other backend does not take over")
	}
	alone := mesh(t, publish(t, s, with("c", two)), "default.web", "default")
	if trusts(alone, both) || !trusts(alone, other) {
		t.Error("a backend that was removed is still trusted")
	}
	// What is prepared serves nobody before it is committed.
	next := with("d", one)
	_, abort, err := s.Prepare(t.Context(), next)
	if err != nil {
		t.Fatal(err)
	}
	if s.View(next.Version) == nil || s.View(with("c", two).Version) == nil {
		t.Error("a View is missing")
	}
	abort()
	if s.View(next.Version) != nil {
		t.Error("an aborted snapshot has a View")
	}
}

func TestSecretsAreFollowed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key.pem")
	if err := os.WriteFile(path, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("MESHC_TEST_SECRET", "hunter3")
	var log bytes.Buffer
	s := identity.New(identity.Config{Roots: []string{t.TempDir(), dir}, Log: logTo(&log), Poll: time.Millisecond})
	told := make(chan struct{}, 100)
	s.OnChange(func() { told <- struct{}{} })
	secrets := []snapshot.Secret{
		{ID: "default/data", Data: snapshot.Hidden(base64.StdEncoding.EncodeToString([]byte("hunter1")))},
		{ID: "default/env", Env: "MESHC_TEST_SECRET"},
		{ID: "default/file", File: "key.pem"},
	}
	next := world(snapshot.Snapshot{Secrets: snapshot.ListOf(secrets...)})
	v := publish(t, s, next)
	read := func(id string) string {
		t.Helper()
		value, err := v.Secret(id)
		if err != nil {
			t.Fatal(err)
		}
		return string(value.Bytes)
	}
	if read("default/data") != "hunter1" || read("default/env") != "hunter3" || read("default/file") != "hunter2" {
		t.Error("a secret is another")
	}
	go s.Run(t.Context())
	was, _ := v.Secret("default/file")
	for _, c := range []struct {
		id, value string
		change    func() error
	}{
		{"default/file", "hunter4", func() error { return os.WriteFile(path, []byte("hunter4"), 0o600) }},
		{"default/env", "hunter5", func() error { return os.Setenv("MESHC_TEST_SECRET", "hunter5") }},
	} {
		if err := c.change(); err != nil {
			t.Fatal(err)
		}
		for ok := false; !ok; ok = read(c.id) == c.value { // half a write is a change as well
			select {
			case <-told:
			case <-time.After(time.Minute):
				t.Fatalf("%s is not followed", c.id)
			}
		}
	}
	if now, _ := v.Secret("default/file"); now.Version == was.Version {
		t.Error("another content has the same version")
	}
	if text := slog.AnyValue(was).String(); strings.Contains(text, "hunter") {
		t.Errorf("a value prints as %s", text)
	}
	if strings.Contains(log.String(), "hunter") {
		t.Errorf("the log tells:\n%s", &log)
	}
}
