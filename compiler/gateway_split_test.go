package compiler_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/meshc/meshc/compiler"
	"github.com/meshc/meshc/schema/files"
)

// Whether an expression of a TrafficRoute is looked at for the requests of a route is worked
// out once, and not in each compile. Allocations stand for work.
func TestWarmSplitReadsNoExpression(t *testing.T) {
	allocations := func(match string) float64 {
		var routes strings.Builder
		for i := range 100 {
			fmt.Fprintf(&routes, "  - {name: r%d, paths: [\"/a%d\"], strip_path: true}\n", i, i)
		}
		docs, diags := load(t, files.Tree{Files: []files.File{file("in.yaml", []byte(`_format_version: "3.0"
services:
- name: stock
  url: http://10.0.0.1:80
  routes:
`+routes.String()+`---
type: TrafficRoute
mesh: default
name: split
sources: [{match: {kuma.io/service: "*"}}]
destinations: [{match: {kuma.io/service: stock}}]
conf:
  http:
  - {match: {path: `+match+`}, destination: {kuma.io/service: stock}}
  destination: {kuma.io/service: stock}
`))}})
		if len(diags) > 0 {
			t.Fatal(diags)
		}
		c := compiler.New()
		compile := func() {
			if ds := c.Compile(docs).Diagnostics; len(ds) > 0 {
				t.Fatal(findings(ds))
			}
		}
		compile()
		compile()
		return testing.AllocsPerRun(5, compile)
	}
	prefix, regex := allocations(`{prefix: /x}`), allocations(`{regex: "/x/[a-z]{1,9}/(y|z)+"}`)
	if regex > prefix+500 { // it takes 400 to read the expression for one route
		t.Errorf("%.0f allocations in a warm compile where a prefix is matched, %.0f where an expression is", prefix, regex)
	}
}
