package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/load"
)

const dataplaneCUE = `package mesh

import "meshc.dev/schema"

web: schema.#Dataplane & {
	type: "Dataplane"
	name: "web-1"
	networking: {
		address: "10.0.0.1"
		inbound: [{port: 8080, tags: "kuma.io/service": "web"}]
	}
}
`

// TestStockCUE evaluates with CUE itself, as cue vet -c does, what the command
// has written; meshc's own overlay has no part in it.
func TestStockCUE(t *testing.T) {
	dir := t.TempDir()
	run := func(source string) error {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "mesh.cue"), []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		inst := load.Instances([]string{"."}, &load.Config{Dir: dir, Env: append(os.Environ(), "CUE_REGISTRY=none")})[0]
		if inst.Err != nil {
			t.Fatal(errors.Details(inst.Err, nil))
		}
		return cuecontext.New().BuildInstance(inst).Validate(cue.Concrete(true))
	}
	stale := filepath.Join(dir, "cue.mod", "pkg", "meshc.dev", "schema", "stale.cue")
	if err := os.MkdirAll(filepath.Dir(stale), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stale, []byte("package schema\n#Dataplane: never: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, 0, "schema", "--format", "cue", "--out", dir)
	if err := run(dataplaneCUE); err != nil {
		t.Errorf("stock CUE refuses a right document: %v", errors.Details(err, nil))
	}
	err := run(strings.Replace(dataplaneCUE, "8080", "80800", 1))
	if err == nil || !strings.Contains(err.Error(), "web.networking.inbound.0.port") {
		t.Errorf("stock CUE says of port 80800: %v", err)
	}

	// A second time nothing changes, and the user's module file stays his.
	module := filepath.Join(dir, "cue.mod", "module.cue")
	mine := "module: \"example.com/mesh@v0\"\nlanguage: version: \"v0.15.0\"\n"
	if err := os.WriteFile(module, []byte(mine), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, 0, "schema", "--format", "cue", "--out", dir)
	if got, err := os.ReadFile(module); err != nil || string(got) != mine {
		t.Errorf("the module file is %q now, %v", got, err)
	}
	if err := run(dataplaneCUE); err != nil {
		t.Error(err)
	}
	// And meshc itself reads the directory as before.
	command(t, 0, "validate", "--strict", dir)
}
