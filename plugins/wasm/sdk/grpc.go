package sdk

import (
	"time"

	"github.com/meshc/meshc/plugins/wasm/sdk/internal/host"
)

// GRPCError is how a gRPC call ended, where not well.
type GRPCError struct {
	Code    int // 14 is "unavailable", 4 "deadline exceeded"
	Message string
}

// Error says the code and the message.
func (e *GRPCError) Error() string { return "gRPC status " + decimal(e.Code) + ": " + e.Message }

// CallGRPC sends one message to a method, as "pkg.Service/Method", of a service
// that the attaching document lists. done is called later, once: with the
// answer, or with a *GRPCError. Messages are Protobuf, encoded.
func (c Context) CallGRPC(service, method string, metadata []Header, message []byte, timeout time.Duration, done func(message []byte, err error)) error {
	name, method, ok := cutMethod(method)
	if !ok || !c.effective() {
		return BadArgument
	}
	token, s := host.GRPCCall(service, name, method, pack(metadata), message, millis(timeout))
	if s != 0 {
		return Status(s)
	}
	grpcs[token] = &GRPCStream{of: c, token: token, unary: done}
	return nil
}

// GRPCHandler answers what arrives on a gRPC stream. A field that is nil
// ignores it. Metadata can be read only in the function that got it.
type GRPCHandler struct {
	Metadata func(Headers)        // the initial metadata
	Message  func(message []byte) // each message
	Trailers func(Headers)        // the trailing metadata
	Close    func(err error)      // the end, once: nil or a *GRPCError
}

// GRPCStream is an open stream of gRPC messages.
type GRPCStream struct {
	of      Context
	token   uint32
	unary   func([]byte, error)
	handler GRPCHandler
}

// OpenGRPC opens a stream of messages to a method, named as in CallGRPC.
func (c Context) OpenGRPC(service, method string, metadata []Header, h GRPCHandler) (*GRPCStream, error) {
	name, method, ok := cutMethod(method)
	if !ok || !c.effective() {
		return nil, BadArgument
	}
	token, s := host.GRPCStream(service, name, method, pack(metadata))
	if s != 0 {
		return nil, Status(s)
	}
	g := &GRPCStream{of: c, token: token, handler: h}
	grpcs[token] = g
	return g, nil
}

// Send sends one message; end says that it is the last.
func (g *GRPCStream) Send(message []byte, end bool) error {
	return check(host.GRPCSend(g.token, message, end))
}

// Close ends the stream on this side.
func (g *GRPCStream) Close() error { return check(host.GRPCClose(g.token)) }

// Cancel drops the stream; its handler is not called again.
func (g *GRPCStream) Cancel() error {
	delete(grpcs, g.token)
	return check(host.GRPCCancel(g.token))
}

var grpcs = map[uint32]*GRPCStream{}

// cutMethod splits "pkg.Service/Method", with or without a slash in front.
func cutMethod(s string) (service, method string, ok bool) {
	if s != "" && s[0] == '/' {
		s = s[1:]
	}
	for i := len(s) - 1; i > 0; i-- {
		if s[i] == '/' {
			return s[:i], s[i+1:], i+1 < len(s)
		}
	}
	return "", "", false
}
