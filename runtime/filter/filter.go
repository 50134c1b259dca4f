// Package filter is the contract between the proxy and what runs inside it.
//
// A Factory is made once for each use of a policy kind in a snapshot and lives
// as long as that snapshot serves; it makes one HTTP filter a stream or one TCP
// filter a connection. The contract is wide enough for Proxy-Wasm as Envoy 1.40
// runs it: headers, body chunks and trailers in both directions, pausing and
// resuming from another goroutine, replies made locally, properties, and an
// access log at the end.
//
// # Goroutines
//
// A stream's callbacks run in its Worker, and a worker runs one callback at a
// time, whichever stream it is of: what belongs to a worker needs no lock. A
// filter that waits for something outside returns a stop, and later calls
// Stream.Continue from any goroutine. Stream.Post and Worker.Post run a
// function as if it were a callback, which is the only way to touch headers
// from elsewhere. In any callback all streams of the worker may be asked for
// anything: what is asked of another stream is done when the callback has
// returned.
//
// Whoever calls Continue, Reset or Post may have to run what others have
// posted to the worker, so it must hold no lock that a callback takes.
package filter

import "time"

// Direction tells the request from the response (for TCP: bytes from
// downstream, bytes from upstream).
type Direction uint8

// The two directions of a stream.
const (
	Request Direction = iota
	Response
)

// HeadersStatus is what a filter wants after headers.
type HeadersStatus uint8

// The answers to headers. After a stop nothing moves past the filter in this
// direction until Stream.Continue.
const (
	HeadersContinue HeadersStatus = iota
	// HeadersStop holds the headers, but body and trailers go on arriving at
	// this filter; a DataContinue on one of them also lets the headers go.
	HeadersStop
	// HeadersStopAll holds the headers and everything after them: body is
	// kept up to the buffer limit, then no longer read.
	HeadersStopAll
)

// DataStatus is what a filter wants after a piece of body or TCP data.
type DataStatus uint8

// The answers to data.
const (
	DataContinue DataStatus = iota
	// DataStopAndBuffer keeps the data; the next call sees all that was kept,
	// in one Buffer. Over the buffer limit the request is answered 413, the
	// response is cut off with 500.
	DataStopAndBuffer
	// DataStopAndWatermark keeps the data likewise, but over the limit the
	// sender is held back instead.
	DataStopAndWatermark
	// DataStopNoBuffer drops the data: the filter has taken it.
	DataStopNoBuffer
)

// TrailersStatus is what a filter wants after trailers.
type TrailersStatus uint8

// The answers to trailers.
const (
	TrailersContinue TrailersStatus = iota
	TrailersStop
)

// Factory makes filters. Its methods may be called from many goroutines.
type Factory interface {
	// HTTP returns the filter of one stream. A nil filter takes no part.
	HTTP(Stream) HTTP
	// TCP returns the filter of one connection. A nil filter takes no part.
	TCP(Conn) TCP
	// Close is called once the last stream that could use the factory has ended.
	Close()
}

// Committer is a Factory that wants to know when it begins to serve.
type Committer interface {
	// Commit is called when a snapshot that the factory was made for is
	// committed, before its streams, with each snapshot anew. A factory that
	// was made for a snapshot which is refused hears of nothing but Close.
	Commit()
}

// HTTP is one filter on one HTTP stream. Response methods are called in the
// reverse order of the chain. Embed PassThrough to write only some of them.
type HTTP interface {
	RequestHeaders(h *Headers, end bool) HeadersStatus
	RequestData(b *Buffer, end bool) DataStatus
	RequestTrailers(t *Headers) TrailersStatus
	ResponseHeaders(h *Headers, end bool) HeadersStatus
	ResponseData(b *Buffer, end bool) DataStatus
	ResponseTrailers(t *Headers) TrailersStatus
	// Log is called when the stream has ended, in whatever way.
	Log(*Record)
	// Done is the last call, after every filter's Log.
	Done()
}

// TCP is one filter on one TCP connection.
type TCP interface {
	// NewConnection comes first. After a stop the filter is shown nothing, and
	// nothing is connected, until Conn.Continue.
	NewConnection() DataStatus
	DownstreamData(b *Buffer, end bool) DataStatus
	UpstreamData(b *Buffer, end bool) DataStatus
	// Closed says that the connection to downstream (Request) has ended, once
	// and before Log; or, before that, that the upstream (Response) has ended
	// its side, which is not told where the connection ended otherwise. remote
	// says that the peer ended it.
	Closed(d Direction, remote bool)
	// Log and Done as in HTTP.
	Log(*Record)
	Done()
}

