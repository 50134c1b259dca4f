//go:build linux

package xds_test

import (
	"context"
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

// validate lets Envoy judge what node gets of s.
func validate(t *testing.T, s snapshot.Snapshot, node string) {
	t.Helper()
	set, err := xds.Resources(s, node, gatewayAddr, wasmFilter)
	if err != nil {
		t.Fatal(err)
	}
	bootstrap, err := set.Bootstrap(node)
	if err != nil {
		t.Fatal(err)
	}
	config, err := envoy.JSON(bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "envoy.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if out, err := exec.CommandContext(ctx, envoyPath, "--mode", "validate", "-c", file).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
