package compiler_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/meshc/meshc/compiler"
	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/files"
	"github.com/meshc/meshc/schema/meshc"
)

// TestIncrementalEqualsCold edits a tree of files at random; what a compiler
// that has seen the states before makes of it must be what a new one makes.
func TestIncrementalEqualsCold(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) { incremental(t, map[string]string{}, drawDocument) })
}

// TestIncrementalPlugins does so with plugins in a world where they meet what
// they are for, and with a second mesh that comes and goes.
func TestIncrementalPlugins(t *testing.T) {
	t.Parallel()
	world := map[string]string{
		"proxies.yaml": `{"type":"Dataplane","name":"web-1","networking":{"address":"10.2.0.1","inbound":[{"port":80,"tags":{"kuma.io/service":"web","kuma.io/protocol":"http","version":"v1"}}],"outbound":[{"port":20001,"tags":{"kuma.io/service":"cart"}}]}}
---
{"type":"Dataplane","name":"db-1","networking":{"address":"10.2.0.2","inbound":[{"port":80,"tags":{"kuma.io/service":"db","kuma.io/protocol":"grpc"}}],"outbound":[{"port":20001,"tags":{"kuma.io/service":"web"}}]}}
`,
		"kong.yaml": `{"_format_version":"3.0","services":[{"name":"cart","url":"http://10.5.0.1:80","routes":[{"name":"r-web","paths":["/a"],"hosts":["a.test"]}]},{"name":"pay","url":"http://10.5.0.2:80","routes":[{"name":"r-pay","paths":["/b"],"hosts":["cart"]}]}]}`,
	}
	rapid.Check(t, func(t *rapid.T) {
		incremental(t, maps.Clone(world), func(t *rapid.T) string {
			if rapid.IntRange(0, 4).Draw(t, "kind") == 0 {
				return drawMesh(t)
			}
			return drawPlugin(t)
		})
	})
}

// TestIncrementalPolicies does so with policies of all kinds among a few
// dataplanes and the gateway, and with services that come, go and change.
func TestIncrementalPolicies(t *testing.T) {
	t.Parallel()
	world := map[string]string{
		"web.yaml":  `{"type":"Dataplane","name":"web-1","networking":{"address":"10.2.0.1","inbound":[{"port":80,"tags":{"kuma.io/service":"web","kuma.io/protocol":"http","version":"v1"}}],"outbound":[{"port":20001,"tags":{"kuma.io/service":"cart"}},{"port":20002,"tags":{"kuma.io/service":"db","version":"v1"}},{"port":20003,"tags":{"kuma.io/service":"web"}}]}}`,
		"db.yaml":   `{"type":"Dataplane","name":"db-1","networking":{"address":"10.2.0.2","inbound":[{"port":80,"tags":{"kuma.io/service":"db","kuma.io/protocol":"grpc","version":"v1"}}],"outbound":[{"port":20001,"tags":{"kuma.io/service":"web"}},{"port":20002,"service":"cart"}]}}`,
		"all.yaml":  `{"type":"HealthCheck","name":"all","sources":[{"match":{"kuma.io/service":"*"}}],"destinations":[{"match":{"kuma.io/service":"*"}}],"conf":{"interval":"1s","timeout":"1s","unhealthyThreshold":1,"healthyThreshold":1}}`,
		"kong.yaml": `{"_format_version":"3.0","services":[{"name":"cart","url":"http://10.5.0.1:80","routes":[{"name":"r-web","paths":["/a"],"hosts":["a.test"]}]}]}`,
	}
	rapid.Check(t, func(t *rapid.T) {
		incremental(t, maps.Clone(world), func(t *rapid.T) string {
			if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
				return drawDocument(t)
			}
			return drawPolicy(t)
		})
	})
}

