//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// How often TestFaultSwap exchanges a plugin, when it looks first, and what
// may have been added at the end: less than one of each sort in each exchange.
const (
	faultSwaps       = 200 // half of them of the module
	faultSwapsBefore = 10
	spareGoroutines  = 45
	spareMemory      = 60 << 20 // bytes; each instance here has more than 2 MiB
)

// TestFaultSwap exchanges a plugin, under load: its module by another one, its
// configuration, by renaming files over others and by writing into them. No
// request is lost, and nothing of those before stays.
func TestFaultSwap(t *testing.T) {
	w := newFaultWorld(t)
	module, err := os.ReadFile(faultModule)
	if err != nil {
		t.Fatal(err)
	}
	// version is the module with another letter in it.
	version := func(n int) (letter, code string) {
		letter = string(rune('A' + n%2))
		return letter, strings.Replace(string(module), "version-A", "version-"+letter, 1)
	}
	if strings.Count(string(module), "version-A") != 1 {
		t.Fatal("the module has no version")
	}
	plugins := func(n int) string {
		configuration := fmt.Sprintf("v%d", n)
		if n%20 == 0 {
			// One whose last words are a trap.
			configuration = fmt.Sprintf("delete:trap%d", n)
		}
		conf := map[string]any{"configuration": configuration, "module": map[string]any{"path": "swap.wasm"}, "vmId": ""}
		return faultPlugin(t, "swap", "http", conf) + "\n---\n" + faultPlugin(t, "swap-tcp", "tcp", conf)
	}
	http, tcp := w.service("swap", faultPlainHTTP, "http", nil), w.service("swap-tcp", faultPlainTCP, "tcp", nil)
	// One VM: the uses differ in their protocol alone.
	w.vms++
	_, code := version(0)
	w.write("swap.wasm", code)
	w.write("swap.yaml", plugins(0))
	w.start()
	load := w.network.StartLoad(tcp, http)
	t.Cleanup(load.Stop)
	letter, shown := "A", 0
	want := func() string {
		_, configuration, _ := strings.Cut(plugins(shown), `"configuration":"`)
		configuration, _, _ = strings.Cut(configuration, `"`)
		return letter + "+" + configuration
	}
	swap := func(n int) {
		t.Helper()
		switch n % 4 {
		case 1: // the module, by renaming
			letter, code = version(n/2 + 1)
			w.write("swap.wasm", code)
		case 3: // the module, in place
			letter, code = version(n/2 + 1)
			if err := os.WriteFile(filepath.Join(w.dir, "swap.wasm"), []byte(code), 0o644); err != nil {
				t.Fatal(err)
			}
		case 2: // the configuration, in place
			shown = n
			if err := os.WriteFile(filepath.Join(w.dir, "swap.yaml"), []byte(plugins(n)), 0o644); err != nil {
				t.Fatal(err)
			}
		case 0: // the configuration, by renaming
			shown = n
			w.write("swap.yaml", plugins(n))
		}
		if err := load.AwaitBackend(want()); err != nil {
			t.Fatalf("swap %d: %v", n, err)
		}
		if lost := load.Lost(); len(lost) > 0 {
			t.Fatalf("swap %d: %d requests were lost: %s", n, len(lost), strings.Join(lost[:min(len(lost), 10)], "\n"))
		}
	}
	n := 1
	for ; n <= faultSwapsBefore; n++ {
		swap(n)
	}
	w.awaitInstances()
	goroutines, memory := w.metric("go_goroutines"), w.metric("go_memstats_heap_inuse_bytes")
	for ; n <= faultSwaps; n++ {
		swap(n)
	}
	w.awaitInstances()
	// Those whose last words were a trap: what is going is not replaced.
	w.awaitMetric("meshc_wasm_faults_total", func(n float64) bool { return n >= faultSwaps/20*faultWorkers })
	w.awaitMetric("meshc_wasm_modules", func(n float64) bool { return n == 1 })
	w.awaitMetric("go_goroutines", func(n float64) bool { return n <= goroutines+spareGoroutines })
	w.awaitMetric("go_memstats_heap_inuse_bytes", func(n float64) bool { return n <= memory+spareMemory })
	t.Logf("%d requests, %d swaps; goroutines from %v to %v, memory from %.0f to %.0f MiB", load.Total(), faultSwaps, goroutines,
		w.metric("go_goroutines"), memory/(1<<20), w.metric("go_memstats_heap_inuse_bytes")/(1<<20))
}
