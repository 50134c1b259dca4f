//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meshc/meshc/cmd/meshc/internal/behaviour"
	"github.com/meshc/meshc/runtime/status"
)

// How much TestReloadUnderLoad does on each data plane.
const (
	reloads           = 20
	requestsPerReload = 400
)

// client is a dataplane that reaches the HTTP service web and the TCP service
// db; each generation of them is one file beside this one.
const clientDataplane = `
type: Dataplane
mesh: default
name: client
networking:
  address: 127.0.3.9
  inbound:
  - {port: 8001, servicePort: 9001, tags: {kuma.io/service: client}}
  outbound:
  - {port: 10001, tags: {kuma.io/service: web}}
  - {port: 10002, tags: {kuma.io/service: db}}
`

// generation routes both services, and a path of the gateway, to the endpoints
// of generation N and has no others: new clusters, changed routes and removed
// clusters at once.
func generation(n int) string {
	return servicesOf(n, map[string]string{"web": "http", "db": "tcp"}) + fmt.Sprintf(`
---
_format_version: "3.0"
services:
- name: kong-g%[1]d
  url: http://10.9.%[1]d.1:%[2]d
  routes:
  - {name: moved, hosts: [web], paths: [/moved]} # meshc:ignore MC0406 on purpose
`, n, generationPorts["http"])
}

// servicesOf are the endpoints of generation n of services, named with their
// protocols, and routes to these alone.
func servicesOf(n int, services map[string]string) string {
	var b strings.Builder
	for service, protocol := range services {
		fmt.Fprintf(&b, `
---
type: Dataplane
mesh: default
name: %[1]s-g%[3]d
networking:
  address: 10.9.%[3]d.1
  inbound:
  - {port: %[4]d, servicePort: 9001, tags: {kuma.io/service: %[1]s, kuma.io/protocol: %[2]s, version: g%[3]d}}
---
type: TrafficRoute
mesh: default
name: %[1]s
sources: [{match: {kuma.io/service: '*'}}]
destinations: [{match: {kuma.io/service: %[1]s}}]
conf:
  split:
  - {weight: 100, destination: {kuma.io/service: %[1]s, version: g%[3]d}}
`, service, protocol, n, generationPorts[protocol])
	}
	return b.String()
}

var generationPorts = map[string]int{"http": 8080, "tcp": 8081, "http2": 8082, "grpc": 8083}

// reloading is a meshc under load whose input changes.
type reloading struct {
	t       *testing.T
	network *behaviour.Network
	dir     string
	load    *behaviour.Load
	meshc   *behaviour.Meshc
	serve   []*behaviour.Backend // of the newest generation
	seen    int                  // generations that served at least one request
}

// backends starts the servers of generation n.
func (r *reloading) backends(n int) (started []*behaviour.Backend) {
	r.t.Helper()
	for _, kind := range []string{"http", "tcp"} {
		b, err := r.network.StartBackend(fmt.Sprintf("g%d", n), fmt.Sprintf("10.9.%d.1:%d", n, generationPorts[kind]), kind, nil)
		if err != nil {
			r.t.Fatal(err)
		}
		b.Quiet()
		started = append(started, b)
	}
	return started
}

