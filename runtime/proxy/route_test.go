package proxy

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
)

func TestRouteConditions(t *testing.T) {
	routes := []snapshot.Route{
		{Name: "exact", PathExact: "/exact"},
		{Name: "regex", PathRegex: `/v\d+(?:/.*)?`},
		{Name: "method", PathPrefix: "/method", Methods: snapshot.ListOf("PUT", "GET")},
		{Name: "value", PathPrefix: "/h", Headers: snapshot.ListOf(snapshot.HeaderMatch{Name: "x-v", Values: snapshot.ListOf("1", "2")})},
		{Name: "pattern", PathPrefix: "/h", Headers: snapshot.ListOf(snapshot.HeaderMatch{Name: "x-v", Regex: "(?i)[a-z,]+"})},
		{Name: "both", PathPrefix: "/h", Headers: snapshot.ListOf(snapshot.HeaderMatch{Name: "x-v"}, snapshot.HeaderMatch{Name: "x-w"})},
		{Name: "authority", PathPrefix: "/h", Headers: snapshot.ListOf(snapshot.HeaderMatch{Name: ":authority", Regex: "(?i)any:8[0-9]"})},
		{Name: "prefix", PathPrefix: "/prefix"},
	}
	w := &world{vhosts: []snapshot.VirtualHost{
		{Name: "any", Domains: snapshot.ListOf("any", "any:*", "[::1]:*"), Routes: snapshot.ListOf(routes...)},
		{Name: "one", Domains: snapshot.ListOf("any:99"), Routes: snapshot.ListOf(snapshot.Route{Name: "one", PathPrefix: "/"})},
	}}
	p := run(t, w)
	for _, c := range []struct{ host, method, path, fields, want string }{
		{"any", "GET", "/exact", "", "exact"},
		{"any", "GET", "/exact?q=/", "", "exact"},
		{"any", "GET", "/exact/", "", ""},
		{"any", "GET", "/v1", "", "regex"},
		{"any", "GET", "/v12/x?y", "", "regex"},
		{"any", "GET", "/v1x", "", ""},
		{"any", "GET", "/x/v1", "", ""},
		{"any", "GET", "/method/1", "", "method"},
		{"any", "PUT", "/method", "", "method"},
		{"any", "POST", "/method", "", ""},
		{"any", "get", "/method", "", ""},
		{"any", "GET", "/h", "x-v: 1\n", "value"},
		{"any", "GET", "/h", "X-V: 2\n", "value"},
		{"any", "GET", "/h", "x-v: B\n", "pattern"},
		{"any", "GET", "/h", "x-v: 3\nx-v: 2\n", "value"},
		{"any", "GET", "/h", "x-v: 3\nx-v: c\n", "pattern"},
		{"any", "GET", "/h", "x-v: 3\nx-v: 4\n", ""},
		{"any", "GET", "/h", "x-v: 3\n", ""},
		{"any", "GET", "/h", "x-v: 3\nx-w: \n", "both"},
		{"any", "GET", "/h", "x-w: 3\n", ""},
		{"any:80", "GET", "/h", "", "authority"},
		{"Any:81", "GET", "/h", "", "authority"},
		{"any", "GET", "/h", "", ""},
		{"any:99", "GET", "/h", "", "one"},
		{"any:", "GET", "/prefix", "", ""},
		{"[::1]:7", "GET", "/prefix", "", "prefix"},
		{"[::1]", "GET", "/prefix", "", ""},
		{"any:7", "GET", "/prefixed?/x", "", "prefix"},
		{"any", "OPTIONS", "*", "", ""},
	} {
		var h filter.Headers
		h.Add(":method", c.method)
		h.Add(":path", c.path)
		h.Add(":authority", c.host)
		for line := range strings.Lines(c.fields) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			h.Add(name, strings.TrimSpace(value))
		}
		var got string
		if vh := p.current.byKey[p.cfg.Gateway].host(c.host); vh != nil {
			if r := vh.match(&h, nil); r != nil {
				got = r.name
			}
		}
		if got != c.want {
			t.Errorf("%s %s%s %q takes route %q, want %q", c.method, c.host, c.path, c.fields, got, c.want)
		}
	}
}