// drawPolicy draws a policy of the caller's side.
func drawPolicy(t *rapid.T) string {
	one := func(what string, of ...string) string { return rapid.SampledFrom(of).Draw(t, what) }
	kind := rapid.SampledFrom([][2]string{
		{"Timeout", one("conf", "{connectTimeout: 1s}", "{http: {requestTimeout: 1s}}")},
		{"Retry", one("conf", "{http: {numRetries: 2}}", "{tcp: {maxConnectAttempts: 3}}")},
		{"HealthCheck", "{interval: 2s, timeout: 1s, unhealthyThreshold: 1, healthyThreshold: 1}"},
		{"CircuitBreaker", "{detectors: {totalErrors: {}}}"},
		{"TrafficRoute", fmt.Sprintf("{split: [{weight: 1, destination: {kuma.io/service: %s}}, {weight: 2, destination: {kuma.io/service: web, version: v1}}]%s%s}",
			one("to", "'*'", "cart", "nobody"), one("http", "", ", http: [{match: {path: {prefix: /x}}, destination: {kuma.io/service: web}}]"), one("balancer", "", ", loadBalancer: {random: {}}"))},
	}).Draw(t, "policy")
	return fmt.Sprintf("{type: %s, mesh: %s, name: %s, sources: [{match: {kuma.io/service: %s%s}}], destinations: [{match: {kuma.io/service: %s}}], conf: %s}\n",
		kind[0], one("mesh", "default", "default", "m"), one("name", "one", "two"),
		one("from", "'*'", "web", "db", "gateway"), one("version", "", ", version: v1"), one("destination", "'*'", "web", "db", "cart", "nobody"), kind[1])
}

func incremental(t *rapid.T, state map[string]string, document func(*rapid.T) string) {
	incrementalOn(t, compiler.Node{}, state, document)
}

// incrementalOn edits state, and compiles it for node after each edit.
func incrementalOn(t *rapid.T, node compiler.Node, state map[string]string, document func(*rapid.T) string) {
	warm, loader := compiler.New(), schema.NewLoader()
	warm.Node = node
	var modules moduleFolder
	modules.use(warm)
	for range rapid.IntRange(1, 8).Draw(t, "steps") {
		for range rapid.IntRange(1, 3).Draw(t, "edits") {
			name := fmt.Sprintf("%s.yaml", rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}).Draw(t, "file"))
			if rapid.Bool().Draw(t, "remove") {
				delete(state, name)
			} else {
				state[name] = rapid.Custom(document).Draw(t, "document")
			}
		}
		modules.edit(t)
		cold := compiler.New()
		cold.Node = node
		modules.use(cold)
		tree := treeOf(state)
		got := warm.Compile(loader.Load(t.Context(), tree).Documents)
		want := cold.Compile(schema.NewLoader().Load(t.Context(), tree).Documents)
		if g, w := render(got.Snapshot), render(want.Snapshot); g != w {
			t.Fatalf("warm:\n%s\ncold:\n%s", g, w)
		}
		if got.Snapshot.Version != want.Snapshot.Version {
			t.Fatal("the versions differ although all that a data plane sees is the same")
		}
		if g, w := findings(got.Diagnostics)+findings(got.Unsupported), findings(want.Diagnostics)+findings(want.Unsupported); g != w {
			t.Fatalf("warm:\n%s\ncold:\n%s", g, w)
		}
	}
}

// moduleFolder is modules by name as they lie on disk: those that are nil are
// not there. Like schema.Sources, it hands out the same pointer while the
// content stays.
type moduleFolder struct{ a, b *schema.Module }

func (f *moduleFolder) edit(t *rapid.T) {
	change := rapid.SampledFrom([]string{"", "", "module 1", "module 2", "broken", "gone"})
	for _, m := range []**schema.Module{&f.a, &f.b} {
		switch text := change.Draw(t, "module"); {
		case text == "gone":
			*m = nil
		case text != "" && (*m == nil || (*m).Data != text):
			*m = moduleOf(text)
		}
	}
}

func (f *moduleFolder) use(c *compiler.Compiler) {
	c.Kinds, c.Check = testKinds(), checkUse
	c.Modules = func(d *schema.Document) (*schema.Module, bool) {
		switch d.Body.(*meshc.WasmPlugin).Conf.Module.Path {
		case "a.wasm":
			return f.a, true
		case "b.wasm":
			return f.b, true
		}
		return nil, false
	}
}