// Stream is what an HTTP filter may ask of the stream it is on. Continue,
// Reset and Post may be called from any goroutine, and do nothing once the
// stream has ended; the others only inside a callback, of this stream or of
// another in its worker.
type Stream interface {
	// Continue lets go what this filter stopped in direction d.
	Continue(d Direction)
	// Pass lets go the first n bytes of the body that this filter stopped in
	// direction d, with the headers before them, and keeps the rest and the end.
	// It must be called inside a callback, and is done when that has returned.
	Pass(d Direction, n int)
	// Post runs f as a callback of the stream. It reports false, and f never
	// runs, when the stream has ended.
	Post(f func()) bool
	// Reset ends the stream without an answer.
	Reset()
	// Reply answers the request here. The reply passes the response methods
	// of the whole chain; one made while a response, or another reply, is
	// among the filters takes its place unseen, and one made once response
	// headers have left cuts the response off. The first Reply of a callback
	// counts, and none of a response that has passed to its end; Reply
	// reports whether this one does.
	Reply(Reply) bool
	// ClearRoute has the route chosen anew from the request headers.
	ClearRoute()
	// Worker returns the worker that the stream's callbacks run in.
	Worker() *Worker
	// Limit returns how much body the filter may keep in one direction, in bytes.
	Limit() int
	// Held returns the body that this filter stopped in direction d and keeps,
	// to be read and altered; nil where it keeps none. In the callback that
	// shows it data, that is the data shown. It is valid until the callback
	// returns.
	Held(d Direction) *Buffer
	// Headers and Trailers return the message of direction d while it is in
	// the filter's hands, and nil otherwise. Trailers may be created in the
	// callback that ends the body.
	Headers(d Direction) *Headers
	Trailers(d Direction) *Headers
	Properties
}

// Conn is what a TCP filter may ask of its connection; Continue, Close and
// Post as in Stream.
type Conn interface {
	Continue(d Direction)
	Post(f func()) bool
	Close()
	Worker() *Worker
	Limit() int
	Held(d Direction) *Buffer
	Properties
}

// Properties are the facts about a stream, by Envoy's attribute names
// ("source.address", "request.id", "xds.cluster_name" …).
type Properties interface {
	// Property returns the value at path, or false where there is none.
	Property(path ...string) (Value, bool)
	// SetProperty keeps value for the filters of this stream.
	SetProperty(path string, value []byte)
}

// Value is a property's value: one of string, []byte, bool, int64, uint64,
// float64, time.Time, time.Duration, *Headers or Object.
type Value any

// Object is the value of what exists, and has no bytes of its own.
type Object struct{}

// Reply is a response made by a filter.
type Reply struct {
	Status int
	// Headers are added to the response; :status is not among them.
	Headers []Field
	Body    []byte
	// GRPCStatus is sent where the request is gRPC; negative means none.
	GRPCStatus int
	// Details go to the access log ("response.code_details").
	Details string
}

// Record is what is known of a stream or connection when it ends. Its headers
// are read-only and valid during Log.
type Record struct {
	Request, Response *Headers
	RequestTrailers   *Headers
	ResponseTrailers  *Headers
	Status            int
	Details           string
	Start             time.Time
	Duration          time.Duration
	// Bytes of body (HTTP) or of payload (TCP), as received from downstream
	// and as sent to it.
	BytesReceived, BytesSent uint64
	Route, Cluster, Upstream string
	// Service is the kuma.io/service that the listener or the route is for.
	Service string
	// Flags are Envoy's short response flags, "UF,URX", in Envoy's order; "" for none.
	Flags string
	// Protocol is what the client spoke: "HTTP/1.0", "HTTP/1.1", "HTTP/2", or ""
	// for a connection of TCP.
	Protocol string
}

// PassThrough is an HTTP and TCP filter that does nothing.
type PassThrough struct{}

// RequestHeaders continues.
func (PassThrough) RequestHeaders(*Headers, bool) HeadersStatus { return HeadersContinue }

// RequestData continues.
func (PassThrough) RequestData(*Buffer, bool) DataStatus { return DataContinue }

// RequestTrailers continues.
func (PassThrough) RequestTrailers(*Headers) TrailersStatus { return TrailersContinue }

// ResponseHeaders continues.
func (PassThrough) ResponseHeaders(*Headers, bool) HeadersStatus { return HeadersContinue }

// ResponseData continues.
func (PassThrough) ResponseData(*Buffer, bool) DataStatus { return DataContinue }

// ResponseTrailers continues.
func (PassThrough) ResponseTrailers(*Headers) TrailersStatus { return TrailersContinue }

// NewConnection continues.
func (PassThrough) NewConnection() DataStatus { return DataContinue }

// DownstreamData continues.
func (PassThrough) DownstreamData(*Buffer, bool) DataStatus { return DataContinue }

// UpstreamData continues.
func (PassThrough) UpstreamData(*Buffer, bool) DataStatus { return DataContinue }

// Closed does nothing.
func (PassThrough) Closed(Direction, bool) {}

// Log does nothing.
func (PassThrough) Log(*Record) {}

// Done does nothing.
func (PassThrough) Done() {}
