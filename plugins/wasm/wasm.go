// Package wasm is the policy kind of Proxy-Wasm plugins: any filter, built with
// any SDK, for HTTP streams and TCP connections, as Envoy 1.40 runs it.
//
// A use (a WasmPlugin attached somewhere) becomes a factory, and a root context
// in each instance of its VM. Uses whose module, VM configuration and limits
// are equal share a VM, and a VM has one instance in each worker. What happens
// to an instance that fails is in place.go.
package wasm

import "github.com/meshc/meshc/plugins"

// Kind is the kind "wasm".
var Kind = plugins.Kind{
	Name:  "wasm",
	Open:  func(p plugins.Process) (plugins.Maker, error) { return open(p) },
	Check: check,
	Envoy: envoy,
}
