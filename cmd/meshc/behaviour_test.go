//go:build linux

package main

import (
	"flag"
	"os"
	"testing"

	"github.com/meshc/meshc/cmd/meshc/internal/behaviour"
)

// TestMain makes the test binary the meshc command where a test started it as
// that, and otherwise runs all tests in a network namespace of their own.
func TestMain(m *testing.M) {
	behaviour.RunCommand(main)
	behaviour.Isolate()
	os.Exit(m.Run())
}

// TestBehaviour wants the same of both data planes. CI counts its subtests: as
// many must have run on Envoy as on the built-in proxy.
func TestBehaviour(t *testing.T) {
	for _, c := range readCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			t.Run("proxy", func(t *testing.T) { c.Run(t, behaviour.Proxy()) })
			t.Run("envoy", func(t *testing.T) { c.Run(t, behaviour.RealEnvoy("DELTA_GRPC")) })
		})
	}
	if f := flag.Lookup("test.run"); f.Value.String() == "" {
		for _, rule := range behaviour.UnusedRules() {
			t.Errorf("%s allows nothing: take it out", rule)
		}
	}
}

// TestBehaviourStateOfTheWorld runs some of the cases over the other variant of
// xDS. What Envoy does with the resources is no different; how it gets them is.
func TestBehaviourStateOfTheWorld(t *testing.T) {
	some := map[string]bool{"hosts-kubernetes": true, "dataplane-chain": true, "split": true}
	for _, c := range readCases(t) {
		if some[c.Name] {
			delete(some, c.Name)
			t.Run(c.Name, func(t *testing.T) { c.Run(t, behaviour.RealEnvoy("GRPC")) })
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
