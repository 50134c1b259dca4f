package compiler_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/meshc/meshc/compiler"
	"github.com/meshc/meshc/compiler/snapshot"
)

// testKinds are policy kinds whose configuration says where they were attached.
func testKinds() []compiler.Kind {
	return []compiler.Kind{
		{Name: "wasm"},
		{Name: "fault", Policies: []compiler.Policy{{
			Document: "kuma/FaultInjection", Side: compiler.PerTarget, HTTP: true, Gateway: true, Resolve: resolved,
		}}},
		{Name: "log", Policies: []compiler.Policy{{
			Document: "kuma/TrafficLog", HTTP: true, TCP: true, Gateway: true, Resolve: resolved,
		}}},
		{Name: "trace", Policies: []compiler.Policy{{
			Document: "kuma/TrafficTrace", Side: compiler.PerProxy, HTTP: true, Inbound: true, Gateway: true,
			Resolve: func(a compiler.Attachment) compiler.Resolved {
				r := resolved(a)
				r.Calls = []string{"127.0.0.1:9411", "zipkin.test:9411"}
				return r
			},
		}}},
	}
}

func resolved(a compiler.Attachment) compiler.Resolved {
	var d struct {
		Conf struct {
			Backend string
			Abort   struct{ HTTPStatus int }
		}
	}
	if err := json.Unmarshal([]byte(a.Policy), &d); err != nil {
		panic(err)
	}
	switch {
	case d.Conf.Backend == "wrong":
		return compiler.Resolved{Wrong: []compiler.Wrong{
			{Path: []any{"conf", "backend"}, Message: "it is wrong", Hint: "mend it"},
			{Path: []any{"logging"}, InMesh: true, Warning: true, Message: "it is half wrong", Hint: "mend it too"},
		}}
	case d.Conf.Abort.HTTPStatus == 204:
		return compiler.Resolved{}
	}
	mesh := "no Mesh"
	if a.Mesh != "" {
		mesh = "Mesh"
	}
	return compiler.Resolved{Config: fmt.Sprintf("%s of %s at %s, %s tcp=%t to %q in %s, %s, cluster %q", a.Proxy, a.Service, a.Address, a.Direction, a.TCP, a.Destination, a.MeshName, mesh, a.Cluster)}
}

// checkUse is checkModule where there are other kinds too.
func checkUse(f snapshot.Filter, tcp bool, blob string) []string {
	if f.Kind != "wasm" {
		return nil
	}
	return checkModule(f, tcp, blob)
}

// TestIncrementalKinds is TestIncrementalEqualsCold with policies that become filters.
func TestIncrementalKinds(t *testing.T) {
	t.Parallel()
	world := map[string]string{
		"proxies.yaml": strings.Join([]string{
			`{"type":"Dataplane","mesh":"default","name":"caller","networking":{"address":"10.2.0.9","inbound":[{"port":80,"tags":{"kuma.io/service":"caller","kuma.io/protocol":"http"}}],"outbound":[{"port":20001,"tags":{"kuma.io/service":"web"}},{"port":20002,"tags":{"kuma.io/service":"db"}}]}}`,
			`{"type":"Dataplane","mesh":"default","name":"web-1","networking":{"address":"10.2.0.1","inbound":[{"port":80,"tags":{"kuma.io/service":"web","kuma.io/protocol":"http","version":"v1"}}]}}`,
			`{"type":"Dataplane","mesh":"default","name":"web-2","networking":{"address":"10.2.0.2","inbound":[{"port":80,"tags":{"kuma.io/service":"web","kuma.io/protocol":"http","version":"v2"}}]}}`,
			`{"type":"Dataplane","mesh":"default","name":"db-1","networking":{"address":"10.2.0.3","inbound":[{"port":81,"tags":{"kuma.io/service":"db","kuma.io/protocol":"tcp"}}]}}`,
		}, "\n---\n"),
		"kong.yaml": `{"_format_version":"3.0","services":[{"name":"cart","url":"http://10.5.0.1:80","routes":[{"name":"r-web","paths":["/a"],"hosts":["a.test"]}]}]}`,
	}
	rapid.Check(t, func(t *rapid.T) { incremental(t, maps.Clone(world), drawKindDocument) })
}

func drawKindDocument(t *rapid.T) string {
	name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name")
	from := rapid.SampledFrom([]string{"*", "caller", "gateway"}).Draw(t, "from")
	to := rapid.SampledFrom([]string{"*", "web", "db", "cart"}).Draw(t, "to")
	version := rapid.SampledFrom([]string{"", `,"version":"v1"`, `,"version":"*"`}).Draw(t, "version")
	head := fmt.Sprintf(`"mesh":"default","name":%q,"sources":[{"match":{"kuma.io/service":%q}}],"destinations":`, name, from)
	switch rapid.IntRange(0, 6).Draw(t, "kind") {
	case 0, 1:
		status := rapid.SampledFrom([]int{204, 500}).Draw(t, "status")
		return fmt.Sprintf(`{"type":"FaultInjection",%s[{"match":{"kuma.io/service":%q,"kuma.io/protocol":"http"%s}}],"conf":{"abort":{"percentage":50,"httpStatus":%d}}}`, head, to, version, status)
	case 2:
		backend := rapid.SampledFrom([]string{"file", "wrong"}).Draw(t, "backend")
		return fmt.Sprintf(`{"type":"TrafficLog",%s[{"match":{"kuma.io/service":%q}}],"conf":{"backend":%q}}`, head, to, backend)
	case 3:
		return fmt.Sprintf(`{"type":"TrafficTrace","mesh":"default","name":%q,"selectors":[{"match":{"kuma.io/service":%q}}],"conf":{"backend":"zipkin"}}`, name, from)
	case 4:
		return fmt.Sprintf(`{"type":"TrafficRoute",%s[{"match":{"kuma.io/service":"web"}}],"conf":{"split":[{"weight":1,"destination":{"kuma.io/service":"web","version":"v1"}},{"weight":1,"destination":{"kuma.io/service":"web","version":"v2"}}]}}`, head)
	case 5:
		return `{"type":"Mesh","name":"default","logging":{"backends":[{"name":"file","type":"file","conf":{"path":"/tmp/x"}},{"name":"wrong","type":"file","conf":{"path":"/tmp/y"}}]}}`
	}
	return `{"type":"ExternalService","mesh":"default","name":"cart2","tags":{"kuma.io/service":"web","kuma.io/protocol":"http"},"networking":{"address":"10.3.0.1:80"}}`
}
