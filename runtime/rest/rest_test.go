package rest_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/publish"
	"github.com/meshc/meshc/runtime/rest"
	"github.com/meshc/meshc/runtime/status"
)

var _ publish.Consumer = (*rest.Server)(nil)

// doc returns a document as the compiler writes it.
func doc(dialect, kind, scope, name, body string) snapshot.Document {
	d := snapshot.Document{ID: dialect + "/" + kind + "/" + scope + "/" + name, Dialect: dialect, Kind: kind, Name: name, JSON: body}
	switch {
	case dialect == "kubernetes":
		d.Namespace = scope
	case dialect == "kuma":
		d.Mesh = scope
	}
	return d
}

func sealed(docs ...snapshot.Document) snapshot.Snapshot {
	docs = slices.SortedFunc(slices.Values(docs), func(a, b snapshot.Document) int { return cmp.Compare(a.ID, b.ID) })
	return snapshot.Seal(snapshot.Snapshot{Documents: snapshot.ListOf(docs...)})
}

// view is a running REST server under test.
type view struct {
	*testing.T
	rest  *rest.Server
	board *status.Board
	url   string
}

// start serves a view over HTTP; without documents given it has no snapshot.
func start(t *testing.T, docs ...snapshot.Document) *view {
	t.Helper()
	v := &view{T: t, board: &status.Board{}}
	v.rest = rest.New(rest.Config{
		Board: v.board, Version: "1.2.3", Log: slog.New(slog.DiscardHandler),
		Metrics:    http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "some_metric 1\n") }),
		Identities: func() any { return struct{}{} },
		Health:     func() any { return []int{} },
	})
	server := httptest.NewUnstartedServer(nil)
	server.Config = v.rest.HTTPServer()
	server.Start()
	t.Cleanup(server.Close)
	v.url = server.URL
	if len(docs) > 0 {
		v.commit(sealed(docs...))
	}
	return v
}

func (v *view) commit(s snapshot.Snapshot) {
	v.Helper()
	if err := publish.New(v.rest).Publish(context.Background(), s); err != nil {
		v.Fatal(err)
	}
}

// answer is what a request got.
type answer struct {
	*http.Response
	body string
}

// do sends a request with headers given as pairs; no header is added.
func (v *view) do(method, path string, headers ...string) answer {
	v.Helper()
	req, err := http.NewRequest(method, v.url+path, nil)
	if err != nil {
		v.Fatal(err)
	}
	req.Header.Set("User-Agent", "test")
	req.Header.Set("Accept-Encoding", "identity")
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		v.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		v.Fatal(err)
	}
	return answer{resp, string(b)}
}

// get wants a path to answer with status, and decodes its JSON into into unless that is nil.
func (v *view) get(path string, status int, into any) answer {
	v.Helper()
	a := v.do("GET", path)
	if a.StatusCode != status {
		v.Fatalf("GET %s: %s, want %d\n%s", path, a.Status, status, a.body)
	}
	if into != nil {
		if err := json.Unmarshal([]byte(a.body), into); err != nil {
			v.Fatalf("GET %s: %v\n%s", path, err, a.body)
		}
	}
	return a
}

const (
	webService = `{"apiVersion":"v1","kind":"Service","metadata":{"labels":{"app":"web"},"managedFields":[{}],"name":"web","namespace":"shop","uid":"written"},"spec":{"clusterIP":null,"ports":[{"port":80}]}}`
	kumaWeb    = `{"mesh":"default","name":"web-1","networking":{"address":"10.0.0.1"},"type":"Dataplane"}`
	kongWeb    = `{"connect_timeout":60000,"host":"web.internal","name":"web","port":80,"protocol":"http","routes":[{}],"tags":["a","b"],"url":"http://x"}`
)

// every has a document of each dialect.
func every() []snapshot.Document {
	return []snapshot.Document{
		doc("kong", "Service", "", "web", kongWeb),
		doc("kubernetes", "EndpointSlice", "shop", "web-x", `{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"name":"web-x","namespace":"shop"},"endpoints":[]}`),
		doc("kubernetes", "Endpoints", "shop", "web", `{"apiVersion":"v1","kind":"Endpoints","metadata":{"name":"web","namespace":"shop"},"subsets":[]}`),
		doc("kubernetes", "Service", "shop", "web", webService),
		doc("kuma", "Dataplane", "default", "web-1", kumaWeb),
		doc("kuma", "ExternalService", "default", "db", `{"mesh":"default","name":"db","type":"ExternalService"}`),
		doc("kuma", "TrafficRoute", "default", "r", `{"mesh":"default","name":"r","type":"TrafficRoute"}`),
		doc("kuma", "Zone", "", "east", `{"name":"east","type":"Zone"}`),
	}
}

