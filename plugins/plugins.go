// Package plugins says what a policy kind provides: something that may be
// attached to a service, a route or a connection, and that looks at or alters
// its traffic.
package plugins

import "github.com/meshc/meshc/runtime/filter"

// Kind is one policy kind, as plain data and functions. What is nil the kind
// does not offer.
type Kind struct {
	// Name is the Filter.Kind of the snapshot.
	Name string
	// New makes the factory for one use of the kind in the built-in proxy,
	// from the configuration as canonical JSON. It is called in Prepare, so an
	// error keeps the snapshot from being served.
	New func(config string) (filter.Factory, error)
}
