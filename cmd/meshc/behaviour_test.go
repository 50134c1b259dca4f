//go:build linux

package main

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"testing"

	"github.com/meshc/meshc/cmd/meshc/internal/behaviour"
)

// TestMain makes the test binary the meshc command where a test started it as
// that, and otherwise runs all tests in a network namespace of their own.
func TestMain(m *testing.M) {
	behaviour.RunCommand(main)
	behaviour.Isolate()
	flag.Parse()
	// Most of the time the tests wait: for Envoy to start, for time to pass.
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		if err := f.Value.Set(strconv.Itoa(3 * runtime.GOMAXPROCS(0))); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// TestBehaviour wants the same of both data planes. CI counts its subtests: as
// many must have run on Envoy as on the built-in proxy.
func TestBehaviour(t *testing.T) {
	t.Parallel()
	t.Cleanup(func() { // once all cases have ended
		if f := flag.Lookup("test.run"); f.Value.String() == "" {
			for _, rule := range behaviour.UnusedRules() {
				t.Errorf("%s allows nothing: take it out", rule)
			}
		}
	})
	for _, c := range readCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			for _, plane := range []behaviour.Plane{behaviour.Proxy(), behaviour.RealEnvoy("DELTA_GRPC")} {
				t.Run(plane.Name, func(t *testing.T) {
					t.Parallel()
					c.Run(t, plane)
				})
			}
		})
	}
}

// TestBehaviourStateOfTheWorld runs some of the cases over the other variant of
// xDS. What Envoy does with the resources is no different; how it gets them is.
func TestBehaviourStateOfTheWorld(t *testing.T) {
	t.Parallel()
	some := map[string]bool{"hosts-kubernetes": true, "dataplane-chain": true, "split": true}
	for _, c := range readCases(t) {
		if some[c.Name] {
			delete(some, c.Name)
			t.Run(c.Name, func(t *testing.T) {
				t.Parallel()
				c.Run(t, behaviour.RealEnvoy("GRPC"))
			})
		}
	}
	for name := range some {
		t.Errorf("there is no case %s", name)
	}
}

func readCases(t *testing.T) []*behaviour.Case {
	t.Helper()
	cases, err := behaviour.ReadCases("testdata/behaviour")
	if err != nil {
		t.Fatal(err)
	}
	return cases
}
