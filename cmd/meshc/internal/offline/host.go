package offline

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/meshc/meshc/runtime/filter"
)

// host is the proxy's side of one request's chain.
type host struct {
	chain *filter.Chain
	start time.Time
	woken chan struct{}
	ended [2]bool // the message has come out to its end
}

// feed gives a whole message to the chain.
func (h *host) feed(d filter.Direction, m *Message) {
	hasBody, hasTrailers := len(m.Body) > 0, m.Trailers.Len() > 0
	headers := &filter.Headers{}
	clone(headers, &m.Headers)
	h.chain.Headers(d, headers, !hasBody && !hasTrailers)
	if hasBody {
		// Two calls, as when a body arrives behind its headers: the end comes by itself.
		h.chain.Data(d, append([]byte(nil), m.Body...), false)
		if !hasTrailers {
			h.chain.Data(d, nil, true)
		}
	}
	if hasTrailers {
		trailers := &filter.Headers{}
		clone(trailers, &m.Trailers)
		h.chain.Trailers(d, trailers)
	}
}

// serve collects what comes out of the chain, until the response has come to
// its end, the stream was reset, or ctx ends: then the filter still held it.
// answer feeds the response; it is called once the request has come out.
func (h *host) serve(ctx context.Context, answer func()) (up, down *Message, held bool) {
	for answered := false; ; {
		up = h.collect(filter.Request, up)
		if !answered && h.ended[filter.Request] {
			answered = true
			answer()
		}
		down = h.collect(filter.Response, down)
		if h.ended[filter.Response] || h.chain.WasReset() {
			return up, down, false
		}
		select {
		case <-h.woken:
		case <-ctx.Done():
			return up, down, true
		}
	}
}

// collect adds what has come out of the chain to m, which is nil before the
// first of it.
func (h *host) collect(d filter.Direction, m *Message) *Message {
	for {
		o, ok := h.chain.Take(d)
		if !ok {
			return m
		}
		if m == nil {
			m = &Message{}
		}
		m.keep(o)
		h.ended[d] = h.ended[d] || o.End
	}
}

func (h *host) record(o Outcome) *filter.Record {
	r := &filter.Record{Start: h.start, Duration: time.Since(h.start), Route: "offline", Cluster: "offline"}
	if o.Response != nil {
		r.Status, _ = strconv.Atoi(o.Response.Headers.Value(":status"))
		r.BytesSent = uint64(len(o.Response.Body))
	}
	return r
}

// Wake is part of filter.Host.
func (h *host) Wake(filter.Direction) {
	select {
	case h.woken <- struct{}{}:
	default:
	}
}

// ClearRoute is part of filter.Host; there is one route.
func (h *host) ClearRoute() {}

// Abandon is part of filter.Host; there is no upstream to let go.
func (h *host) Abandon() {}

// Panicked is part of filter.Host. A panic in a filter of ours is a bug.
func (h *host) Panicked(value any, stack []byte) {
	panic(fmt.Sprintf("%v\n%s", value, stack))
}

// Property is part of filter.Host. It answers what a client on this machine
// would bring.
func (h *host) Property(path []string) (filter.Value, bool) {
	if h.chain == nil { // filters are being made
		return nil, false
	}
	req, _ := h.chain.Seen(filter.Request)
	res, _ := h.chain.Seen(filter.Response)
	switch name := strings.Join(path, "."); name {
	case "source.address":
		return "127.0.0.1:50000", true
	case "source.port":
		return int64(50000), true
	case "destination.address":
		return "127.0.0.1:8080", true
	case "destination.port":
		return int64(8080), true
	case "xds.route_name", "xds.cluster_name", "xds.virtual_host_name":
		return "offline", true
	case "request.protocol":
		return "HTTP/1.1", true
	case "request.time":
		return h.start, true
	case "request.path", "request.method", "request.scheme", "request.host":
		if req == nil {
			return nil, false
		}
		return req.Get(map[string]string{
			"request.path": ":path", "request.method": ":method", "request.scheme": ":scheme", "request.host": ":authority",
		}[name])
	case "request.url_path":
		if req == nil {
			return nil, false
		}
		p, _, _ := strings.Cut(req.Value(":path"), "?")
		return p, true
	case "response.code":
		if res == nil {
			return nil, false
		}
		code, err := strconv.ParseInt(res.Value(":status"), 10, 64)
		return code, err == nil
	}
	if len(path) == 3 && path[1] == "headers" {
		if path[0] == "request" && req != nil {
			return req.Get(strings.ToLower(path[2]))
		}
		if path[0] == "response" && res != nil {
			return res.Get(strings.ToLower(path[2]))
		}
	}
	return nil, false
}
