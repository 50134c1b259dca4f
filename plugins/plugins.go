// Package plugins says what a policy kind provides: something that may be
// attached to a service, a route or a connection, and that looks at or alters
// its traffic.
package plugins

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/meshc/meshc/runtime/filter"
)

// Kind is one policy kind, as plain data and functions. What is nil the kind
// does not offer.
type Kind struct {
	// Name is the Filter.Kind of the snapshot.
	Name string
	// Open starts the kind in a process that runs the built-in proxy.
	Open func(Process) (Maker, error)
	// Check returns what is wrong with a use, as far as can be told without
	// running anything. It is called when documents are compiled.
	Check func(Use) []string
	// Policies are the kinds of document that become uses of it, if any.
	Policies []Policy
	// Envoy returns what Envoy runs for a use.
	Envoy func(u Use) (Envoy, error)
}

// Envoy is what Envoy runs for a use; at least one field is set.
type Envoy struct {
	// Filter is the typed_config of an HTTP filter, or of a network filter
	// where the use is for TCP. It comes over ECDS.
	Filter proto.Message
	// AccessLog is the typed_config of an access logger of the listener.
	AccessLog proto.Message
	// Tracing is an envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.Tracing.
	Tracing proto.Message
}

// FlagsProperty is the property in which filters leave response flags of their
// own for those that write logs: "DI,FI", as in filter.Record.
const FlagsProperty = "meshc.response_flags"

// Use is one use of a kind in a snapshot.
type Use struct {
	// Name is unique among the uses of the kind: MESH/NAME of the document.
	Name string
	// TCP says that it is for connections and not for HTTP streams.
	TCP bool
	// Config is the kind's configuration as canonical JSON. It may hold
	// secrets, and is not for logs.
	Config string
	// Blob is the content of the file that it runs, and Digest its SHA-256 in
	// hexadecimal; both are empty where it runs none.
	Blob, Digest string
	// Clusters are those that its own calls may reach.
	Clusters []string
}

// Process is what a kind finds in the process that it runs in.
type Process struct {
	Log *slog.Logger
	// StateDir is a directory for what is worth keeping over restarts; "" for none.
	StateDir string
	Workers  *filter.Workers
	Caller   filter.Caller
	// Report tells of a fault in a use, to be counted and shown.
	Report func(Fault)
}

// Fault is something that went wrong in a use, by no fault of the input.
type Fault struct {
	Time time.Time
	Use  string // its Name
	// Reason is one of a few words, fit for a metric's label: "trap",
	// "timeout", "memory", "start" …; Detail is a sentence.
	Reason, Detail string
	// Restart is when the instance that failed is replaced; zero when it is not.
	Restart time.Time
}

// Maker makes the filters of a kind in one process.
type Maker interface {
	// New makes the factory for a use, or returns the one that an equal use
	// has, to be closed once more. It is called in Prepare, beside what
	// serves, and stops early when ctx ends; an error, which is for the author
	// of the document, keeps the snapshot from being served, and what was made
	// for it already is closed unused. A factory that is a filter.Committer hears
	// when the snapshot serves.
	New(ctx context.Context, u Use) (filter.Factory, error)
	// Metrics returns what the kind measures; nil for nothing.
	Metrics() prometheus.Collector
	// Close ends the kind, after the last factory was closed.
	Close()
}
