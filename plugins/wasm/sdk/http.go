package sdk

import "github.com/meshc/meshc/plugins/wasm/sdk/internal/host"

// HTTPFilter is what happens to one HTTP stream. Embed PassThrough and write
// the methods that matter. end says that nothing follows in that direction.
type HTTPFilter interface {
	RequestHeaders(h Headers, end bool) Action
	// RequestBody sees each piece as it arrives, and after Pause all of it so far.
	// The end often comes as a call of its own, with an empty piece.
	RequestBody(b Body, end bool) Action
	RequestTrailers(t Headers) Action
	ResponseHeaders(h Headers, end bool) Action
	ResponseBody(b Body, end bool) Action
	ResponseTrailers(t Headers) Action
	// Done is called once, at the end. The headers of both sides can be read, by
	// RequestHeaders and ResponseHeaders, and most is known about the stream:
	// Property("response", "code"), for one.
	Done()
}

// PassThrough lets everything pass. It is embedded in filters, so that they
// need not write each method.
type PassThrough struct{}

func (PassThrough) RequestHeaders(Headers, bool) Action  { return Continue }
func (PassThrough) RequestBody(Body, bool) Action        { return Continue }
func (PassThrough) RequestTrailers(Headers) Action       { return Continue }
func (PassThrough) ResponseHeaders(Headers, bool) Action { return Continue }
func (PassThrough) ResponseBody(Body, bool) Action       { return Continue }
func (PassThrough) ResponseTrailers(Headers) Action      { return Continue }
func (PassThrough) Connected() Action                    { return Continue }
func (PassThrough) Downstream(Body, bool) Action         { return Continue }
func (PassThrough) Upstream(Body, bool) Action           { return Continue }
func (PassThrough) DownstreamClosed(Peer)                {}
func (PassThrough) UpstreamClosed(Peer)                  {}
func (PassThrough) Done()                                {}

// Stream is one HTTP request and its response. It may be copied and kept; once the
// stream is gone, its methods do nothing.
type Stream struct{ Context }

// Header is one header, trailer or piece of metadata. Names are in lower case;
// what is no header in HTTP/1 is named :method, :path, :authority, :scheme and
// :status.
type Header struct{ Name, Value string }

// Reply answers the request in place of the service. content-length and, with
// a body, content-type: text/plain are added by the host. The reply passes the
// response callbacks of the filter, too. It returns Pause, for the callback to
// return; whatever that returns, the request goes no further.
func (s Stream) Reply(status int, body string, headers ...Header) Action {
	return s.reply(status, "", body, headers, -1)
}

// ReplyGRPC answers a gRPC request with a gRPC status other than 0 and a
// message, as Reply does.
func (s Stream) ReplyGRPC(status int, message string, headers ...Header) Action {
	return s.reply(200, "", message, headers, int32(status))
}

// ReplyDetails is Reply with a word for the host's access log, that says why.
func (s Stream) ReplyDetails(status int, details, body string, headers ...Header) Action {
	return s.reply(status, details, body, headers, -1)
}

func (s Stream) reply(status int, details, body string, headers []Header, grpc int32) Action {
	if !s.effective() {
		return Pause
	}
	if st := host.SendLocalResponse(uint32(status), details, body, pack(headers), grpc); st != 0 {
		// Without a reply the stream would hang; without the stream nothing passes.
		Log(Error, "cannot reply: ", Status(st).Error())
		host.CloseStream(host.Request)
	}
	return Pause
}

// ContinueRequest lets a request go on that RequestHeaders or RequestBody
// paused.
func (s Stream) ContinueRequest() error { return s.resume(host.Request) }

// ContinueResponse lets a response go on that was paused.
func (s Stream) ContinueResponse() error { return s.resume(host.Response) }

// Reset ends the stream without an answer.
func (s Stream) Reset() error {
	if !s.effective() {
		return BadArgument
	}
	return check(host.CloseStream(host.Request))
}

// ClearRouteCache has the host choose the route again, by the headers as they
// are now. Envoy does so by itself when a filter changes request headers.
func (s Stream) ClearRouteCache() error {
	if !s.effective() {
		return BadArgument
	}
	_, err := CallForeign("clear_route_cache", nil)
	return err
}
