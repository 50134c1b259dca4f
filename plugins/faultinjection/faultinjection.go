// Package faultinjection is the policy kind of Kuma's FaultInjection: requests
// that wait, are refused or are answered slowly, each for an exact share of
// them. It acts on the caller's side, before the request leaves.
package faultinjection

import (
	"github.com/meshc/meshc/plugins"
)

// Kind is the kind "faultinjection".
var Kind = plugins.Kind{
	Name:  "faultinjection",
	Open:  func(plugins.Process) (plugins.Maker, error) { return maker{}, nil },
	Check: check,
	Policies: []plugins.Policy{{
		Document: "kuma/FaultInjection",
		Side:     plugins.PerTarget, HTTP: true, Gateway: true,
		Resolve: resolve,
	}},
	Envoy: envoy,
}
