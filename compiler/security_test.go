package compiler_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/meshc/meshc/compiler"
	"github.com/meshc/meshc/schema/files"
)

// TestPeersScale wants the work for a Kubernetes service behind whose endpoints
// dataplanes listen to grow as their number does. Allocations stand for work.
func TestPeersScale(t *testing.T) {
	allocations := func(n int) float64 {
		var in, at strings.Builder
		for i := range n {
			fmt.Fprintf(&in, "  - {address: 10.1.%d.%d, port: 80, tags: {kuma.io/service: a}}\n", i/250, i%250+1)
			fmt.Fprintf(&at, "{ip: 10.1.%d.%d}, ", i/250, i%250+1)
		}
		docs, diags := load(t, files.Tree{Files: []files.File{file("in.yaml", []byte(`type: Mesh
name: default
mtls: {enabledBackend: a, backends: [{name: a, type: builtin}]}
---
{type: TrafficPermission, mesh: default, name: all, sources: [{match: {kuma.io/service: "*"}}], destinations: [{match: {kuma.io/service: "*"}}]}
---
type: Dataplane
mesh: default
name: a
networking:
  address: 10.1.0.1
  inbound:
`+in.String()+`---
{apiVersion: v1, kind: Service, metadata: {name: k}, spec: {ports: [{port: 80}]}}
---
apiVersion: v1
kind: Endpoints
metadata: {name: k}
subsets: [{ports: [{port: 80}], addresses: [`+at.String()+`]}]
`))}})
		if len(diags) > 0 {
			t.Fatal(diags)
		}
		return testing.AllocsPerRun(1, func() {
			if ds := compiler.New().Compile(docs).Diagnostics; len(ds) > 0 {
				t.Fatal(findings(ds))
			}
		})
	}
	if few, many := allocations(100), allocations(1000); many > 20*few {
		t.Errorf("%.0f allocations for 100 endpoints, %.0f for 1000", few, many)
	}
}
