package compiler_test

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"

	"github.com/meshc/meshc/compiler"
	"github.com/meshc/meshc/schema"
)

// benchmarkWorld is n services of mesh default, each with one dataplane that
// calls three others, and 1,000 policies of all kinds that select by service;
// one of each kind is for all.
func benchmarkWorld(n int) map[string]string {
	state := map[string]string{}
	for i := range n {
		state[fmt.Sprintf("d%05d.yaml", i)] = benchmarkDataplane(i, n, "v1", i)
	}
	for i, kind := range benchmarkKinds {
		state["all-"+kind.name+".yaml"] = kind.text("all", "'*'", "'*'", 1)
		for j := range 1000/len(benchmarkKinds) - 1 {
			from := (j*len(benchmarkKinds) + i) * n / 1000
			state[fmt.Sprintf("p-%s-%05d.yaml", kind.name, j)] = kind.text(fmt.Sprintf("p%d", j), fmt.Sprintf("s%d", from), fmt.Sprintf("s%d", (from+1)%n), 1)
		}
	}
	return state
}

// benchmarkKind is a kind of policy in the benchmark; seconds is what an edit changes.
type benchmarkKind struct{ name, conf string }

func (k benchmarkKind) text(name, from, to string, seconds int) string {
	conf := fmt.Sprintf(k.conf, seconds)
	return fmt.Sprintf("type: %s\nname: %s\nsources: [{match: {kuma.io/service: %s}}]\ndestinations: [{match: {kuma.io/service: %s}}]\nconf: %s\n", k.name, name, from, to, conf)
}

var benchmarkKinds = []benchmarkKind{
	{"Timeout", "{connectTimeout: %ds}"},
	{"Retry", "{http: {perTryTimeout: %ds}}"},
	{"HealthCheck", "{interval: %ds, timeout: 1s, unhealthyThreshold: 3, healthyThreshold: 1}"},
	{"CircuitBreaker", "{interval: %ds, detectors: {totalErrors: {}}}"},
	{"TrafficRoute", "{split: [{weight: %d, destination: {kuma.io/service: '*'}}]}"},
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
// service, one for all, a dataplane that moved, one that has other tags.
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
		timeout := benchmarkKinds[0]
		variants := []struct {
			name   string
			states [2][]*schema.Document
		}{
			{"policy-of-one", changed("p-Timeout-00003.yaml", timeout.text("p3", fmt.Sprintf("s%d", 15*n/1000), fmt.Sprintf("s%d", 15*n/1000+1), 2))},
			{"policy-of-all", changed("all-Timeout.yaml", timeout.text("all", "'*'", "'*'", 2))},
			{"moved", changed("d00100.yaml", benchmarkDataplane(100, n, "v1", 20_000))},
			{"tagged", changed("d00100.yaml", benchmarkDataplane(100, n, "v2", 100))},
		}
		b.Run(fmt.Sprintf("cold/services=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			before := cpuTime(b)
			for b.Loop() {
				compiler.New().Compile(one)
			}
			b.ReportMetric(float64(cpuTime(b)-before)/1e6/float64(b.N), "cpu-ms/op")
		})
		b.Run(fmt.Sprintf("kept/services=%d", n), func(b *testing.B) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			c := compiler.New()
			var r compiler.Result
			for b.Loop() {
				r = c.Compile(one)
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB")
			runtime.KeepAlive(c)
			runtime.KeepAlive(r)
		})
		for _, v := range variants {
			b.Run(fmt.Sprintf("%s/services=%d", v.name, n), func(b *testing.B) {
				c := compiler.New()
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

// cpuTime is what the process has used of all processors, in nanoseconds: it
// says something on a busy machine, too.
func cpuTime(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
