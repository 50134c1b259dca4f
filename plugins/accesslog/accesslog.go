// Package accesslog is the policy kind of Kuma's TrafficLog: a line for each
// request or connection that has ended, in the format of a logging backend of
// the Mesh, to a file or over TCP. Both data planes write the same line.
package accesslog

import "github.com/meshc/meshc/plugins"

// Name is that of the kind.
const Name = "accesslog"

// Kind is the kind "accesslog".
var Kind = plugins.Kind{
	Name:  Name,
	Open:  func(p plugins.Process) (plugins.Maker, error) { return open(p), nil },
	Check: check,
	Policies: []plugins.Policy{{
		Document: "kuma/TrafficLog",
		Side:     plugins.PerService, HTTP: true, TCP: true, Gateway: true,
		Resolve: resolve,
	}},
	Envoy: envoy,
}
