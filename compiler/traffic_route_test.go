package compiler_test

import (
	"testing"

	"github.com/meshc/meshc/compiler"
	"github.com/meshc/meshc/schema/files"
)

// Headers whose names differ in case alone are the same header, with more than one
// condition on it: in the same order each time.
func TestHeadersThatDifferInCase(t *testing.T) {
	docs, diags := load(t, files.Tree{Files: []files.File{file("in.yaml", []byte(`type: Dataplane
mesh: default
name: web
networking:
  address: 10.0.0.1
  inbound: [{port: 80, tags: {kuma.io/service: web, kuma.io/protocol: http}}]
---
type: TrafficRoute
mesh: default
name: split
sources: [{match: {kuma.io/service: "*"}}]
destinations: [{match: {kuma.io/service: web}}]
conf:
  http:
  - match: {headers: {X-A: {exact: a}, x-A: {prefix: b}, x-a: {regex: c}, X-a: {exact: d}}}
    destination: {kuma.io/service: web}
  destination: {kuma.io/service: web}
`))}})
	if len(diags) > 0 {
		t.Fatal(diags)
	}
	first := compiler.New().Compile(docs).Snapshot.Version
	for range 50 {
		if again := compiler.New().Compile(docs).Snapshot.Version; again != first {
			t.Fatalf("versions %v and %v of the same documents", first, again)
		}
	}
}
