package compiler_test

import (
	"fmt"
	"maps"
	"testing"

	"pgregory.net/rapid"

	"github.com/meshc/meshc/compiler"
	"github.com/meshc/meshc/schema"
)

// TestIncrementalSecurity turns mTLS on and off, and edits what it rests on.
func TestIncrementalSecurity(t *testing.T) {
	t.Parallel()
	world := map[string]string{
		"proxies.yaml": `{"type":"Dataplane","name":"web-1","networking":{"address":"10.2.0.1","inbound":[{"port":80,"tags":{"kuma.io/service":"web","version":"v1"}}],"outbound":[{"port":20001,"tags":{"kuma.io/service":"db_shop_svc_80"}},{"port":20002,"tags":{"kuma.io/service":"out"}}]}}
---
{"type":"Dataplane","name":"db-1","networking":{"address":"10.2.0.2","inbound":[{"port":80,"tags":{"kuma.io/service":"db"}}],"outbound":[{"port":20001,"tags":{"kuma.io/service":"web","version":"v1"}}]}}
`,
		"kubernetes.yaml": `{"apiVersion":"v1","kind":"Service","metadata":{"name":"db","namespace":"shop"},"spec":{"ports":[{"port":80}]}}
---
{"apiVersion":"v1","kind":"Endpoints","metadata":{"name":"db","namespace":"shop"},"subsets":[{"addresses":[{"ip":"10.2.0.1"},{"ip":"10.2.0.2"}],"ports":[{"port":80}]}]}
`,
	}
	rapid.Check(t, func(t *rapid.T) { incremental(t, maps.Clone(world), drawSecurity) })
}

func drawSecurity(t *rapid.T) string {
	one := func(what string, of ...string) string { return rapid.SampledFrom(of).Draw(t, what) }
	switch rapid.IntRange(0, 5).Draw(t, "kind") {
	case 5:
		return fmt.Sprintf("{type: Dataplane, name: %s, networking: {address: %s, inbound: [{port: %s, tags: {kuma.io/service: %s}}], outbound: [{port: 20009, tags: {kuma.io/service: dataplane-metrics%s}}]}%s}\n",
			one("name", "web-2", "db-2"), one("address", "10.2.0.3", "10.2.0.1", "web.example"), one("port", "81", "5670"), one("service", "web", "dataplane-metrics"), one("of", "", ", kuma.io/instance: web-1"),
			one("own", "", ", metrics: {type: prometheus, conf: {port: 5671, skipMTLS: true}}", ", metrics: {type: prometheus, conf: {tags: {team: a}}}"))
	case 0, 1:
		return fmt.Sprintf("{type: Mesh, name: default, metrics: {%s backends: [{name: m, type: prometheus, conf: {port: %s, tags: {kuma.io/service: %s}, skipMTLS: %s}}]}, mtls: {%s backends: [{name: %s, type: builtin, dpCert: {rotation: {expiration: %s}}}, {name: b, type: provided, conf: {cert: {secret: one}, key: {%s}}}]}}\n",
			one("metrics", "", "enabledBackend: m,", "enabledBackend: m,"), one("port", "5670", "80"), one("shown", "dataplane-metrics", "dataplane-metrics", "web"), one("skip", "false", "true"),
			one("enabled", "", "enabledBackend: b,", "enabledBackend: b,"), one("name", "a", "c"), one("expiration", "1h", "2d", "'0'"), one("key", "secret: two", "inlineString: key", "file: key.pem"))
	case 2:
		return fmt.Sprintf("{type: Secret, mesh: default, name: %s, %s}\n", one("name", "one", "two"), one("source", "data: YQ==", "data: Yg==", "env: KEY", "file: key.pem"))
	case 3:
		return fmt.Sprintf("{type: ExternalService, mesh: default, name: %s, tags: {kuma.io/service: out}, networking: {address: '%s:443', tls: {enabled: %s, caCert: {%s}}}}\n",
			one("name", "out-1", "out-2"), one("address", "10.3.0.1", "out.example"), one("on", "true", "true", "false"), one("ca", "", "secret: one", "inline: YQ=="))
	}
	return fmt.Sprintf("{type: TrafficPermission, mesh: default, name: %s, sources: [{match: {%s}}], destinations: [{match: {%s}}]}\n",
		one("name", "p", "q"), one("source", "kuma.io/service: web, version: v1", "kuma.io/service: '*'", "kuma.io/service: gateway"),
		one("destination", "kuma.io/service: '*'", "kuma.io/service: db", "kuma.io/service: dataplane-metrics", "version: v1"))
}

// TestPeersFollowDataplanes moves a dataplane to and from where a Kubernetes
// Service answers: the clusters keep their names, and one of them becomes mTLS.
func TestPeersFollowDataplanes(t *testing.T) {
	loader, warm := schema.NewLoader(), compiler.New()
	for _, address := range []string{"10.2.0.4", "10.2.0.3", "10.2.0.4"} {
		tree := treeOf(map[string]string{
			"mesh.yaml": `{type: Mesh, name: default, mtls: {enabledBackend: ca, backends: [{name: ca, type: builtin}]}}`,
			"web.yaml":  `{type: Dataplane, name: web, networking: {address: ` + address + `, inbound: [{port: 80, tags: {kuma.io/service: web}}]}}`,
			"kubernetes.yaml": `{apiVersion: v1, kind: Service, metadata: {name: db}, spec: {ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Endpoints, metadata: {name: db}, subsets: [{addresses: [{ip: 10.2.0.3}], ports: [{port: 80}]}]}
`,
		})
		got, want := warm.Compile(loader.Load(t.Context(), tree).Documents), compiler.New().Compile(schema.NewLoader().Load(t.Context(), tree).Documents)
		if g, w := render(got.Snapshot), render(want.Snapshot); g != w {
			t.Fatalf("at %s, warm:\n%s\ncold:\n%s", address, g, w)
		}
	}
}
