//go:build linux

package xds_test

import (
	"bufio"
	"strings"
	"testing"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/status"
)

// Clusters that share endpoints or secrets come and go, and Envoy never waits
// in vain for what it has already.
func TestEnvoyNeverWaitsForWhatIsShared(t *testing.T) {
	bothProtocols(t, func(t *testing.T, api string) {
		p := meshPorts{freePort(t), freePort(t), freePort(t)}
		app := backend(t, false)
		r := start(t, withIdentity)
		authorities := []snapshot.Authority{authority("one", true)}
		publish := func(target string, timeout snapshot.Duration) {
			t.Helper()
			s := meshed(p, app, app, authorities, admit("web", "spiffe://default/web"))
			var clusters []snapshot.Cluster
			for _, c := range s.Clusters.All() {
				clusters = append(clusters, c)
				if c.Name == "web" {
					c.Name, c.Endpoints, c.ConnectTimeout, c.Digest = "web~timeout=t", "web", timeout, snapshot.Digest{}
					clusters = append(clusters, c)
				}
			}
			s.Clusters = snapshot.ListOf(clusters...)
			var proxies []snapshot.Proxy
			for _, p := range s.Proxies.All() {
				var listeners []snapshot.Listener
				for _, l := range p.Listeners.All() {
					if l.Direction == snapshot.Outbound {
						l.VirtualHosts, l.Digest = snapshot.ListOf(host("web", []string{"*"}, "/", target)), snapshot.Digest{}
					}
					listeners = append(listeners, l)
				}
				p.Listeners, p.Digest = snapshot.ListOf(listeners...), snapshot.Digest{}
				proxies = append(proxies, p)
			}
			s.Proxies = snapshot.ListOf(proxies...)
			s = snapshot.Seal(s)
			r.publish(s)
			r.eventually("has it all", func(n status.Node) bool { return n.Acked == s.Version })
		}
		s := meshed(p, app, app, authorities, admit("web", "spiffe://default/web"))
		r.publish(s)
		e := r.envoy("default.web", api)
		for _, step := range []struct {
			target  string
			timeout snapshot.Duration
		}{{"web", second}, {"web~timeout=t", second}, {"web~timeout=t", 2 * second}, {"web", second}} {
			publish(step.target, step.timeout)
			if got, body := fetch("GET", url(p.out, "/")); got != "-" {
				t.Fatalf("with %+v: %s %s", step, got, body)
			}
		}
		_, stats := fetch("GET", "http://"+e.admin+"/stats?filter=init_fetch_timeout")
		waits := 0
		for lines := bufio.NewScanner(strings.NewReader(stats)); lines.Scan(); waits++ {
			if !strings.HasSuffix(lines.Text(), ": 0") {
				t.Error("Envoy waited in vain:", lines.Text())
			}
		}
		if waits == 0 {
			t.Error("no statistics of waits:", stats)
		}
	})
}
