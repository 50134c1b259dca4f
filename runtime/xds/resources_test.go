package xds_test

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	typeurl "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/rogpeppe/go-internal/txtar"
	"google.golang.org/protobuf/proto"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/xds"
	"github.com/meshc/meshc/runtime/xds/envoy"
)

const gatewayAddr = "127.0.0.1:8080"

// worlds are the inputs whose resources testdata/*.txtar hold.
func worlds() map[string]snapshot.Snapshot {
	inbound := snapshot.Listener{
		Name: "inbound:192.0.2.7:80", Direction: snapshot.Inbound, Protocol: snapshot.HTTP,
		Address: "192.0.2.7", Port: 80, VirtualHosts: snapshot.ListOf(host("web", []string{"*"}, "/", "inbound:80")),
	}
	rewritten := host("api", []string{"api.example", "api.example:80"}, "/v1/", "api")
	route := rewritten.Routes.At(0)
	route.HostFromEndpoint = true
	rewritten.Routes = snapshot.ListOf(route, snapshot.Route{Name: "rest", PathPrefix: "/"})
	matched := host("kong", []string{"kong.example", "kong.example:*"}, "/plain", "web")
	to := matched.Routes.At(0).Targets
	matched.Routes = snapshot.ListOf(
		snapshot.Route{Name: "exact", PathExact: "/exact", Targets: to, Methods: snapshot.ListOf("GET")},
		snapshot.Route{
			Name: "regex", PathRegex: `/v\d+/.*`, Targets: to, Methods: snapshot.ListOf("GET", "PUT"),
			Rewrite: snapshot.PathRewrite{Regex: `^/(v\d+)/?`, Substitution: `/api/\1/`},
		},
		snapshot.Route{Name: "headers", PathPrefix: "/", Targets: to, Headers: snapshot.ListOf(
			snapshot.HeaderMatch{Name: "x-one", Values: snapshot.ListOf("1")},
			snapshot.HeaderMatch{Name: "x-some", Values: snapshot.ListOf("1.0", "2")},
			snapshot.HeaderMatch{Name: ":authority", Regex: `(?i).+\.example(?::[0-9]+)?`},
			snapshot.HeaderMatch{Name: "x-any"},
		)},
		snapshot.Route{Name: "large", PathRegex: "/[a-z]{1,200}", Targets: to},
	)
	routes := gateway("web")
	l := routes.Listeners.At(0)
	l.VirtualHosts = snapshot.ListOf(matched)
	routes.Listeners = snapshot.ListOf(l)
	chosen := plugin("default/chosen", "chosen")
	chosen.Match = snapshot.FilterMatch{PathPrefix: "/in", Methods: snapshot.ListOf("GET", "PUT")}
	chosen.Clusters = snapshot.ListOf("grpc")
	routed := plugin("default/routed", "routed")
	routed.PerRoute, routed.Match.Methods = true, snapshot.ListOf("GET")
	for _, f := range []*snapshot.Filter{&chosen, &routed} {
		*f = moduleOf(*f, "module")
	}
	enabled := host("web", []string{"*"}, "/on", "web")
	on := enabled.Routes.At(0)
	on.Filters = snapshot.ListOf(routed.Ref())
	enabled.Routes = snapshot.ListOf(on, snapshot.Route{Name: "rest", PathPrefix: "/"})
	return map[string]snapshot.Snapshot{
		"policies": policies(),
		"attached": attached(10001, 10002, at("192.0.2.1", 80), at("192.0.2.2", 9411), "/dev/stdout"),
		"mesh":     meshed(meshPorts{10001, 10002, 10003}, at("192.0.2.1", 80), at("192.0.2.2", 80), []snapshot.Authority{authority("one", true)}, admit("all"), admit("web", "kuma://version/1", "spiffe://default/web")),
		"filters": pluginWorld([]service{
			{name: "web", endpoints: []snapshot.Endpoint{at("192.0.2.1", 80)}},
			{name: "grpc", tcp: true, http2: true, endpoints: []snapshot.Endpoint{at("192.0.2.2", 80)}},
		}, []string{"module"}, proxy("default.web",
			with(outbound(10001, enabled), chosen, routed),
			with(outboundTCP(10002, "web"), moduleOf(plugin("default/tcp", "tcp"), "module")),
		)),
		"routes": world([]service{
			{name: "web", endpoints: []snapshot.Endpoint{{Address: "192.0.2.1", Port: 80, Weight: 3}, at("192.0.2.2", 80)}},
		}, routes),
		"gateway": world([]service{
			{name: "web", endpoints: []snapshot.Endpoint{at("192.0.2.1", 8080), at("192.0.2.2", 8080)}},
			{name: "sticky", clientIP: true, endpoints: []snapshot.Endpoint{at("2001:db8::1", 80)}},
			{name: "empty"},
			{name: "unused"},
		}, gateway("web", "sticky", "empty")),
		"dataplane": world([]service{
			{name: "api", dns: true, endpoints: []snapshot.Endpoint{{Address: "api.internal", Port: 443, Hostname: "api.internal"}}},
			{name: "v1", endpoints: []snapshot.Endpoint{{Address: "192.0.2.1", Port: 80, Hostname: "one"}}},
			{name: "v2", endpoints: []snapshot.Endpoint{at("192.0.2.2", 80)}},
			{name: "db", tcp: true, endpoints: []snapshot.Endpoint{at("192.0.2.3", 5432)}},
			{name: "inbound:80", endpoints: []snapshot.Endpoint{at("127.0.0.1", 80)}},
		}, proxy("default.web",
			inbound,
			outbound(10001, rewritten, host("split", []string{"*"}, "/", "v1", "v2")),
			outboundTCP(10002, "db"),
			outboundTCP(10003),
			outboundTCP(10004, "db", "v1"),
		), gateway("v1")),
	}
}

