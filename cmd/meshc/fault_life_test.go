//go:build linux

package main

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshc/meshc/runtime/status"
)

// TestFaultsAtStart: a module that fails, or refuses, before it serves is
// refused with its place, and what serves goes on.
func TestFaultsAtStart(t *testing.T) {
	w := newFaultWorld(t)
	address := w.service("start", faultBackend, "http", nil)
	w.vms++
	good := faultPlugin(t, "start", "http", map[string]any{"configuration": "good"})
	w.write("start.yaml", "# A line before it.\n"+good)
	w.serve()
	reloads := func() (list []status.Reload) {
		w.meshc.Get(t, "/meshc/reloads", &list)
		return list
	}
	// after waits for the reload that follows a change, and returns it.
	after := func(text string) status.Reload {
		known := len(reloads())
		w.write("start.yaml", "# A line before it.\n"+text)
		w.await("a reload", func() bool { return len(reloads()) > known }, func() any { return known })
		list := reloads()
		return list[len(list)-1]
	}
	serving := reloads()[0].Version
	for _, where := range []string{"vm_start", "configure"} {
		for fault, says := range map[string]string{
			"trap": "unreachable", "hog": "unreachable", "wild": "out of bounds", "deep": "stack overflow",
			"refuse": "refused the configuration", "loop": "longer than its limit",
		} {
			if fault == "loop" && where == "vm_start" {
				continue // it takes its time, and is the same
			}
			t.Run(where+"-"+fault, func(t *testing.T) {
				conf := map[string]any{map[string]string{"vm_start": "vmConfiguration", "configure": "configuration"}[where]: where + ":" + fault}
				if fault == "loop" {
					conf["limits"] = map[string]string{"memory": "32MiB", "callTimeout": "100ms"}
				}
				r := after(faultPlugin(t, "start", "http", conf))
				if r.OK || r.Version != serving {
					t.Fatalf("it was put into effect: %+v", r)
				}
				for _, want := range []string{"start.yaml:2", "default/start", says} {
					if !strings.Contains(r.Error, want) {
						t.Errorf("the error does not say %q: %s", want, r.Error)
					}
				}
				if got := w.request(address, "").String(); got != "200 A+good" {
					t.Errorf("what serves gives %s", got)
				}
				w.noneLost()
			})
		}
	}
	if r := after(strings.Replace(good, `"good"`, `"better"`, 1)); !r.OK {
		t.Fatalf("the mended one was refused: %+v", r)
	}
	if got := w.request(address, "").String(); got != "200 A+better" {
		t.Errorf("after it was mended: %s", got)
	}
	w.awaitInstances()
	if n := w.metric("meshc_wasm_instances"); n != float64(w.vms*faultWorkers) {
		t.Errorf("%v instances", n)
	}
}

// TestFaultLoop: while guests loop on every processor, and until they are
// stopped, the process does all else: requests complete, and memory is collected.
func TestFaultLoop(t *testing.T) {
	w := newFaultWorld(t)
	conf := map[string]any{"limits": map[string]string{"callTimeout": "3s"}}
	address := w.service("loop", faultBackend, "http", conf)
	w.serve("GOGC=5") // so that collections are many
	w.awaitInstances()
	// Between two answers of REST while they loop, the process is not frozen. The
	// healthy plugin's streams in the workers that loop wait for as long: what counts
	// is the traffic that has no filters. A slow machine needs more loops for as much.
	requests, collected, rounds := int64(0), 0.0, uint64(0)
	for ; rounds < 6 && (requests < 20 || collected < 2); rounds++ {
		var loops sync.WaitGroup
		answers := make([]string, faultWorkers)
		for i := range answers {
			loops.Go(func() { answers[i] = w.request(address, "request_headers:loop").String() })
		}
		over := make(chan struct{})
		go func() {
			loops.Wait()
			close(over)
		}()
		n, c := w.load.Total(), w.metric("go_gc_duration_seconds_count")
		for going := true; going; {
			now := w.metric("go_gc_duration_seconds_count") // what REST allocates is to be collected, too
			select {
			case <-over:
				going = false
			case <-time.After(10 * time.Millisecond):
				requests, collected = requests+w.load.Total()-n, collected+now-c
				n, c = w.load.Total(), now
			}
		}
		for _, got := range answers {
			if got != "503" {
				t.Errorf("a stream that loops got %s", got)
			}
		}
		w.awaitInstances()
	}
	if v := w.view("loop"); v.Faults["timeout"] != rounds*faultWorkers {
		t.Errorf("%d loops in %d workers: %v", rounds*faultWorkers, faultWorkers, v.Faults)
	}
	if requests < 20 || collected < 2 {
		t.Errorf("%d requests completed and memory was collected %v times during the loops", requests, collected)
	}
	t.Logf("%d requests, %v collections during %d loops", requests, collected, rounds*faultWorkers)
	if got := w.request(address, "").String(); got != "200 A+" {
		t.Errorf("after the loops: %s", got)
	}
}

