package proxy

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
)

// routed adds a host with routes.
func (w *world) routed(domain string, routes ...snapshot.Route) {
	for i := range routes {
		if routes[i].PathPrefix == "" && routes[i].PathExact == "" && routes[i].PathRegex == "" {
			routes[i].PathPrefix = "/"
		}
	}
	w.vhosts = append(w.vhosts, snapshot.VirtualHost{
		Name: "vh " + domain, Domains: snapshot.ListOf(domain), Routes: snapshot.ListOf(routes...),
	})
}

func fields(nameValue ...string) (list snapshot.List[snapshot.HeaderField]) {
	var all []snapshot.HeaderField
	for i := 0; i < len(nameValue); i += 2 {
		all = append(all, snapshot.HeaderField{Name: nameValue[i], Value: nameValue[i+1]})
	}
	return snapshot.ListOf(all...)
}

// What a route changes is changed for the target, for the client, and in what
// the proxy or a filter answers itself.
func TestRouteChangesHeaders(t *testing.T) {
	w := &world{}
	w.cluster("a", backend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Old", "1")
		w.Header().Set("X-Set", "old")
		fmt.Fprint(w, r.Host, " ", r.RequestURI, " ", r.Header["X-Add"], r.Header["X-Set"], r.Header["X-Old"])
	}))
	w.cluster("none")
	changes := snapshot.HeaderChanges{Remove: snapshot.ListOf("x-old"), Set: fields("x-set", "new"), Add: fields("x-add", "more")}
	route := snapshot.Route{
		Name: "r", Targets: targetList([]string{"a"}), RequestHeaders: changes, ResponseHeaders: changes,
		Rewrite: snapshot.PathRewrite{Regex: "o+", Substitution: `<\0>`, Global: true},
		Host:    snapshot.HostRewrite{PathRegex: "/foo/([a-z]*)", Substitution: `\1`},
	}
	empty := route
	empty.Targets, empty.Name, empty.PathPrefix = targetList([]string{"none"}), "none", "/none"
	w.routed("x", empty, route)
	replies := kinds{"replies": func(s filter.Stream) filter.HTTP { return &replier{Stream: s} }}
	for _, filtered := range []bool{false, true} {
		t.Run(fmt.Sprint("filtered ", filtered), func(t *testing.T) {
			change := func(*Config) {}
			if filtered {
				change = replies.install(w, func(string) {})
			}
			p := run(t, w, change)
			for _, c := range []struct{ path, body string }{
				{"/foo/bar?oo", "bar /f<oo>/bar?oo [1 more] [new] []"},
				{"/foo/bar/", "x /f<oo>/bar/ [1 more] [new] []"},
				{"/foo/", "x /f<oo>/ [1 more] [new] []"},
				{"/none", "no healthy upstream"},
				{"/reply", "said the filter"},
			} {
				if c.path == "/reply" && !filtered {
					continue
				}
				cl := dial(t, p.address(t, "gateway"))
				cl.send("GET %s HTTP/1.1\nHost: x\nx-add: 1\nx-set: 1\nx-set: 2\nx-old: 1\n\n", c.path)
				r, body := cl.response("GET")
				if body != c.body {
					t.Errorf("%s: %q, want %q", c.path, body, c.body)
				}
				if h := r.Header; h.Get("x-old") != "" || len(h["X-Set"]) != 1 || h.Get("x-set") != "new" || h.Get("x-add") != "more" {
					t.Errorf("%s: response headers %v", c.path, h)
				}
			}
		})
	}
}

// replier answers requests for /reply.
type replier struct {
	filter.PassThrough
	filter.Stream
}

func (f *replier) RequestHeaders(h *filter.Headers, _ bool) filter.HeadersStatus {
	if h.Value(":path") == "/reply" {
		f.Reply(filter.Reply{Status: 403, Body: []byte("said the filter"), GRPCStatus: -1, Headers: []filter.Field{{Name: "x-old", Value: "1"}}})
		return filter.HeadersStop
	}
	return filter.HeadersContinue
}

func TestHeaderMatches(t *testing.T) {
	h := &filter.Headers{}
	for _, f := range []filter.Field{{Name: ":method", Value: "PUT"}, {Name: "x", Value: "abc"}, {Name: "x", Value: "def"}} {
		h.Add(f.Name, f.Value)
	}
	for _, c := range []struct {
		match snapshot.HeaderMatch
		want  bool
	}{
		{snapshot.HeaderMatch{Name: "x", Prefix: "de"}, true},
		{snapshot.HeaderMatch{Name: "x", Prefix: "bc"}, false},
		{snapshot.HeaderMatch{Name: "y", Prefix: "d"}, false},
		{snapshot.HeaderMatch{Name: ":method", Values: snapshot.ListOf("GET", "PUT")}, true},
		{snapshot.HeaderMatch{Name: ":method", Prefix: "P"}, true},
		{snapshot.HeaderMatch{Name: ":method", Regex: "P"}, false},
	} {
		cond, err := newCondition(snapshot.Route{PathPrefix: "/", Headers: snapshot.ListOf(c.match)})
		if err != nil {
			t.Fatal(err)
		}
		if got := cond.holds("/", h, nil); got != c.want {
			t.Errorf("%+v holds: %t", c.match, got)
		}
	}
}