func TestResourcesAreAsWritten(t *testing.T) {
	for name, snap := range worlds() {
		id := snapshot.GatewayID
		if name == "dataplane" || name == "filters" || name == "policies" || name == "mesh" || name == "attached" {
			id = "default.web"
		}
		t.Run(name, func(t *testing.T) {
			filter := wasmFilter
			if name == "attached" {
				filter = attach
			}
			set, err := xds.Resources(snap, id, gatewayAddr, "", filter)
			if err != nil {
				t.Fatal(err)
			}
			set.Admin = netip.MustParseAddrPort("127.0.0.1:9901")
			bootstrap, err := set.Bootstrap(id)
			if err != nil {
				t.Fatal(err)
			}
			static, err := envoy.JSON(bootstrap)
			if err != nil {
				t.Fatal(err)
			}
			checkConsistent(t, set)
			file := filepath.Join("testdata", name+".txtar")
			got := txtar.Format(&txtar.Archive{
				Comment: []byte("What a node called " + id + " gets, and the same as a file without xDS.\n"),
				Files:   []txtar.File{{Name: "resources.json", Data: []byte(shown(t, set))}, {Name: "bootstrap.json", Data: static}},
			})
			if os.Getenv("MESHC_UPDATE") != "" {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Errorf("resources differ from %s; MESHC_UPDATE=1 rewrites it\n%s", file, firstDifference(string(want), string(got)))
			}
		})
	}
}

// checkConsistent asks go-control-plane, which counts what is referred to.
func checkConsistent(t *testing.T, set envoy.Set) {
	t.Helper()
	all := map[string][]types.Resource{}
	add := func(url string, m proto.Message) { all[url] = append(all[url], m) }
	for _, m := range set.Clusters {
		add(typeurl.ClusterType, m)
	}
	for _, m := range set.Endpoints {
		add(typeurl.EndpointType, m)
	}
	for _, m := range set.Extensions {
		add(typeurl.ExtensionConfigType, m)
	}
	for _, m := range set.Listeners {
		add(typeurl.ListenerType, m)
	}
	for _, m := range set.Routes {
		add(typeurl.RouteType, m)
	}
	s, err := cache.NewSnapshot("1", all)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Consistent(); err != nil {
		t.Error(err)
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return "want: " + w[i] + "\ngot:  " + g[i]
		}
	}
	return "one is the beginning of the other"
}

func TestResourcesOfAProxyThatIsNotThere(t *testing.T) {
	if _, err := xds.Resources(world(nil, gateway()), "default.web", gatewayAddr, "", nil); err == nil {
		t.Error("no error")
	}
}

