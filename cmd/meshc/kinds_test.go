//go:build linux

package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meshc/meshc/cmd/meshc/internal/behaviour"
	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/proxy"
	"github.com/meshc/meshc/runtime/status"
)

func TestFilterOfUnknownKind(t *testing.T) {
	f := snapshot.Filter{Name: "default/x", Kind: "nonsense"}
	const want = `this build has no policy kind "nonsense"`
	if got := checkFilter(f, false, ""); len(got) != 1 || got[0] != want {
		t.Errorf("check: %q", got)
	}
	if _, err := envoyFilter(f, false, ""); err == nil || err.Error() != want {
		t.Errorf("Envoy: %v", err)
	}
	var none openKinds
	if _, err := none.newFilter(t.Context(), f, false, ""); err == nil || err.Error() != want {
		t.Errorf("proxy: %v", err)
	}
	none.close()
}

// Each kind is opened once, makes filters until it is closed, and its metrics
// are among the others.
func TestOpenKinds(t *testing.T) {
	p := proxy.New(proxy.Config{Log: slog.New(slog.DiscardHandler)})
	defer func() { _ = p.Shutdown(context.Background()) }()
	var board status.Board
	var kinds openKinds
	registry := prometheus.NewRegistry()
	if err := kinds.open(p, t.TempDir(), &board, registry, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	defer kinds.close()
	module := string(moduleNumber('1'))
	blob := snapshot.Blob{Data: module}
	f := snapshot.Filter{
		Name: "default/x", Kind: "wasm", Blob: blob.Sum(),
		Config: `{"rootId":"","vmId":"","configuration":"","vmConfiguration":"","env":{},"memory":1048576,"callTimeout":"1s","failurePolicy":"closed"}`,
	}
	factory, err := kinds.newFilter(t.Context(), f, false, module)
	if err != nil {
		t.Fatal(err)
	}
	factory.Close()
	if _, err := registry.Gather(); err != nil {
		t.Error(err)
	}
}

func TestUseOf(t *testing.T) {
	blob := snapshot.Blob{Data: "x"}.Sum()
	got := useOf(snapshot.Filter{Name: "n", Config: "c", Blob: blob, Clusters: snapshot.ListOf("a")}, true, "x")
	if got.Name != "n" || !got.TCP || got.Config != "c" || got.Blob != "x" || got.Digest != blob.String() || len(got.Clusters) != 1 {
		t.Errorf("got %+v", got)
	}
	if got := useOf(snapshot.Filter{}, false, ""); got.Digest != "" {
		t.Errorf("a filter that runs nothing has digest %s", got.Digest)
	}
}

// A module that is saved is served: replaced, or rewritten in place, wherever
// it lies; what is only a part of one is refused, and the last good one stays.
func TestReloadModule(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	dir, module := filepath.Join(top, "in"), filepath.Join(top, "lib", "filter.wasm")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(dir, 0o755))
	must(os.Mkdir(filepath.Dir(module), 0o755))
	must(os.WriteFile(module, moduleNumber('1'), 0o644))
	must(os.WriteFile(filepath.Join(dir, "plugin.yaml"), []byte("type: WasmPlugin\nname: headers\nconf: {module: {path: ../lib/filter.wasm}, listeners: [gateway]}\n"), 0o644))
	r := reloading{t: t, dir: dir, meshc: behaviour.NewNetwork(t).Serve(t, dir, nil, "--proxy-addr", behaviour.GatewayAddress)}

	// until waits for an attempt to reload that is as wanted. There may be others:
	// a fresh file is looked at twice.
	known := 1
	until := func(what string, wanted func(status.Reload) bool) {
		t.Helper()
		for {
			last := r.awaitReload(known)
			all := r.reloads()
			if slices.ContainsFunc(all[known:], wanted) {
				known = len(all)
				return
			}
			if known = len(all); known > 20 {
				t.Fatalf("%s: nothing of the kind, but %+v", what, last)
			}
		}
	}
	served := func(n byte) {
		t.Helper()
		until("a new module", func(r status.Reload) bool { return r.OK && slices.Contains(r.Changed, "~plugin default/headers") })
		var shown []struct{ Module struct{ SHA256 string } }
		r.meshc.Get(t, "/meshc/plugins", &shown)
		if want := (snapshot.Blob{Data: string(moduleNumber(n))}).Sum().String(); len(shown) != 1 || shown[0].Module.SHA256 != want {
			t.Fatalf("module %c does not serve, but %v", n, shown)
		}
	}
	must(os.WriteFile(module, moduleNumber('2'), 0o644))
	served('2')
	must(os.WriteFile(module+".new", moduleNumber('3'), 0o644))
	must(os.Rename(module+".new", module))
	served('3')
	must(os.WriteFile(module, moduleNumber('4')[:50], 0o644))
	until("half a module refused", func(r status.Reload) bool { return !r.OK && strings.Contains(r.Error, "has errors") })
	must(os.WriteFile(module, moduleNumber('4'), 0o644))
	served('4')
}
