package sdk

import (
	"time"

	"github.com/meshc/meshc/plugins/wasm/sdk/internal/host"
)

// Context is what an HTTP stream, a TCP connection and the plugin have in
// common: each can call services. What is asked for a stream ends with it: once
// it is gone, no function of its calls is called.
type Context struct {
	of *stream
	id uint32 // of's, as long as that is what it was
}

func (c Context) gone() bool { return c.of == nil || c.of.id != c.id }

// Request is a request to a service. Method is GET, Path / and Authority the
// name of the service where they are empty.
type Request struct {
	Method, Path, Authority string
	Headers                 []Header
	Body                    []byte
	Trailers                []Header
}

// Response is the answer to a Request. It can be read only in the function
// that got it.
type Response struct {
	Headers  Headers
	Body     Body
	Trailers Headers
}

// Status returns the response's status, or 0 when there is none.
func (r Response) Status() int {
	n := 0
	for _, c := range []byte(r.Headers.Get(":status")) {
		if c < '0' || c > '9' || n > 999 {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// Call sends a request to one of the services that the attaching document
// lists. done is called later, once: with the response, or with
// BrokenConnection when there is none. A service that cannot be reached answers
// 503 and one that is too slow 504, as responses. In done, the stream's methods
// work as in its callbacks: a paused request goes on with ContinueRequest or
// ends with Reply.
func (c Context) Call(service string, r Request, timeout time.Duration, done func(Response, error)) error {
	if !c.effective() {
		return BadArgument
	}
	token, s := host.HTTPCall(service, r.pack(service), r.Body, pack(r.Trailers), millis(timeout))
	if s != 0 {
		return Status(s)
	}
	calls[token] = pendingCall{c, done}
	return nil
}

func (r *Request) pack(service string) []byte {
	headers := append(make([]Header, 0, 3+len(r.Headers)),
		Header{":method", or(r.Method, "GET")}, Header{":path", or(r.Path, "/")}, Header{":authority", or(r.Authority, service)})
	return pack(append(headers, r.Headers...))
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

type pendingCall struct {
	of   Context
	done func(Response, error)
}

var calls = map[uint32]pendingCall{}

// effective makes c the context that the host's functions act on, until the
// callback returns. It says whether c is still there.
func (c Context) effective() bool {
	if c.gone() {
		return false
	}
	if current == c.id {
		return true
	}
	if host.SetEffectiveContext(c.id) != 0 {
		return false
	}
	current = c.id
	return true
}

func (c Context) resume(side int32) error {
	if !c.effective() {
		return BadArgument
	}
	return check(host.ContinueStream(side))
}