func TestPrepareRefusesAllMistakesWithTheirPlaces(t *testing.T) {
	good := service{name: "good", endpoints: []snapshot.Endpoint{at("192.0.2.1", 80)}}
	tests := []struct {
		name string
		snap snapshot.Snapshot
		want []string // all in the error
	}{
		{"host name where an address belongs", world([]service{good, {name: "bad", endpoints: []snapshot.Endpoint{at("backend.internal", 80)}}}, gateway("good")),
			[]string{`bad.yaml:3:1: cluster "bad": endpoint address "backend.internal"`}},
		{"port 0", world([]service{{name: "bad", endpoints: []snapshot.Endpoint{at("192.0.2.1", 0)}}}, gateway()),
			[]string{"bad.yaml:3:1", "port"}},
		{"field rule of Envoy", world([]service{{name: "bad", timeout: -time.Second}}, gateway()),
			[]string{"bad.yaml:3:1", "ConnectTimeout"}},
		{"two mistakes", world([]service{{name: "one", timeout: -time.Second}, {name: "two", timeout: -time.Second}}, gateway()),
			[]string{"one.yaml:3:1", "two.yaml:3:1"}},
		{"route to nowhere", world([]service{good}, gateway("good", "gone")),
			[]string{`"gone"`}},
		{"domain twice", world([]service{good, {name: "other"}}, proxy("m.d", outbound(80, host("a", []string{"x"}, "/", "good"), host("b", []string{"x"}, "/", "other")))),
			[]string{"other.yaml:3:1", `domain "x" is also that of virtual host "a"`}},
		{"domain with a star in it", world([]service{good}, proxy("m.d", outbound(80, host("a", []string{"*.x"}, "/", "good")))),
			[]string{"good.yaml:3:1", `"*.x"`}},
		{"no domain", world([]service{good}, proxy("m.d", outbound(80, host("a", nil, "/", "good")))),
			[]string{"good.yaml:3:1", "Domains"}},
		{"weights beyond 32 bits", world([]service{good}, proxy("m.d", heavy(outboundTCP(80, "good", "good")))),
			[]string{"add up to"}},
		{"address of two listeners", world([]service{good}, proxy("m.d", outboundTCP(80, "good"), rename(outboundTCP(80, "good"), "outbound:x"))),
			[]string{`127.0.0.1:80 is taken by listener "outbound:127.0.0.1:80"`}},
		{"listener without an address", world([]service{good}, proxy("m.d", snapshot.Listener{Name: "outbound:", Direction: snapshot.Outbound, Protocol: snapshot.TCP})),
			[]string{"is not an IP address"}},
		{"filter that Envoy has not", world([]service{good}, proxy("m.d", filtered(outboundTCP(80, "good")))),
			[]string{`policy kind "fault"`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := xds.New(xds.Config{GatewayAddr: gatewayAddr})
			_, _, err := server.Prepare(context.Background(), test.snap)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
		})
	}
}

func heavy(l snapshot.Listener) snapshot.Listener {
	all := l.Targets.Slice()
	for i := range all {
		all[i].Weight = 1<<32 - 1
	}
	l.Targets = snapshot.ListOf(all...)
	return l
}

func rename(l snapshot.Listener, name string) snapshot.Listener {
	l.Name = name
	return l
}

func filtered(l snapshot.Listener) snapshot.Listener {
	l.Filters = snapshot.ListOf(snapshot.Filter{Kind: "fault", Config: "{}"})
	return l
}

func TestPrepareWantsAGatewayAddress(t *testing.T) {
	for addr, ok := range map[string]bool{
		"127.0.0.1:80": true, "[::1]:80": true, ":80": true, "localhost:80": true, "0.0.0.0:0": true,
		"": false, "127.0.0.1": false, "gateway.internal:80": false, "127.0.0.1:http": false, "127.0.0.1:65536": false,
	} {
		_, _, err := xds.New(xds.Config{GatewayAddr: addr}).Prepare(context.Background(), world(nil, gateway()))
		if (err == nil) != ok {
			t.Errorf("%q: error %v", addr, err)
		}
	}
}

func TestPrepareStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := xds.New(xds.Config{GatewayAddr: gatewayAddr}).Prepare(ctx, world(nil, gateway())); err == nil {
		t.Error("no error")
	}
}

// A proxy that stayed as it was is refused when a cluster that it leads to went,
// and not when another one did.
func TestClusterGoneUnderAProxy(t *testing.T) {
	services := func(names ...string) []service {
		var out []service
		for _, name := range names {
			out = append(out, service{name: name, endpoints: []snapshot.Endpoint{at("10.0.0.1", 80)}})
		}
		return out
	}
	p := proxy("default.a", outboundTCP(1, "b"))
	server := xds.New(xds.Config{GatewayAddr: gatewayAddr})
	prepare := func(names ...string) error {
		commit, _, err := server.Prepare(context.Background(), world(services(names...), p))
		if err == nil {
			commit()
		}
		return err
	}
	for _, names := range [][]string{{"a", "b", "c"}, {"b", "c"}, {"b"}, {"a", "b", "d"}} {
		if err := prepare(names...); err != nil {
			t.Fatalf("with %v: %v", names, err)
		}
	}
	if err := prepare("a", "d"); err == nil || !strings.Contains(err.Error(), `proxy default.a leads to cluster "b"`) {
		t.Fatalf("got %v", err)
	}
}