// TestFaultForGood: a guest that cannot be configured again is tried less and
// less often; until then streams get what the policy says.
func TestFaultForGood(t *testing.T) {
	w := newFaultWorld(t)
	want := map[string]string{"closed": "503", "open": "200"}
	addresses := map[string]string{}
	for policy := range want {
		addresses[policy] = w.service("doomed-"+policy, faultBackend, "http", map[string]any{"failurePolicy": policy})
	}
	w.serve()
	w.awaitInstances()
	left := float64(w.vms * faultWorkers)
	for policy, address := range addresses {
		w.request(address, "doom:")
		left -= faultWorkers
		w.await("the end of its instances", func() bool {
			w.request(address, "request_headers:trap")
			return w.metric("meshc_wasm_instances") == left
		}, func() any { return left })
		// Whether a replacement that will fail is just being tried is all the same.
		for range 50 {
			if got := w.request(address, "").String(); got != want[policy] {
				t.Fatalf("%s: a stream got %s", policy, got)
			}
		}
	}
	w.moreLoad(100)
	for policy, address := range addresses {
		var v faultView
		w.await("back-off", func() bool {
			v = w.view("doomed-" + policy)
			return v.Faults["start"] >= 2*faultWorkers && v.Last.Reason == "start"
		}, func() any { return v })
		if wait := v.Last.Restart.Sub(v.Last.Time); wait < 500*time.Millisecond || !strings.Contains(v.Last.Detail, "unreachable") {
			t.Errorf("%s: the last fault is %+v", policy, *v.Last)
		}
		if got := w.request(address, "").String(); got != want[policy] {
			t.Errorf("%s: a stream got %s in the back-off", policy, got)
		}
	}
	if n := w.metric("meshc_wasm_instances"); n != left {
		t.Errorf("%v instances, not %v", n, left)
	}
}

// TestFaultStorm: a guest may have many calls in flight at once and no more;
// all of them are answered, or ended with the guest, and nothing of them stays.
func TestFaultStorm(t *testing.T) {
	w := newFaultWorld(t)
	address := w.service("storm", faultBackend, "http", map[string]any{"limits": map[string]string{"callTimeout": "60s"}})
	w.serve()
	w.awaitInstances()
	storm := func() {
		t.Helper()
		got := w.request(address, "storm:")
		if sum := strings.TrimSpace(got.header.Get("X-Storm")); got.String() != "200 A+" || sum != "1000 4000" {
			t.Fatalf("a storm of 5000 calls got %v, %q answered and refused", got, sum)
		}
	}
	goroutines, files := w.metric("go_goroutines"), w.metric("process_open_fds")
	for n := range 4 {
		storm()
		// One that ends its guest ends its calls as well.
		if n == 0 {
			if got := w.request(address, "storm:trap").String(); got != "503" {
				t.Errorf("a storm with a trap got %s", got)
			}
		}
	}
	w.awaitMetric("go_goroutines", func(n float64) bool { return n < goroutines+50 })
	w.awaitMetric("process_open_fds", func(n float64) bool { return n < files+50 })
	w.awaitInstances()
	if v := w.view("storm"); fmt.Sprint(v.Faults) != "map[trap:1]" {
		t.Errorf("faults: %v", v.Faults)
	}
}
