package filter

import (
	"errors"
	"time"
)

// Caller makes the calls of filters of their own to clusters of the snapshot.
// Its methods may be called from any goroutine, callbacks included: they never
// wait, and what they report they report later, from another goroutine.
type Caller interface {
	// Call sends one HTTP request to a cluster. done is called exactly once,
	// unless cancel is called before. ErrNoCluster and errors of the
	// arguments come at once, and then done is not called.
	Call(cluster string, r CallRequest, done func(CallResponse)) (cancel func(), err error)
	// OpenGRPC opens a gRPC stream to a cluster. The methods of events are called
	// one at a time, Closed last, and none after Cancel.
	OpenGRPC(cluster string, r GRPCRequest, events GRPCEvents) (GRPCStream, error)
}

// ErrNoCluster says that the snapshot has no cluster of that name, or that the
// caller may not reach it.
var ErrNoCluster = errors.New("no such cluster")

// CallRequest is a request of a filter's own. Headers hold :method, :path and
// :authority. The request keeps what it points to until done is called.
type CallRequest struct {
	Headers  *Headers
	Body     []byte
	Trailers *Headers
	// Timeout bounds the whole call; 0 means none.
	Timeout time.Duration
	// Proxy is the ID of the proxy on whose stream the call is made, whose
	// certificate it shows where the cluster asks for one; "" for no stream.
	Proxy string
}

// CallResponse is what came of a Call. A cluster without an endpoint that
// answers gives 503 and a timeout 504, with a body, as Envoy's router does. All
// of it is nil when the call was reset without an answer.
type CallResponse struct {
	Headers  *Headers
	Body     []byte
	Trailers *Headers
}

// GRPCRequest opens a gRPC stream.
type GRPCRequest struct {
	Service, Method string // package.Service and Method, without slashes
	Metadata        *Headers
	// Timeout bounds the stream; 0 means none.
	Timeout time.Duration
	Proxy   string // as in CallRequest
}

// GRPCEvents is who listens to a gRPC stream.
type GRPCEvents interface {
	InitialMetadata(*Headers)
	// Message may wait until the filter has taken the message, so that the stream
	// is read no faster; it is not called inside a callback.
	Message([]byte)
	TrailingMetadata(*Headers)
	// Closed tells the gRPC status and message: 14 where no endpoint answers,
	// 4 after the timeout.
	Closed(status int, message string)
}

// GRPCStream is an open gRPC stream.
type GRPCStream interface {
	// Send sends one message, which it keeps, and with end closes the sending side.
	Send(message []byte, end bool)
	// Close closes the sending side.
	Close()
	// Cancel resets the stream; no event follows.
	Cancel()
	// Waiting is how many bytes of what was sent are not on their way yet.
	Waiting() int
}