func treeOf(state map[string]string) files.Tree {
	var tree files.Tree
	for name, text := range state {
		tree.Files = append(tree.Files, file(name, []byte(text)))
	}
	slices.SortFunc(tree.Files, func(a, b files.File) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return tree
}

// drawDocument draws documents whose names meet often.
func drawDocument(t *rapid.T) string {
	name := rapid.SampledFrom([]string{"web", "db", "cart"}).Draw(t, "name")
	other := rapid.SampledFrom([]string{"web", "db", "cart", "nobody"}).Draw(t, "other")
	n := rapid.IntRange(1, 3).Draw(t, "n")
	switch rapid.IntRange(0, 12).Draw(t, "kind") {
	case 0:
		return fmt.Sprintf(`{"apiVersion":"v1","kind":"Service","metadata":{"name":%q},"spec":{"clusterIP":"10.0.0.%d","ports":[{"name":"http","port":80},{"name":"x","port":8%d}]}}`, name, n, n)
	case 1:
		return fmt.Sprintf(`{"apiVersion":"v1","kind":"Endpoints","metadata":{"name":%q},"subsets":[{"addresses":[{"ip":"10.1.0.%d"}],"ports":[{"name":"http","port":80}]}]}`, name, n)
	case 2:
		return fmt.Sprintf(`{"type":"Dataplane","mesh":"default","name":"%s-%d","networking":{"address":"10.2.0.%d","inbound":[{"port":80,"tags":{"kuma.io/service":%q,"kuma.io/protocol":"http","version":"v%d"}}],"outbound":[{"port":2000%d,"tags":{"kuma.io/service":%q}}]}}`, name, n, n, name, n, n, other)
	case 3:
		return fmt.Sprintf(`{"type":"TrafficRoute","mesh":"default","name":%q,"sources":[{"match":{"kuma.io/service":"*"}}],"destinations":[{"match":{"kuma.io/service":%q}}],"conf":{"split":[{"weight":%d,"destination":{"kuma.io/service":%q,"version":"v1"}},{"weight":1,"destination":{"kuma.io/service":"*"}}]}}`, name, other, n, other)
	case 4:
		return fmt.Sprintf(`{"type":"ExternalService","mesh":"default","name":%q,"tags":{"kuma.io/service":%q},"networking":{"address":"10.3.0.%d:80"}}`, name, other, n)
	case 5, 6:
		route := fmt.Sprintf(`"name":"r-%s","hosts":%s,"paths":["/%s"]`, other, rapid.SampledFrom([]string{`[]`, `["web"]`, `["*.com"]`, `["web","db.default:81"]`}).Draw(t, "hosts"), other)
		if rapid.Bool().Draw(t, "alone") {
			return fmt.Sprintf(`{"_format_version":"3.0","routes":[{"service":{"name":%q},%s}]}`, name, route)
		}
		return fmt.Sprintf(`{"_format_version":"3.0","services":[{"name":%q,"url":"http://up-%s:8%d/%d","routes":[{%s}]}],"upstreams":[{"name":"up-%s"%s,"targets":[{"target":"10.5.0.%d:80","weight":%d},{"target":"10.5.0.9:80"}]}]}`,
			name, other, n, n, route, other, rapid.SampledFrom([]string{``, `,"algorithm":"consistent-hashing","hash_on":"ip"`, `,"algorithm":"consistent-hashing","hash_on":"path"`}).Draw(t, "hash"), n, n)
	case 9:
		return fmt.Sprintf(`{"type":"ProxyTemplate","mesh":"default","name":%q,"selectors":[{"match":{"kuma.io/service":%q}}],"conf":{"imports":%s,"resources":[{"name":"r","version":"v","resource":"{'@type': type.googleapis.com/envoy.config.cluster.v3.Cluster, name: c%d}"}]}}`,
			name, rapid.SampledFrom([]string{"*", other}).Draw(t, "selector"), rapid.SampledFrom([]string{`[]`, `["default-proxy"]`}).Draw(t, "imports"), n)
	case 10:
		return drawMesh(t)
	case 11, 12:
		return drawPlugin(t)
	case 7, 8: // often two that win at different dataplanes, and one that never does
		version := rapid.SampledFrom([]string{``, `,"version":"v1"`, `,"version":"v2"`, `,"version":"v3"`}).Draw(t, "version")
		return fmt.Sprintf(`{"type":"Timeout","mesh":"default","name":"%s-%d","sources":[{"match":{"kuma.io/service":%q%s}}],"destinations":[{"match":{"kuma.io/service":"*"}}],"conf":{"connectTimeout":"1s"}}`, other, n, name, version)
	}
	return fmt.Sprintf(`{"name":%q,"host":"10.4.0.%d"}`, name, n)
}

// drawMesh draws a mesh of its own, whose services send the gateway's plugins to
// routes.
func drawMesh(t *rapid.T) string {
	name := rapid.SampledFrom([]string{"web", "db", "cart"}).Draw(t, "name")
	return fmt.Sprintf("{type: Mesh, name: m}\n---\n{type: ExternalService, mesh: m, name: %s, tags: {kuma.io/service: %s, kuma.io/protocol: %s}, networking: {address: '10.6.0.1:80'}}\n",
		name, name, rapid.SampledFrom([]string{"http", "tcp", "grpc"}).Draw(t, "protocol"))
}

func drawPlugin(t *rapid.T) string {
	one := func(what string, of ...string) string { return rapid.SampledFrom(of).Draw(t, what) }
	return fmt.Sprintf("{type: WasmPlugin, mesh: %s, name: %s, %s conf: {module: {path: %s}, %s}}\n",
		one("mesh", "default", "default", "m"), one("name", "one", "two"),
		one("selectors", "", "", "selectors: [{match: {version: v1}}],", "selectors: [{match: {kuma.io/service: gateway}}, {match: {kuma.io/service: db}}],")+
			one("destinations", "", "", "destinations: [{match: {kuma.io/service: web}}],", "destinations: [{match: {kuma.io/service: cart}}],"),
		one("module", "a.wasm", "a.wasm", "b.wasm", "c.wasm"),
		one("listeners", "listeners: [gateway]", "listeners: [inbound, outbound, gateway]", "listeners: [inbound]", "listeners: [gateway], routes: [r-web]")+
			one("protocol", "", "", ", protocol: tcp")+one("order", "", ", order: 1")+
			one("services", "", ", services: [web]", ", services: [db, cart]")+one("configuration", "", ", configuration: {a: 1}", ", env: {A: b}"))
}

// The version says what the documents mean, not how they are laid out.
func TestVersionIgnoresLayout(t *testing.T) {
	var texts []string
	for i := range 12 {
		texts = append(texts, fmt.Sprintf("type: Dataplane\nmesh: default\nname: web-%d\nnetworking:\n  address: 10.0.0.%d\n  inbound:\n  - {port: 80, tags: {kuma.io/service: web}}\n", i, i+1))
	}
	compile := func(state map[string]string) snapshot.Snapshot {
		return compiler.New().Compile(schema.NewLoader().Load(t.Context(), treeOf(state)).Documents).Snapshot
	}
	join := func(texts []string) string {
		out := "# layout\n"
		for _, s := range texts {
			out += "---\n" + s
		}
		return out
	}
	want := compile(map[string]string{"all.yaml": join(texts)})
	if want.Documents.Len() != len(texts) {
		t.Fatalf("%d documents", want.Documents.Len())
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		random.Shuffle(len(texts), func(i, j int) { texts[i], texts[j] = texts[j], texts[i] })
		cut := random.IntN(len(texts) + 1)
		got := compile(map[string]string{"x/one.yaml": join(texts[:cut]), "two.yaml": join(texts[cut:])})
		if got.Version != want.Version {
			t.Fatal("another order of files and documents gave another version")
		}
	}
	changed := slices.Clone(texts)
	changed[0] += "  - {port: 81, tags: {kuma.io/service: web}}\n"
	if compile(map[string]string{"all.yaml": join(changed)}).Version == want.Version {
		t.Fatal("a change kept the version")
	}
}
