//go:build linux

package xds_test

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/xds"
	"github.com/meshc/meshc/runtime/xds/envoy"
)

// Envoy's own code has the last word on what the field rules do not see.
func TestEnvoyAcceptsPolicies(t *testing.T) {
	validate(t, policies(), "default.web")
}

// Access loggers and tracing, those of the gateway included.
func TestEnvoyAcceptsLogsAndTracing(t *testing.T) {
	s := worlds()["attached"]
	for _, node := range []string{"default.web", snapshot.GatewayID} {
		validateIn(t, t.TempDir(), s, node, attach)
	}
}

// validate lets Envoy judge what node gets of s.
func validate(t *testing.T, s snapshot.Snapshot, node string) {
	t.Helper()
	validateIn(t, t.TempDir(), s, node, wasmFilter)
}

// validateIn is validate with Envoy in dir.
func validateIn(t *testing.T, dir string, s snapshot.Snapshot, node string, filter xds.FilterFunc) {
	t.Helper()
	set, err := xds.Resources(s, node, gatewayAddr, "", filter)
	if err != nil {
		t.Fatal(err)
	}
	set.Admin = netip.MustParseAddrPort("127.0.0.1:9901")
	bootstrap, err := set.Bootstrap(node)
	if err != nil {
		t.Fatal(err)
	}
	config, err := envoy.JSON(bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "envoy.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	bin, err := filepath.Abs(envoyPath)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, bin, "--mode", "validate", "-c", file)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// The static file names its secrets, and Envoy finds them where it says.
func TestEnvoyAcceptsAMesh(t *testing.T) {
	r := start(t, withIdentity)
	s := worlds()["mesh"]
	r.publish(s)
	b, err := r.store.View(s.Version).Mesh("default.web", "default")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string][]byte{"identity%2Fdefault/tls.crt": b.CertPEM, "identity%2Fdefault/tls.key": b.KeyPEM, "roots%2Fdefault/ca.crt": b.RootsPEM} {
		file := filepath.Join(dir, "secrets", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	validateIn(t, dir, s, "default.web", wasmFilter)
}
