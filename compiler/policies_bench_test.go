package compiler_test

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/meshc/meshc/compiler"
	"github.com/meshc/meshc/schema"
)

// benchmarkWorld is n services of a mesh with mTLS, each with one dataplane that
// calls three others, and 1,000 policies of all kinds that select by service; one
// of each kind is for all.
func benchmarkWorld(n int) map[string]string {
	state := map[string]string{"mesh.yaml": "{type: Mesh, name: default, mtls: {enabledBackend: ca, backends: [{name: ca, type: builtin}]}, logging: {backends: [{name: b1, type: file, conf: {path: /1}}, {name: b2, type: file, conf: {path: /2}}]}}\n"}
	for i := range n {
		state[fmt.Sprintf("d%05d.yaml", i)] = benchmarkDataplane(i, n, "v1", i)
	}
	for i, kind := range benchmarkKinds {
		state["all-"+kind.name+".yaml"] = kind.text("all", "'*'", "'*'", 1)
		for j := range 1000/len(benchmarkKinds) - 1 {
			state[kind.file(j)] = kind.one(j, i, n, 1)
		}
	}
	return state
}

// benchmarkKind is a kind of policy in the benchmark; the number in conf is what an edit changes.
type benchmarkKind struct{ name, conf string }

func (k benchmarkKind) file(j int) string { return fmt.Sprintf("p-%s-%05d.yaml", k.name, j) }

// one is the policy number j of the kind number i, for one service.
func (k benchmarkKind) one(j, i, n, number int) string {
	from := (j*len(benchmarkKinds) + i) * n / 1000
	return k.text(fmt.Sprintf("p%d", j), fmt.Sprintf("s%d", from), fmt.Sprintf("s%d", (from+1)%n), number)
}

func (k benchmarkKind) text(name, from, to string, number int) string {
	protocol := ""
	if k.name == "FaultInjection" {
		protocol = ", kuma.io/protocol: http"
	}
	return fmt.Sprintf("type: %s\nname: %s\nsources: [{match: {kuma.io/service: %s}}]\ndestinations: [{match: {kuma.io/service: %s%s}}]\n%s# %d\n",
		k.name, name, from, to, protocol, strings.ReplaceAll(k.conf, "$", strconv.Itoa(number)), number)
}

var benchmarkKinds = []benchmarkKind{
	{"Timeout", "conf: {connectTimeout: $s}\n"},
	{"Retry", "conf: {http: {perTryTimeout: $s}}\n"},
	{"HealthCheck", "conf: {interval: $s, timeout: 1s, unhealthyThreshold: 3, healthyThreshold: 1}\n"},
	{"CircuitBreaker", "conf: {interval: $s, detectors: {totalErrors: {}}}\n"},
	{"TrafficRoute", "conf: {split: [{weight: $, destination: {kuma.io/service: '*'}}]}\n"},
	{"TrafficLog", "conf: {backend: b$}\n"},
	{"FaultInjection", "conf: {delay: {percentage: $, value: 1s}}\n"},
	{"TrafficPermission", ""},
}

func benchmarkDataplane(i, n int, version string, address int) string {
	text := fmt.Sprintf("type: Dataplane\nname: d%d\nnetworking:\n  address: 10.%d.%d.%d\n  inbound:\n  - {port: 8080, servicePort: 80, tags: {kuma.io/service: s%d, kuma.io/protocol: http, version: %s}}\n  outbound:\n",
		i, 1+address/62500, address/250%250, address%250, i, version)
	for k := range 3 {
		text += fmt.Sprintf("  - {port: %d, tags: {kuma.io/service: s%d}}\n", 20000+k, (i+k*k+1)%n)
	}
	return text
}

// BenchmarkPolicies compiles 1,000 and 10,000 services with 1,000 policies: all
// with nothing known, and again after one document changed: a policy for one
// service, one for all, a dataplane that moved, one that has other tags. kept is
// what the compiler and the snapshot hold afterwards.
func BenchmarkPolicies(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		state := benchmarkWorld(n)
		loader := schema.NewLoader()
		load := func() []*schema.Document { return loader.Load(b.Context(), treeOf(state)).Documents }
		one := load()
		// Two states that differ in one document: a file that was read anew is compiled anew.
		changed := func(name, text string) [2][]*schema.Document {
			before, was := load(), state[name]
			state[name] = text
			after := load()
			state[name] = was
			return [2][]*schema.Document{after, before}
		}
		type variant struct {
			name   string
			states [2][]*schema.Document
		}
		var variants []variant
		for i, k := range benchmarkKinds {
			switch k.name {
			case "Timeout", "TrafficLog", "FaultInjection", "TrafficPermission":
				variants = append(variants, variant{k.name + "-of-one", changed(k.file(3), k.one(3, i, n, 2))})
			}
		}
		variants = append(variants, []variant{
			{"Timeout-of-all", changed("all-Timeout.yaml", benchmarkKinds[0].text("all", "'*'", "'*'", 2))},
			{"moved", changed("d00100.yaml", benchmarkDataplane(100, n, "v1", 20_000))},
			{"tagged", changed("d00100.yaml", benchmarkDataplane(100, n, "v2", 100))},
		}...)
		b.Run(fmt.Sprintf("cold/services=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			before := cpuTime(b)
			for b.Loop() {
				benchmarkCompiler().Compile(one)
			}
			b.ReportMetric(float64(cpuTime(b)-before)/1e6/float64(b.N), "cpu-ms/op")
		})
		b.Run(fmt.Sprintf("kept/services=%d", n), func(b *testing.B) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			c := benchmarkCompiler()
			var r compiler.Result
			for b.Loop() {
				r = c.Compile(one)
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB-kept")
			runtime.KeepAlive(c)
			runtime.KeepAlive(r)
		})
		for _, v := range variants {
			b.Run(fmt.Sprintf("%s/services=%d", v.name, n), func(b *testing.B) {
				c := benchmarkCompiler()
				c.Compile(v.states[1])
				i := 0
				b.ReportAllocs()
				before := cpuTime(b)
				for b.Loop() {
					c.Compile(v.states[i%2])
					i++
				}
				b.ReportMetric(float64(cpuTime(b)-before)/1e6/float64(b.N), "cpu-ms/op")
			})
		}
	}
}

func benchmarkCompiler() *compiler.Compiler {
	c := compiler.New()
	c.Kinds = testKinds()
	return c
}

// cpuTime is what the process has used of all processors, in nanoseconds: it
// says something on a busy machine, too.
func cpuTime(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
