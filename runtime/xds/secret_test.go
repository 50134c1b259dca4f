package xds_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	typeurl "github.com/envoyproxy/go-control-plane/pkg/resource/v3"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/identity"
	"github.com/meshc/meshc/runtime/status"
	"github.com/meshc/meshc/runtime/xds"
)

const sds = typeurl.SecretType

// The secrets of secured, by their names in SDS.
const (
	pairName  = "certificate/m/cert+m/key"
	rootsName = "authority/m/ca"
)

// inline is a secret that holds text.
func inline(id, text string) snapshot.Secret {
	return snapshot.Secret{ID: id, Data: snapshot.Hidden(base64.StdEncoding.EncodeToString([]byte(text))), Sources: snapshot.ListOf("svc/v1")}
}

// secured is a world in which proxy gateway speaks to v1 with the secrets, and
// default.other does not.
func secured(secrets ...snapshot.Secret) snapshot.Snapshot {
	v1 := web("v1", one)
	v1.more = func(c *snapshot.Cluster) {
		c.Transports = snapshot.ListOf(snapshot.Transport{Name: "tls", Cert: "m/cert", Key: "m/key", CA: "m/ca", Host: "v1.example"})
	}
	g, other := gateway("v1"), proxy("default.other")
	for _, p := range []*snapshot.Proxy{&g, &other} {
		p.Identities = snapshot.ListOf(snapshot.Identity{Mesh: "default", URIs: snapshot.ListOf("spiffe://default/" + p.ID)})
	}
	in := outbound(10001)
	in.Name, in.Direction, in.TLS = "inbound:127.0.0.1:10001", snapshot.Inbound, "default"
	other.Listeners = snapshot.ListOf(in)
	s := world([]service{v1, web("v2", two)}, g, other)
	s.Secrets = snapshot.ListOf(secrets...)
	s.Authorities = snapshot.ListOf(authority("ca", true))
	return snapshot.Seal(s)
}

// bootSecured connects as Envoy does to secured, and returns what it was sent.
func (c *deltaClient) bootSecured() map[string]map[string]string {
	c.t.Helper()
	c.subscribe(cds)
	clusters := c.expect(cds, "v1")
	c.subscribe(eds, "v1")
	endpoints := c.expect(eds, "v1")
	c.subscribe(sds, rootsName, pairName)
	secrets := c.expect(sds, rootsName, pairName)
	c.ack(endpoints)
	c.ack(secrets)
	c.ack(clusters)
	c.subscribe(lds)
	listeners := c.expect(lds, "gateway")
	c.ack(listeners)
	c.subscribe(rds, "gateway")
	routes := c.expect(rds, "gateway")
	c.ack(routes)
	c.quiet()
	return versions(clusters, endpoints, secrets, listeners, routes)
}

// secretsOf returns the content of a response by name: certificate and key, or roots.
func secretsOf(t testing.TB, r *discoveryv3.DeltaDiscoveryResponse) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, res := range r.Resources {
		s := &tlsv3.Secret{}
		if err := res.Resource.UnmarshalTo(s); err != nil {
			t.Fatal(err)
		}
		if s.Name != res.Name {
			t.Errorf("resource %q holds secret %q", res.Name, s.Name)
		}
		c := s.GetTlsCertificate()
		out[s.Name] = string(c.GetCertificateChain().GetInlineBytes()) + string(c.GetPrivateKey().GetInlineBytes()) +
			string(s.GetValidationContext().GetTrustedCa().GetInlineBytes())
	}
	return out
}

func TestSecretsAreForTheirNodeAlone(t *testing.T) {
	r := start(t, withIdentity)
	s := secured(inline("m/ca", "CA"), inline("m/cert", "CERT"), inline("m/key", "KEY"))
	r.publish(s)

	c := r.delta("default.other")
	c.subscribe(cds)
	c.ack(c.expect(cds))
	c.subscribe(lds)
	c.expect(lds, "inbound:127.0.0.1:10001")
	c.subscribe(sds, pairName, rootsName, "identity/default", "roots/default", "identity/other")
	got := secretsOf(t, c.expect(sds, "identity/default", "roots/default", "-"+rootsName, "-"+pairName, "-identity/other"))
	own, err := r.store.View(s.Version).Mesh("default.other", "default")
	if err != nil {
		t.Fatal(err)
	}
	if got["identity/default"] != string(own.CertPEM)+string(own.KeyPEM) || got["roots/default"] != string(own.RootsPEM) {
		t.Error("a node gets another identity than its own")
	}

	c = r.delta("gateway")
	c.subscribe(cds)
	c.expect(cds, "v1")
	c.subscribe(sds, pairName, rootsName, "identity/default")
	got = secretsOf(t, c.expect(sds, rootsName, pairName, "-identity/default"))
	if got[pairName] != "CERTKEY" || got[rootsName] != "CA" {
		t.Errorf("the secrets are %q", got)
	}
}