var readable = []string{
	"/", "/healthz", "/readyz", "/metrics",
	"/meshc/snapshot", "/meshc/diagnostics", "/meshc/reloads", "/meshc/xds/nodes", "/meshc/plugins", "/meshc/identities", "/meshc/health",
	"/api/v1/services", "/api/v1/namespaces/shop/services", "/api/v1/namespaces/shop/services/web", "/api/v1/namespaces/shop/services/web/status",
	"/api/v1/endpoints", "/api/v1/namespaces/shop/endpoints", "/api/v1/namespaces/shop/endpoints/web",
	"/apis/discovery.k8s.io/v1/endpointslices", "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices", "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/web-x",
	"/meshes", "/meshes/default", "/dataplanes", "/meshes/default/dataplanes", "/meshes/default/dataplanes/web-1",
	"/external-services", "/meshes/default/external-services", "/meshes/default/external-services/db",
	"/traffic-routes", "/meshes/default/traffic-routes", "/meshes/default/traffic-routes/r", "/zones", "/zones/east",
	"/services", "/services/web",
}

func TestEveryRouteAnswers(t *testing.T) {
	v := start(t, every()...)
	v.board.AddReload(status.Reload{OK: true})
	for _, path := range readable {
		v.get(path, 200, nil)
		if path != "/" {
			v.get(path+"/", 200, nil)
		}
	}
}

func TestUnknownPaths(t *testing.T) {
	v := start(t, every()...)
	for path, want := range map[string]string{
		"/nope":                             "404 page not found\n",
		"/meshc":                            "404 page not found\n",
		"/meshc/nope":                       "404 page not found\n",
		"/healthz/x":                        "404 page not found\n",
		"/api/v1":                           "could not find the requested resource",
		"/api/v1/namespaces/shop":           "could not find the requested resource",
		"/api/v1/namespaces/shop/pods":      "could not find the requested resource",
		"/apis/discovery.k8s.io/v1/nope":    "could not find the requested resource",
		"/apis/apps/v1/deployments":         "404 page not found\n",
		"/api/v1/namespaces/a/services/b/c": "could not find the requested resource",
		"/api/v1/namespaces/x/services/web": `services \"web\" not found`,
		"/api/v1/namespaces/shop%2Fservices/services/web":               "not found",
		"/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/nope": `endpointslices.discovery.k8s.io \"nope\" not found`,
		"//services":                 "404: Page Not Found",
		"/meshes/default/nope":       "404: Page Not Found",
		"/meshes/default/meshes":     "404: Page Not Found",
		"/meshes//dataplanes":        "404: Page Not Found",
		"/dataplanes/web-1":          "404: Page Not Found",
		"/meshes/nope":               `"title": "Could not retrieve a resource"`,
		"/zones/nope":                `"details": "Not found"`,
		"/services/nope":             `{"message":"Not found"}`,
		"/services/web/routes":       `{"message":"Not found"}`,
		"/meshes/a/dataplanes/b/c":   "404: Page Not Found",
		"/meshes/x/dataplanes/web-1": `"details": "Not found"`,
	} {
		if a := v.get(path, 404, nil); !strings.Contains(a.body, want) {
			t.Errorf("GET %s: %q, want %q", path, a.body, want)
		}
	}
}

func TestNothingCanBeWritten(t *testing.T) {
	v := start(t, every()...)
	for _, path := range readable {
		want, contentType := "405", "text/plain; charset=utf-8"
		switch {
		case strings.HasPrefix(path, "/api"):
			want, contentType = `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"the server does not allow this method on the requested resource","reason":"MethodNotAllowed","details":{},"code":405}`, "application/json"
		case strings.HasPrefix(path, "/services"):
			want, contentType = `{"message":"Method not allowed"}`, "application/json; charset=utf-8"
		}
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"} {
			a := v.do(method, path)
			if a.StatusCode != 405 || !strings.Contains(a.body, want) || a.Header.Get("Content-Type") != contentType {
				t.Errorf("%s %s: %s %s %s", method, path, a.Status, a.Header.Get("Content-Type"), a.body)
			}
		}
	}
}

func TestHead(t *testing.T) {
	v := start(t, every()...)
	v.board.AddReload(status.Reload{OK: true})
	for _, path := range readable {
		want := 200
		if path == "/" || strings.HasPrefix(path, "/api") || strings.HasPrefix(path, "/meshes") ||
			strings.HasPrefix(path, "/dataplanes") || strings.HasPrefix(path, "/external") || strings.HasPrefix(path, "/traffic") || strings.HasPrefix(path, "/zones") {
			want = 405 // as the API server and Kuma do
		}
		if a := v.do("HEAD", path); a.StatusCode != want || a.body != "" {
			t.Errorf("HEAD %s: %s %q, want %d and no body", path, a.Status, a.body, want)
		}
	}
}

