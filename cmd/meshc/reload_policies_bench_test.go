package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/meshc/meshc/runtime/identity"
	"github.com/meshc/meshc/runtime/proxy"
	"github.com/meshc/meshc/runtime/publish"
	"github.com/meshc/meshc/runtime/rest"
	"github.com/meshc/meshc/runtime/status"
	"github.com/meshc/meshc/runtime/xds"
)

// BenchmarkReloadPolicies changes one document in a mesh with mTLS, in which
// each service has a dataplane with three outbounds and 1,000 policies apply,
// and follows the change to every consumer: the built-in proxy, which is the
// gateway, the xDS server, which serves all dataplanes, and REST. Each step's
// share is reported in milliseconds of CPU an operation.
func BenchmarkReloadPolicies(b *testing.B) {
	for _, services := range []int{1_000, 10_000} {
		b.Run(fmt.Sprintf("services=%d", services), func(b *testing.B) {
			w := newReloadWorld(b, services)
			for _, name := range []string{"Timeout", "Retry", "TrafficLog", "FaultInjection", "TrafficPermission"} {
				b.Run(name, func(b *testing.B) { w.measure(b, func(n int) { w.policy(b, name, 3, n%2+1) }) })
			}
			b.Run("Dataplane", func(b *testing.B) { w.measure(b, func(n int) { w.dataplane(b, 100, n%2*20_000) }) })
		})
	}
}

// reloadWorld is a folder and all that serves it.
type reloadWorld struct {
	dir       string
	services  int
	in        *documents
	publisher *publish.Publisher
}

func newReloadWorld(b *testing.B, services int) *reloadWorld {
	w := &reloadWorld{dir: b.TempDir(), services: services}
	w.write(b, "mesh.yaml", "{type: Mesh, name: default, mtls: {enabledBackend: ca, backends: [{name: ca, type: builtin}]}, logging: {backends: [{name: b1, type: file, conf: {path: "+b.TempDir()+"/1}}, {name: b2, type: file, conf: {path: "+b.TempDir()+"/2}}]}}\n")
	for i := range services {
		w.dataplane(b, i, i)
	}
	const policies = 1_000
	for name := range reloadPolicies {
		for i := range policies / len(reloadPolicies) {
			w.policy(b, name, i, 1)
		}
	}
	ctx, cancel := context.WithCancel(b.Context())
	var board status.Board
	log := slog.New(slog.DiscardHandler)
	identities := identity.New(identity.Config{Log: log})
	gateway := proxy.New(proxy.Config{
		Gateway: "127.0.0.1:0", Serve: func(string) bool { return false }, Identities: identities, Log: log,
	})
	control := xds.New(xds.Config{GatewayAddr: defaultEnvoyGateway, Filter: envoyFilter, Identities: identities, Board: &board, Log: log})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go control.Serve(listener)
	b.Cleanup(func() {
		gateway.Shutdown(ctx)
		control.Shutdown(ctx)
		cancel()
	})
	w.publisher = publish.New(publish.Source(identities), gateway, control, rest.New(rest.Config{Board: &board, Log: log}))
	w.in = newDocuments([]string{w.dir}, nil, toServe)
	w.reload(b)
	return w
}

// reloadPolicies are the settings of policies; an edit changes the number.
var reloadPolicies = map[string]string{
	"Timeout":           "conf: {connectTimeout: %ds}",
	"Retry":             "conf: {http: {perTryTimeout: %ds}}",
	"HealthCheck":       "conf: {interval: %ds, timeout: 1s, unhealthyThreshold: 3, healthyThreshold: 1}",
	"CircuitBreaker":    "conf: {interval: %ds, detectors: {totalErrors: {}}}",
	"TrafficRoute":      "conf: {split: [{weight: %d, destination: {kuma.io/service: '*'}}]}",
	"TrafficLog":        "conf: {backend: b%d}",
	"FaultInjection":    "conf: {delay: {percentage: %d, value: 1s}}",
	"TrafficPermission": "# %d",
}

// policy writes policy i of a kind, which is for one service and one caller.
func (w *reloadWorld) policy(b *testing.B, kind string, i, number int) {
	from := i * w.services / 125
	protocol := ""
	if kind == "FaultInjection" {
		protocol = ", kuma.io/protocol: http"
	}
	w.write(b, fmt.Sprintf("%s-%d.yaml", kind, i), fmt.Sprintf(
		"type: %s\nname: p%d\nsources: [{match: {kuma.io/service: s%d}}]\ndestinations: [{match: {kuma.io/service: s%d%s}}]\n"+reloadPolicies[kind]+"\n",
		kind, i, from, (from+1)%w.services, protocol, number))
}

// dataplane writes that of service i, at an address.
func (w *reloadWorld) dataplane(b *testing.B, i, address int) {
	text := fmt.Sprintf("type: Dataplane\nname: d%d\nnetworking:\n  address: 10.%d.%d.%d\n  inbound:\n  - {port: 8080, servicePort: 80, tags: {kuma.io/service: s%d, kuma.io/protocol: http}}\n  outbound:\n",
		i, 1+address/62500, address/250%250, address%250, i)
	for k := range 3 {
		text += fmt.Sprintf("  - {port: %d, tags: {kuma.io/service: s%d}}\n", 20000+k, (i+k*k+1)%w.services)
	}
	w.write(b, fmt.Sprintf("d%05d.yaml", i), text)
}

func (w *reloadWorld) write(b *testing.B, name, text string) {
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
}

// reload loads and publishes, and returns what the steps cost in CPU.
func (w *reloadWorld) reload(b *testing.B) map[string]time.Duration {
	before := processTime(b)
	l, err := w.in.load(b.Context())
	if err != nil || l.summary.Errors > 0 {
		b.Fatalf("load: %v, %d errors: %v", err, l.summary.Errors, l.diags[0])
	}
	loaded := processTime(b)
	if err := w.publisher.Publish(b.Context(), l.snapshot); err != nil {
		b.Fatal(err)
	}
	return map[string]time.Duration{"load": loaded - before, "publish": processTime(b) - loaded}
}

func (w *reloadWorld) measure(b *testing.B, edit func(n int)) {
	total := map[string]time.Duration{}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		edit(n)
		for step, d := range w.reload(b) {
			total[step] += d
		}
	}
	for step, d := range total {
		b.ReportMetric(float64(d.Microseconds())/1000/float64(b.N), step+"-cpu-ms/op")
	}
}

// processTime is what the process has used of all processors.
func processTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