func TestClustersWaitForTheirSecrets(t *testing.T) {
	r := start(t, withIdentity)
	s := secured(inline("m/ca", "CA"), inline("m/cert", "CERT"), inline("m/key", "KEY"))
	plain := world([]service{web("v1", one), web("v2", two)}, gateway("v2"))
	r.publish(plain)
	c := r.delta("gateway")
	c.boot([]string{"gateway"}, []string{"v2"})

	// The route moves when the new cluster has its secrets, and not before.
	r.publish(s)
	clusters := c.expect(cds, "v1")
	c.subscribe(eds, "v1")
	c.ack(c.expect(eds, "v1"))
	c.ack(clusters)
	c.quiet()
	c.subscribe(sds, rootsName, pairName)
	secrets := c.expect(sds, rootsName, pairName)
	c.quiet()
	c.ack(secrets)
	c.ack(c.expect(rds, "gateway"))
	c.ack(c.expect(cds, "-v2"))
	c.quiet()
	r.eventually("has it all", func(n status.Node) bool { return n.Acked == s.Version })
}

func TestSecretsFollowTheirFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) {
		t.Helper()
		// In one step: half a key is none.
		tmp := filepath.Join(dir, "new")
		if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, filepath.Join(dir, "key")); err != nil {
			t.Fatal(err)
		}
	}
	write("KEY")
	store := identity.New(identity.Config{Log: slog.New(slog.DiscardHandler), Poll: time.Millisecond})
	r := start(t, func(c *xds.Config) { c.Identities = store })
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan struct{})
	go func() { store.Run(ctx); close(ran) }()
	t.Cleanup(func() { cancel(); <-ran })
	r.publish(secured(inline("m/ca", "CA"), inline("m/cert", "CERT"),
		snapshot.Secret{ID: "m/key", File: filepath.Join(dir, "key"), Sources: snapshot.ListOf("svc/v1")}))
	c := r.delta("gateway")
	had := c.bootSecured()
	var changed *discoveryv3.DeltaDiscoveryResponse
	for _, key := range []string{"ANOTHER", "THIRD"} {
		write(key)
		changed = c.expect(sds, pairName)
		if got := secretsOf(t, changed)[pairName]; got != "CERT"+key {
			t.Errorf("the secret is %q", got)
		}
		c.ack(changed)
		c.quiet()
	}

	// A client that comes back with what is still right is sent nothing.
	if v := versions(changed)[sds][pairName]; v == had[sds][pairName] {
		t.Error("the version is the old one")
	} else {
		had[sds][pairName] = v
	}
	c = r.delta("gateway")
	c.request(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: cds, InitialResourceVersions: had[cds]})
	c.ack(c.expect(cds))
	c.request(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: sds, InitialResourceVersions: had[sds], ResourceNamesSubscribe: []string{pairName, rootsName}})
	c.quiet()
}

func TestRefusedSecretIsShownAndNotItsContent(t *testing.T) {
	var log bytes.Buffer
	r := start(t, withIdentity, func(c *xds.Config) {
		c.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	r.publish(secured(inline("m/ca", "SECRET-CA"), inline("m/cert", "SECRET-CERT"), inline("m/key", "SECRET-KEY")))
	c := r.delta("gateway")
	c.bootSecured()
	next := secured(inline("m/ca", "SECRET-CA"), inline("m/cert", "SECRET-CERT"), inline("m/key", "SECRET-OTHER"))
	r.publish(next)
	bad := c.expect(sds, pairName)
	c.nack(bad, "Failed to load private key from <inline>, Cause: KEY_VALUES_MISMATCH")
	node := r.eventually("shows the refusal", refusals(1))
	got := node.Refusals[0]
	if got.Type != "secret" || got.Resource != pairName || len(got.Origins) != 1 || got.Origins[0].File != "v1.yaml" {
		t.Errorf("the refusal is %+v", got)
	}
	c.quiet() // it is not sent again

	last := secured(inline("m/ca", "SECRET-CA"), inline("m/cert", "SECRET-CERT"), inline("m/key", "SECRET-KEY"))
	r.publish(last)
	c.ack(c.expect(sds, pairName))
	r.eventually("has it all", func(n status.Node) bool { return n.Acked == last.Version && len(n.Refusals) == 0 })
	if err := r.server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if text := log.String(); strings.Contains(text, "SECRET") || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte("SECRET-KEY"))) {
		t.Errorf("the log shows a secret:\n%s", text)
	}
}

func TestEmittedSecretsAreNamesAlone(t *testing.T) {
	s := secured(inline("m/ca", "SECRET-CA"), inline("m/cert", "SECRET-CERT"), inline("m/key", "SECRET-KEY"))
	set, err := xds.Resources(s, "gateway", gatewayAddr, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	bootstrap, err := set.Bootstrap("gateway")
	if err != nil {
		t.Fatal(err)
	}
	text := shown(t, set)
	for _, what := range []string{text, bootstrap.String()} {
		if strings.Contains(what, "SECRET") || strings.Contains(what, base64.StdEncoding.EncodeToString([]byte("SECRET"))[:8]) {
			t.Errorf("a secret is emitted:\n%s", what)
		}
	}
	want := []string{
		"secret " + rootsName + ": Envoy reads it from secrets/authority%2Fm%2Fca/ca.crt",
		"secret " + pairName + ": Envoy reads it from secrets/certificate%2Fm%2Fcert+m%2Fkey/tls.crt and secrets/certificate%2Fm%2Fcert+m%2Fkey/tls.key",
	}
	if got := set.LeftOut(); !slices.Equal(got, want) {
		t.Errorf("left out: %q, not %q", got, want)
	}
}
