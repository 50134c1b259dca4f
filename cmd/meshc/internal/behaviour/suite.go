//go:build linux

package behaviour

import (
	"fmt"
	"os"
	"testing"
)

// GatewayAddress is where both data planes open their gateway listener; nobody
// else is in the namespace.
const GatewayAddress = "127.0.0.1:8080"

// firstAdmin is the admin port of a case's first Envoy.
const firstAdmin = 9901

// Plane is one way to serve a case.
type Plane struct {
	// Name is "proxy" or "envoy", as allowed.txt has it.
	Name string
	// Start serves dir for the nodes and returns once traffic can come.
	Start func(t testing.TB, dir string, nodes []string)
}

// Proxy is the built-in proxy.
func Proxy() Plane {
	return Plane{"proxy", func(t testing.TB, dir string, nodes []string) {
		t.Helper()
		flags := []string{"--proxy-addr", GatewayAddress}
		for _, n := range nodes {
			flags = append(flags, "--dataplane", n)
		}
		Serve(t, dir, nil, flags...)
	}}
}

// RealEnvoy is Envoy configured by meshc serve; api as in StartEnvoy.
func RealEnvoy(api string) Plane {
	return Plane{"envoy", func(t testing.TB, dir string, nodes []string) {
		t.Helper()
		m := Serve(t, dir, nil, "--no-proxy", "--proxy-addr", GatewayAddress)
		for i, n := range nodes {
			StartEnvoy(t, n, m.XDS, api, firstAdmin+i)
		}
	}}
}

// Run carries the case out on plane.
func (c *Case) Run(t *testing.T, plane Plane) {
	rules, err := RulesFor(plane.Name)
	if err != nil {
		t.Fatal(err)
	}
	backends := map[string]*Backend{}
	for _, d := range c.backends {
		b, err := StartBackend(d.name, d.address, d.kind, rules)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		backends[d.name] = b
	}
	dir := t.TempDir()
	if err := c.WriteTree(dir); err != nil {
		t.Fatal(err)
	}
	plane.Start(t, dir, c.Nodes)
	run := transcript{
		c: c, gateway: GatewayAddress, backends: backends, rules: rules,
		report: func(s step, problem string) { t.Errorf("%s: %s", c.where(s), problem) },
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
