// Package builtin is the ordered list of the policy kinds in this binary.
package builtin

import (
	"github.com/meshc/meshc/plugins"
	"github.com/meshc/meshc/plugins/accesslog"
	"github.com/meshc/meshc/plugins/faultinjection"
	"github.com/meshc/meshc/plugins/tracing"
	"github.com/meshc/meshc/plugins/wasm"
)

// Kinds is the order in which filters run on a request: what refuses comes
// before what alters, and what alters before what only looks. A new kind is one
// folder under plugins and one line here.
var Kinds = []plugins.Kind{wasm.Kind, faultinjection.Kind, accesslog.Kind, tracing.Kind}
