// Package host is the functions of Proxy-Wasm ABI 0.2.1 that a host gives to a
// module, with Go's types. A result of type int32 is a status, 0 for done. In
// a module they are imports; in a native program they go to Native.
//
// Functions with dst append to it what the host says, and return dst unchanged
// where the status is not 0.
package host

// The header maps of the ABI.
const (
	RequestHeaders       = 0
	RequestTrailers      = 1
	ResponseHeaders      = 2
	ResponseTrailers     = 3
	GRPCInitialMetadata  = 4
	GRPCTrailingMetadata = 5
	CallHeaders          = 6
	CallTrailers         = 7
)

// The buffers of the ABI.
const (
	RequestBody         = 0
	ResponseBody        = 1
	DownstreamData      = 2
	UpstreamData        = 3
	CallBody            = 4
	GRPCMessage         = 5
	VMConfiguration     = 6
	PluginConfiguration = 7
	ForeignData         = 8
)

// The sides of a stream.
const (
	Request    = 0
	Response   = 1
	Downstream = 2
	Upstream   = 3
)

// The kinds of metrics.
const (
	Counter   = 0
	Gauge     = 1
	Histogram = 2
)
