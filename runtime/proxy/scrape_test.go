package proxy

import (
	"strings"
	"testing"

	"github.com/meshc/meshc/compiler/snapshot"
)

// A listener for metrics shows those of its proxy and of no other, as text that
// Prometheus reads.
func TestScrape(t *testing.T) {
	w := &world{}
	w.cluster("a", named(t, "a"))
	w.cluster("b", named(t, "b"))
	w.host("x", "a")
	shown := snapshot.VirtualHost{Name: "m", Domains: snapshot.ListOf("*"), Routes: snapshot.ListOf(snapshot.Route{
		Name: "metrics", PathExact: "/m", Methods: snapshot.ListOf("GET"), Answer: snapshot.Answer{Status: 200, Metrics: true},
	})}
	app := snapshot.VirtualHost{Name: "app", Domains: snapshot.ListOf("*"), Routes: snapshot.ListOf(snapshot.Route{
		Name: "app", PathPrefix: "/", Targets: targetList([]string{"b"}),
	})}
	w.dataplane = []snapshot.Listener{
		{Name: "app", Direction: snapshot.Inbound, Protocol: snapshot.HTTP, Address: "127.0.0.1", Service: "shop", VirtualHosts: snapshot.ListOf(app)},
		{Name: "metrics", Direction: snapshot.Inbound, Protocol: snapshot.HTTP, Address: "127.0.0.1", VirtualHosts: snapshot.ListOf(shown)},
	}
	p := run(t, w)
	get(t, p, "x", "/")
	c := dial(t, p.address(t, "app"))
	c.send("GET / HTTP/1.1\nHost: shop\n\n")
	c.response("GET")
	scraper := dial(t, p.address(t, "metrics"))
	var text string
	until(t, "the request is counted", func() bool {
		scraper.send("GET /m?name=x HTTP/1.1\nHost: m\n\n")
		r, body := scraper.response("GET")
		if kind := r.Header.Get("Content-Type"); r.StatusCode != 200 || !strings.HasPrefix(kind, "text/plain; version=0.0.4") {
			t.Fatalf("%s, Content-Type %q", r.Status, kind)
		}
		text = body
		return strings.Contains(text, `meshc_proxy_requests_total{code="200",listener="app",service="shop"} 1`+"\n")
	})
	for line := range strings.Lines(text) {
		if strings.Contains(line, `listener="gateway"`) || strings.Contains(line, `cluster="a"`) {
			t.Errorf("of another proxy: %s", line)
		}
	}
	if !strings.Contains(text, `meshc_proxy_upstream_connects_total{cluster="b"} 1`) {
		t.Errorf("no metrics of its cluster in\n%s", text)
	}
	scraper.send("GET /other HTTP/1.1\nHost: m\n\n")
	if r, _ := scraper.response("GET"); r.StatusCode != 404 {
		t.Errorf("another path: %s", r.Status)
	}
}