func TestBeforeTheFirstSnapshot(t *testing.T) {
	v := start(t)
	for path, want := range map[string]int{
		"/healthz": 200, "/meshc/diagnostics": 200, "/meshc/reloads": 200, "/meshc/xds/nodes": 200, "/meshc/identities": 200, "/metrics": 200, "/": 200,
		"/readyz": 503, "/meshc/snapshot": 503, "/meshc/plugins": 503, "/api/v1/services": 503, "/meshes": 503, "/services": 503,
	} {
		v.get(path, want, nil)
	}
	v.board.AddReload(status.Reload{OK: true})
	v.get("/readyz", 503, nil) // the Board says so, but this view has none yet
	v.commit(sealed(every()...))
	v.get("/readyz", 200, nil)
}

func TestReadyNeedsTheBoard(t *testing.T) {
	v := start(t, every()...)
	v.get("/readyz", 503, nil) // committed here, but not everywhere
	v.board.AddReload(status.Reload{OK: false})
	v.get("/readyz", 503, nil)
	v.board.AddReload(status.Reload{OK: true})
	v.get("/readyz", 200, nil)
}

func TestAbortedPreparationIsNotSeen(t *testing.T) {
	v := start(t, every()...)
	_, abort, err := v.rest.Prepare(context.Background(), sealed(doc("kong", "Service", "", "other", `{}`)))
	if err != nil {
		t.Fatal(err)
	}
	abort()
	v.get("/services/web", 200, nil)
	v.get("/services/other", 404, nil)
}

func TestPrepareRefusesWhatIsNotJSON(t *testing.T) {
	v := start(t)
	for _, body := range []string{"", "{", "[]", "null", "{}{}"} {
		if _, _, err := v.rest.Prepare(context.Background(), sealed(doc("kong", "Service", "", "web", body))); err == nil || !strings.Contains(err.Error(), "kong/Service//web") {
			t.Errorf("%q: error %v", body, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := v.rest.Prepare(ctx, sealed(every()...)); err != context.Canceled {
		t.Errorf("with a context that has ended: %v", err)
	}
}

func TestHostNames(t *testing.T) {
	v := start(t, every()...)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(v.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]int{
		"127.0.0.1:" + port: 200, "127.0.0.1": 200, "localhost:" + port: 200, "LOCALHOST": 200, "a.localhost": 200, "localhost.": 200, "[::1]:" + port: 200, "[::1]": 200, "192.0.2.1": 200,
		"evil.example": 403, "evil.example:" + port: 403, "localhost.evil.example": 403, "127.0.0.1.evil.example": 403, "notlocalhost": 403,
	} {
		if a := v.do("GET", "/meshc/snapshot", "Host", host); a.StatusCode != want {
			t.Errorf("Host %s: %s, want %d", host, a.Status, want)
		}
	}
}

func TestNoOtherSiteMayRead(t *testing.T) {
	v := start(t, every()...)
	for _, path := range readable {
		a := v.do("GET", path, "Origin", "http://evil.example")
		for name := range a.Header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("GET %s: %s", path, name)
			}
		}
		if a.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("GET %s: a browser may guess the content's type", path)
		}
	}
}

func FuzzPathAndQuery(f *testing.F) {
	for _, path := range readable {
		f.Add(path, "size=3&offset=1&limit=1&pretty=1&tags=a,b")
	}
	f.Add("/api/v1//services/%2F%00/..", "size=-1&offset=%ff&limit=&watch")
	s := rest.New(rest.Config{Board: &status.Board{}, Log: slog.New(slog.DiscardHandler)})
	commit, _, err := s.Prepare(context.Background(), sealed(every()...))
	if err != nil {
		f.Fatal(err)
	}
	commit()
	h := s.Handler()
	f.Fuzz(func(t *testing.T, path, query string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.Path, r.URL.RawPath, r.URL.RawQuery = path, path, query
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 500 && w.Code != 503 {
			t.Errorf("%q?%q: %d", path, query, w.Code)
		}
		if strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%q?%q: not JSON: %s", path, query, w.Body)
		}
	})
}

// FuzzDocument feeds Prepare with what a snapshot file may hold.
func FuzzDocument(f *testing.F) {
	for _, d := range every() {
		f.Add(d.Name, d.JSON)
	}
	f.Add("\x00\"\xff", `{"metadata":null,"tags":null,"id":null,"a":[null,{"b":null}],"é\"":"null"}`)
	f.Fuzz(func(t *testing.T, name, body string) {
		for _, d := range every() {
			d.Name, d.JSON = name, body
			s := rest.New(rest.Config{Board: &status.Board{}, Log: slog.New(slog.DiscardHandler)})
			commit, _, err := s.Prepare(context.Background(), sealed(d))
			if err != nil {
				continue
			}
			commit()
			for _, path := range []string{"/api/v1/services", "/api/v1/endpoints", "/apis/discovery.k8s.io/v1/endpointslices", "/dataplanes", "/services", "/meshc/snapshot"} {
				w := httptest.NewRecorder()
				s.Handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
				if w.Code != 200 || !json.Valid(w.Body.Bytes()) {
					t.Errorf("%s %s: %d %s", d.Kind, path, w.Code, w.Body)
				}
			}
		}
	})
}