func TestRewrite(t *testing.T) {
	w := &world{}
	w.cluster("a", backend(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RequestURI) }))
	w.host("x", "a")
	to := w.vhosts[0].Routes.At(0).Targets
	w.vhosts[0].Routes = snapshot.ListOf(
		snapshot.Route{Name: "1", PathPrefix: "/strip", Targets: to, Rewrite: snapshot.PathRewrite{Regex: "^/strip/?", Substitution: "/"}},
		snapshot.Route{Name: "2", PathRegex: `/users/\d+`, Targets: to, Rewrite: snapshot.PathRewrite{Regex: `^/users/(\d+)$`, Substitution: `/u/\1/$1`}},
		snapshot.Route{Name: "4", PathPrefix: "/cut", Targets: to, Rewrite: snapshot.PathRewrite{Regex: "^/cut"}},
		snapshot.Route{Name: "5", PathPrefix: "/gone", Targets: to, Rewrite: snapshot.PathRewrite{Regex: ".*", Global: true}},
		snapshot.Route{Name: "6", PathPrefix: "/maybe", Targets: to, Rewrite: snapshot.PathRewrite{Regex: "^/maybe(.*)", Substitution: `\1`}},
		snapshot.Route{Name: "3", PathPrefix: "/", Targets: to, Rewrite: snapshot.PathRewrite{Regex: "^/", Substitution: "/api/"}},
	)
	p := run(t, w)
	for path, want := range map[string]string{
		"/strip/a%2Fb//c?q=/strip/": "/a%2Fb//c?q=/strip/",
		"/strip":                    "/",
		"/strip?":                   "/?",
		"/stripped":                 "/ped",
		"/users/7?x":                "/u/7/$1?x",
		"/a/../%7e":                 "/api/a/../%7e",
		"/cut/a?q":                  "/a?q",
		"/cut":                      "/cut",
		"/cut?q":                    "/cut?q",
		"/gone/a?q":                 "/gone/a?q",
		"/maybe/a?q":                "/a?q",
		"/maybe?q":                  "/maybe?q",
	} {
		if _, got := get(t, p, "x", path); got != want {
			t.Errorf("%s became %s, want %s", path, got, want)
		}
	}
}

func TestRoutesThatCannotBeMatchedAreRefused(t *testing.T) {
	for want, r := range map[string]snapshot.Route{
		`virtual host "vh x": route "r": path: missing closing )`: {Name: "r", PathRegex: "("},
		`route "r": header x-v: `:                                 {Name: "r", PathPrefix: "/", Headers: snapshot.ListOf(snapshot.HeaderMatch{Name: "x-v", Regex: "("})},
		`does not begin with ^`:                                   {Name: "r", PathPrefix: "/", Rewrite: snapshot.PathRewrite{Regex: "a"}},
	} {
		w := &world{}
		p := run(t, w)
		w.host("x")
		w.vhosts[0].Routes = snapshot.ListOf(r)
		if _, _, err := p.Prepare(t.Context(), w.snapshot()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

func TestEndpointsShareByWeight(t *testing.T) {
	w := &world{}
	w.cluster("a", named(t, "1"), named(t, "2"), named(t, "3"))
	w.host("x", "a")
	weights := []uint32{5, 0, 2}
	w.endpoints[0].Endpoints = snapshot.ListOfFunc(3, func(i int) snapshot.Endpoint {
		e := w.endpoints[0].Endpoints.At(i)
		e.Weight = weights[i]
		return e
	})
	p := run(t, w)
	counts := map[string]int{}
	for i := range 80 {
		_, body := get(t, p, "x", "/")
		counts[body]++
		publish(t, p, w) // nothing begins anew
		// Not only in the end: at any time each has its share, but for two.
		for name, weight := range map[string]int{"1": 5, "2": 1, "3": 2} {
			if off := counts[name] - (i+1)*weight/8; off < -2 || off > 2 {
				t.Fatalf("of %d requests endpoint %s got %d", i+1, name, counts[name])
			}
		}
	}
}

func TestClientsShareByWeight(t *testing.T) {
	c := &cluster{balancing: balancing{Balancing: snapshot.ClientIP}, state: newClusterState()}
	w := &world{}
	w.cluster("a", "10.0.0.1:80", "10.0.0.2:80")
	for i, e := range w.endpoints[0].Endpoints.All() {
		e.Weight = uint32(1 + 2*i)
		c.endpoints = append(c.endpoints, newEndpoint(newPool(nil, mustAddrPort(e), nil, nil, nil), e))
	}
	const clients = 4000
	n := 0
	for i := range clients {
		if c.pick(t.Context(), clientHash(addr(i))) == c.endpoints[0] {
			n++
		}
	}
	if n < clients/5 || n > clients*3/10 {
		t.Errorf("an endpoint of weight 1 in 4 has %d of %d clients", n, clients)
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, spec := range []snapshot.Route{
		{Name: "prefix", PathPrefix: "/"},
		{Name: "regex", PathRegex: `/v\d+/.*`},
	} {
		w := &world{}
		w.cluster("a", "127.0.0.1:1")
		w.vhosts = []snapshot.VirtualHost{{Name: "x", Domains: snapshot.ListOf("*"), Routes: snapshot.ListOf(spec)}}
		p := run(b, w)
		var s stream
		s.request.Add(":path", "/v1/users/7?query")
		vh := p.current.listeners[0].hosts[0]
		b.Run(spec.Name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if vh.match(&s.request, nil) == nil {
					b.Fatal("no match")
				}
			}
		})
	}
}
