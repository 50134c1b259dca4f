package compiler_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/meshc/meshc/compiler"
	"github.com/meshc/meshc/schema"
)

// TestIncrementalZones edits what zones are, what is behind their ingresses, and
// whether the mesh prefers what is near.
func TestIncrementalZones(t *testing.T) {
	t.Parallel()
	world := map[string]string{
		"mesh.yaml": `{type: Mesh, name: default, mtls: {enabledBackend: ca, backends: [{name: ca, type: builtin}]}}`,
		"east.yaml": `{type: Dataplane, name: web-east, networking: {address: 10.2.0.1, inbound: [{port: 80, tags: {kuma.io/service: web, kuma.io/protocol: http, kuma.io/zone: east, kuma.io/region: eu}}], outbound: [{port: 20001, tags: {kuma.io/service: db}}, {port: 20002, tags: {kuma.io/service: web, version: v1}}]}}`,
		"west.yaml": `{type: Dataplane, name: db-west, networking: {address: 10.2.0.2, inbound: [{port: 80, tags: {kuma.io/service: db, kuma.io/protocol: http, kuma.io/zone: west, kuma.io/region: eu}}], outbound: [{port: 20001, tags: {kuma.io/service: web}}]}}`,
		"open.yaml": `{type: Dataplane, name: db-open, networking: {address: 10.2.0.3, inbound: [{port: 80, tags: {kuma.io/service: db, kuma.io/protocol: http}}], outbound: [{port: 20001, tags: {kuma.io/service: web}}]}}`,
	}
	rapid.Check(t, func(t *rapid.T) { incremental(t, maps.Clone(world), drawZone) })
}

// TestMeshGoneForACompile takes a Mesh away, which is an error, and brings it
// back another one, as a file does that is saved in two steps.
func TestMeshGoneForACompile(t *testing.T) {
	const proxies = `{type: Dataplane, mesh: m, name: web-east, networking: {address: 10.0.0.1, inbound: [{port: 80, tags: {kuma.io/service: web, kuma.io/protocol: http, kuma.io/zone: east}}], outbound: [{port: 10001, tags: {kuma.io/service: web}}]}}
---
{type: Dataplane, mesh: m, name: web-west, networking: {address: 10.0.0.2, inbound: [{port: 80, tags: {kuma.io/service: web, kuma.io/protocol: http, kuma.io/zone: west}}]}}
`
	meshes := []string{"{type: Mesh, name: m, routing: {localityAwareLoadBalancing: true}}", "{type: Mesh, name: m}"}
	for i, before := range meshes {
		after, loader, warm := meshes[1-i], schema.NewLoader(), compiler.New()
		compile := func(c *compiler.Compiler, state map[string]string) compiler.Result {
			return c.Compile(loader.Load(t.Context(), treeOf(state)).Documents)
		}
		compile(warm, map[string]string{"mesh.yaml": before, "proxies.yaml": proxies})
		if r := compile(warm, map[string]string{"proxies.yaml": proxies}); len(r.Diagnostics) == 0 {
			t.Fatal("nobody misses the mesh")
		}
		whole := map[string]string{"mesh.yaml": after, "proxies.yaml": proxies}
		if got, want := render(compile(warm, whole).Snapshot), render(compile(compiler.New(), whole).Snapshot); got != want {
			t.Errorf("warm:\n%s\ncold:\n%s", got, want)
		}
	}
}

// TestMeshComesAfterItsDataplanes: what is missing in a mesh is told once the mesh
// is there, also of dataplanes that were there before.
func TestMeshComesAfterItsDataplanes(t *testing.T) {
	state := map[string]string{
		"proxies.yaml": `{type: Dataplane, mesh: m, name: web, networking: {address: 10.0.0.1, inbound: [{port: 80, tags: {kuma.io/service: web}}], outbound: [{port: 10001, tags: {kuma.io/service: nobody}}]}}`,
	}
	loader, warm := schema.NewLoader(), compiler.New()
	compile := func(c *compiler.Compiler) string {
		return findings(c.Compile(loader.Load(t.Context(), treeOf(state)).Documents).Diagnostics)
	}
	if got := compile(warm); strings.Contains(got, "nobody") {
		t.Errorf("services are missed in a mesh that is missing itself: %s", got)
	}
	state["mesh.yaml"] = "{type: Mesh, name: m}"
	got, want := compile(warm), compile(compiler.New())
	if got != want || !strings.Contains(want, "nobody") {
		t.Errorf("warm:\n%s\ncold:\n%s", got, want)
	}
}

func drawZone(t *rapid.T) string {
	one := func(what string, of ...string) string { return rapid.SampledFrom(of).Draw(t, what) }
	zone, mesh := one("zone", "east", "west"), "default"
	switch rapid.IntRange(0, 4).Draw(t, "kind") {
	case 0:
		return fmt.Sprintf("{type: Zone, name: %s%s%s}\n", zone, one("enabled", "", "", ", enabled: false"), one("address", "", ", ingress: {address: '10.7.0.1:10001'}"))
	case 1:
		return fmt.Sprintf("{type: Dataplane, name: db-%s, networking: {address: 10.2.0.%d, inbound: [{port: 80, tags: {kuma.io/service: db, kuma.io/protocol: http%s, version: v1}}]}}\n",
			zone, rapid.IntRange(4, 6).Draw(t, "n"), one("of", "", ", kuma.io/zone: east", ", kuma.io/zone: west, kuma.io/region: eu", ", kuma.io/zone: north"))
	case 2:
		return fmt.Sprintf("{type: Mesh, name: m, routing: {localityAwareLoadBalancing: %s}}\n", one("near", "true", "false"))
	case 3: // beside mesh.yaml it is a duplicate, which another edit may remove
		return fmt.Sprintf("{type: Mesh, name: default%s, routing: {localityAwareLoadBalancing: %s}}\n",
			one("mtls", "", ", mtls: {enabledBackend: ca, backends: [{name: ca, type: builtin}]}"), one("near", "true", "false"))
	}
	return fmt.Sprintf("{type: Dataplane, mesh: %s, name: ingress-%s, networking: {address: 10.2.0.9, ingress: {%s%s}, inbound: [{port: 10001, tags: {kuma.io/service: ingress, kuma.io/zone: %s}}]}}\n",
		mesh, zone, one("public", "publicAddress: 10.8.0.1, publicPort: 10001", "publicAddress: 10.8.0.2, publicPort: 10001", "publicAddress: ingress.example, publicPort: 10001"),
		one("services", "", ", availableServices: [{tags: {kuma.io/service: db, kuma.io/protocol: http, version: v1}, instances: 2}, {tags: {kuma.io/service: pay}}]", ", availableServices: [{mesh: m, tags: {kuma.io/service: db}}]"), zone)
}
