// Package abi holds what Proxy-Wasm fixes between host and guest: the numbers,
// and how pairs and property values are written as bytes. It runs nothing.
//
// Where the specification (proxy-wasm/spec) and Envoy 1.40 differ, Envoy is
// followed: guests are written and tested against it.
package abi

// Version is a version of the ABI.
type Version uint8

// The versions that are spoken. A module names its own by exporting a function.
const (
	V0_1_0 Version = iota + 1
	V0_2_0
	V0_2_1
)

// Versions maps the name of the marker export to the version.
var Versions = map[string]Version{
	"proxy_abi_version_0_1_0": V0_1_0,
	"proxy_abi_version_0_2_0": V0_2_0,
	"proxy_abi_version_0_2_1": V0_2_1,
}

// Status is the result of a host function.
type Status uint32

// The results of host functions (proxy_wasm_common.h of the C++ SDK; the
// specification leaves some out).
const (
	Ok Status = iota
	NotFound
	BadArgument
	SerializationFailure
	ParseFailure
	BadExpression
	InvalidMemoryAccess
	Empty
	CasMismatch
	ResultMismatch
	InternalFailure
	BrokenConnection
	Unimplemented
)

// MapType names a header map.
type MapType uint32

// The header maps.
const (
	RequestHeaders MapType = iota
	RequestTrailers
	ResponseHeaders
	ResponseTrailers
	GRPCInitialMetadata
	GRPCTrailingMetadata
	CallResponseHeaders
	CallResponseTrailers
	MapTypes // their number
)

// BufferType names a buffer.
type BufferType uint32

// The buffers.
const (
	RequestBody BufferType = iota
	ResponseBody
	DownstreamData
	UpstreamData
	CallResponseBody
	GRPCMessage
	VMConfiguration
	PluginConfiguration
	CallData
	BufferTypes // their number
)

// StreamType names a direction of a stream or connection.
type StreamType uint32

// The directions.
const (
	RequestStream StreamType = iota
	ResponseStream
	DownstreamStream
	UpstreamStream
)

// Level is the level of a log line.
type Level uint32

// The levels.
const (
	Trace Level = iota
	Debug
	Info
	Warn
	Error
	Critical
	Levels // their number
)

// MetricType is a sort of metric.
type MetricType uint32

// The sorts of metric. The low two bits of a metric's id are its sort.
const (
	Counter MetricType = iota
	Gauge
	Histogram
	MetricTypes // their number
)

// Answers of callbacks. What is above the last one counts as the strongest stop.
const (
	Continue = 0

	HeadersStopIteration        = 1
	HeadersContinueAndEndStream = 2 // acts as Continue
	HeadersStopAllAndBuffer     = 3
	HeadersStopAllAndWatermark  = 4

	DataStopAndBuffer    = 1
	DataStopAndWatermark = 2
	DataStopNoBuffer     = 3
)

// Limits on what a guest may pass as pairs (limits.h of the C++ host).
const (
	MaxPairs      = 1024
	MaxPairsBytes = 1 << 20
)
