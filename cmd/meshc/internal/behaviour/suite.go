//go:build linux

package behaviour

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// GatewayAddress is where both data planes open their gateway listener; nobody
// else is in their network.
const GatewayAddress = "127.0.0.1:8080"

// firstAdmin is the admin port of a case's first Envoy.
const firstAdmin = 9901

// Plane is one way to serve a case.
type Plane struct {
	// Name is "proxy" or "envoy", as allowed.txt has it.
	Name string
	// Start serves dir for the nodes in a network, with flags of meshc serve and
	// assignments in its environment, returns once traffic can come, and says
	// where their metrics are.
	Start func(t testing.TB, n *Network, dir string, nodes, flags []string, env ...string) metrics
}

// metrics is where the metrics of Wasm plugins are shown.
type metrics struct {
	network *Network
	urls    []string // in Prometheus's text format
	prefix  string   // of their names
	rest    string   // address of meshc's own views
}

// sum adds a metric up over all places; there is false where none shows it.
func (m metrics) sum(name string) (total float64, there bool) {
	for _, url := range m.urls {
		for line := range strings.Lines(m.network.Get(url)) {
			shown, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			shown, _, _ = strings.Cut(shown, "{")
			if n, err := strconv.ParseFloat(value, 64); err == nil && shown == m.prefix+name {
				total, there = total+n, true
			}
		}
	}
	return total, there
}

// Proxy is the built-in proxy.
func Proxy() Plane {
	return Plane{"proxy", func(t testing.TB, n *Network, dir string, nodes, flags []string, env ...string) metrics {
		t.Helper()
		flags = append([]string{"--proxy-addr", GatewayAddress}, flags...)
		for _, node := range nodes {
			flags = append(flags, "--dataplane", node)
		}
		m := n.Serve(t, dir, env, flags...)
		return metrics{n, []string{"http://" + m.REST + "/metrics"}, "wasmcustom_", m.REST}
	}}
}

// RealEnvoy is Envoy configured by meshc serve; api as in StartEnvoy.
func RealEnvoy(api string) Plane {
	return Plane{"envoy", func(t testing.TB, n *Network, dir string, nodes, flags []string, env ...string) metrics {
		t.Helper()
		m := n.Serve(t, dir, env, append([]string{"--no-proxy", "--proxy-addr", GatewayAddress}, flags...)...)
		shown := metrics{network: n, rest: m.REST} // Envoy leaves out the prefix in this format
		for i, node := range nodes {
			e := n.StartEnvoy(t, node, m.XDS, api, firstAdmin+i, drainTime(flags)...)
			shown.urls = append(shown.urls, "http://"+e.Admin+"/stats/prometheus")
		}
		return shown
	}}
}

// drainTime is Envoy's flag for what --drain-timeout says to the built-in proxy.
func drainTime(flags []string) []string {
	for i, f := range flags[:max(0, len(flags)-1)] {
		if d, err := time.ParseDuration(flags[i+1]); f == "--drain-timeout" && err == nil {
			return []string{"--drain-time-s", strconv.Itoa(int(d.Seconds()))}
		}
	}
	return nil
}

// Run carries the case out on plane, in a network of its own.
func (c *Case) Run(t *testing.T, plane Plane) {
	rules, err := RulesFor(plane.Name)
	if err != nil {
		t.Fatal(err)
	}
	network := NewNetwork(t)
	certs, err := newCertificates(t.TempDir(), c.certs)
	if err != nil {
		t.Fatal(err)
	}
	backends := map[string]*Backend{}
	for _, d := range c.backends {
		b, err := network.startBackend(d, certs, rules)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		backends[d.name] = b
	}
	var known *names
	if c.names != "" {
		if known, err = network.startNames(t, c.names); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	logs := t.TempDir()
	env, err := c.assignments(certs)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.writeTree(dir, logs, certs); err != nil {
		t.Fatal(err)
	}
	run := transcript{
		c: c, plane: plane.Name, dir: dir, certs: certs, logs: logs, network: network, gateway: GatewayAddress, backends: backends, names: known, rules: rules,
		metrics: plane.Start(t, network, dir, c.Nodes, c.flags, env...),
		report:  func(s step, problem string) { t.Errorf("%s: %s", c.where(s), problem) },
	}
	if os.Getenv("MESHC_UPDATE") == plane.Name {
		run.update = c.update
		defer func() {
			if err := c.save(); err != nil {
				t.Error(err)
			}
		}()
	}
	run.run()
}

// where names a step: the how-manieth section of the archive, and its name.
func (c *Case) where(s step) string {
	return fmt.Sprintf("%s: section %d, %q", c.path, s.section+1, c.archive.Files[s.section].Name)
}