// write replaces a file of the input by renaming over it.
func (r *reloading) write(name, text string) {
	r.t.Helper()
	tmp := filepath.Join(r.dir, "."+name)
	if err := os.WriteFile(tmp, []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(tmp, filepath.Join(r.dir, name)); err != nil {
		r.t.Fatal(err)
	}
}

// startReloading serves generation 0 under load, by a dataplane and the gateway,
// in a network of its own. The test is one that runs beside others.
func startReloading(t *testing.T, plane string, env ...string) *reloading {
	t.Helper()
	t.Parallel()
	r := &reloading{t: t, network: behaviour.NewNetwork(t), dir: filepath.Join(t.TempDir(), "input")}
	if err := os.Mkdir(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r.write("client.yaml", clientDataplane)
	r.write("generation.yaml", generation(0))
	r.serve = r.backends(0)
	t.Cleanup(func() { r.retire(r.serve) })
	if plane == "proxy" {
		r.meshc = r.network.Serve(t, r.dir, env, "--dataplane", "default.client", "--dataplane", "gateway", "--proxy-addr", behaviour.GatewayAddress)
	} else {
		r.meshc = r.network.Serve(t, r.dir, env, "--no-proxy", "--proxy-addr", behaviour.GatewayAddress)
		r.network.StartEnvoy(t, "default.client", r.meshc.XDS, "DELTA_GRPC", 9901)
		r.network.StartEnvoy(t, "gateway", r.meshc.XDS, "DELTA_GRPC", 9902)
	}
	r.load = r.network.StartLoad("127.0.0.1:10002", "127.0.0.1:10001", behaviour.GatewayAddress, behaviour.GatewayAddress+"/moved")
	t.Cleanup(r.load.Stop)
	r.await("g0")
	return r
}

func (r *reloading) await(backend string) {
	r.t.Helper()
	if err := r.load.AwaitBackend(backend); err != nil {
		r.t.Fatal(err)
	}
}

func (r *reloading) retire(old []*behaviour.Backend) {
	served := 0
	for _, b := range old {
		served += b.Served()
		b.Close()
	}
	if served > 0 {
		r.seen++
	}
}

// reload moves both routes to generation n and, once traffic has moved, ends
// the servers of the one before: whoever still goes there is lost.
func (r *reloading) reload(n int) {
	r.t.Helper()
	old := r.serve
	r.serve = r.backends(n)
	r.write("generation.yaml", generation(n))
	r.await(fmt.Sprintf("g%d", n))
	r.retire(old)
}

func (r *reloading) noneLost() {
	r.t.Helper()
	if lost := r.load.Lost(); len(lost) > 0 {
		r.t.Fatalf("%d of %d requests were lost:\n%s", len(lost), r.load.Total(), strings.Join(lost[:min(len(lost), 20)], "\n"))
	}
}

// awaitReload waits for an attempt to reload after those already known, and
// returns it.
func (r *reloading) awaitReload(known int) status.Reload {
	r.t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if all := r.reloads(); len(all) > known {
			return all[len(all)-1]
		}
	}
	r.t.Fatal("no reload was attempted")
	return status.Reload{}
}

func (r *reloading) reloads() []status.Reload {
	r.t.Helper()
	var list []status.Reload
	r.meshc.Get(r.t, "/meshc/reloads", &list)
	return list
}

// TestReloadUnderLoad loses no request while routes move and endpoints go away,
// nor while the input is broken or gone.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	for _, plane := range []string{"proxy", "envoy"} {
		t.Run(plane, func(t *testing.T) {
			r := startReloading(t, plane)
			for n := 1; n <= reloads; n++ {
				if err := r.load.AwaitTotal(int64(n * requestsPerReload)); err != nil {
					t.Fatal(err)
				}
				r.reload(n)
				r.noneLost()
			}
			if r.seen < reloads {
				t.Errorf("only %d generations of backends were reached", r.seen)
			}
			r.broken()
			r.vanished()
			t.Logf("%d requests, %d generations, none lost", r.load.Total(), r.seen+1)
		})
	}
}

// steady wants traffic to stay where it is for a while.
func (r *reloading) steady() {
	r.t.Helper()
	if err := r.load.AwaitTotal(r.load.Total() + 200); err != nil {
		r.t.Fatal(err)
	}
	r.await(fmt.Sprintf("g%d", reloads))
	r.noneLost()
}

// broken writes a file that is wrong: only the log and REST change.
func (r *reloading) broken() {
	r.t.Helper()
	before := r.reloads()
	serving := before[len(before)-1].Version
	r.write("generation.yaml", generation(reloads+1)+"\n---\ntype: TrafficRoute\nname: [\n")
	attempt := r.awaitReload(len(before))
	if attempt.OK || attempt.Version != serving {
		r.t.Errorf("a broken file was put into effect: %+v", attempt)
	}
	r.steady()
	var report struct {
		Diagnostics []any `json:"diagnostics"`
	}
	r.meshc.Get(r.t, "/meshc/diagnostics", &report)
	if len(report.Diagnostics) == 0 {
		r.t.Error("/meshc/diagnostics says nothing of the broken file")
	}
	r.write("generation.yaml", generation(reloads))
	r.awaitReload(len(before) + 1)
	r.steady()
}

// vanished takes the whole input away, at once, and puts another in its place, at once:
// what is removed or made file by file is, half way, an input that is whole and says
// something else.
func (r *reloading) vanished() {
	r.t.Helper()
	before := len(r.reloads())
	if err := os.Rename(r.dir, filepath.Join(r.t.TempDir(), "away")); err != nil {
		r.t.Fatal(err)
	}
	if attempt := r.awaitReload(before); attempt.OK {
		r.t.Errorf("an input that is gone was put into effect: %+v", attempt)
	}
	r.steady()
	input, old := r.dir, r.serve
	r.dir = r.t.TempDir()
	r.serve = r.backends(reloads + 1)
	r.write("client.yaml", clientDataplane)
	r.write("generation.yaml", generation(reloads+1))
	if err := os.Rename(r.dir, input); err != nil {
		r.t.Fatal(err)
	}
	r.dir = input
	r.await(fmt.Sprintf("g%d", reloads+1))
	r.retire(old)
	r.noneLost()
}

// TestReloadNeedsBarriers shows that the test above can fail: without the waits
// between what is made and what is removed, Envoy loses requests.
func TestReloadNeedsBarriers(t *testing.T) {
	r := startReloading(t, "envoy", "MESHC_XDS_UNORDERED=1")
	for n := 1; n <= 2*reloads; n++ {
		if err := r.load.AwaitTotal(r.load.Total() + requestsPerReload/2); err != nil {
			t.Fatal(err)
		}
		r.reload(n)
		if lost := r.load.Lost(); len(lost) > 0 {
			t.Logf("lost after %d reloads: %s", n, lost[0])
			return
		}
	}
	t.Errorf("no request was lost in %d reloads: the barriers are not what keeps them", 2*reloads)
}
