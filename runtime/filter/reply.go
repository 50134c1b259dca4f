package filter

import (
	"strconv"
	"strings"
)

// askReply notes the first reply of a callback, and reports whether this is it.
// It is acted on when the callback has returned.
func (c *Chain) askReply(r Reply) bool {
	if c.reply != nil || c.reset.Load() || c.message[Response].finished {
		return false
	}
	c.reply = &r
	c.worker.asking = append(c.worker.asking, c)
	return true
}

// settle makes the reply that was asked for in the callback that just
// returned. It passes the response methods of the whole chain, or, where a
// response is already among the filters, takes its place unseen; one whose
// headers have left is cut off. All of it is as in Envoy.
func (c *Chain) settle() {
	r := c.reply
	if r == nil {
		return
	}
	c.reply = nil
	m := &c.message[Response]
	switch {
	case c.reset.Load() || m.finished:
		return
	case m.left:
		c.details = r.Details
		m.cut, m.last = true, m.pending
		c.doReset()
		return
	}
	c.takeOver(r.Details)
	h, body := c.response(r)
	end := len(body) == 0
	if m.headers != nil {
		c.replace(h, body)
		return
	}
	m.headers, m.endHeaders, m.ended = h, end, true
	c.passHeaders(Response, 0)
	if !end && !c.reset.Load() && !m.cut {
		c.passData(Response, 0, body, true)
	}
}

// takeOver ends the request's way and lets go of the upstream.
func (c *Chain) takeOver(details string) {
	c.replied.Store(true)
	c.details = details
	m := &c.message[Request]
	m.cut = true
	m.headersAt, m.trailersAt = nowhere, nowhere
	if !m.left {
		m.out, m.pending = Output{}, false
	}
	c.mark(Request)
	c.host.Abandon()
}

// replace puts a whole response at the exit and cuts off what was there.
func (c *Chain) replace(h *Headers, body []byte) {
	m := &c.message[Response]
	m.cut, m.left, m.ended, m.finished = true, true, true, true
	m.headersAt, m.trailersAt = nowhere, nowhere
	m.headers, m.trailers = h, nil
	m.passed += uint64(len(body))
	m.out = Output{Headers: h, Data: body, End: true}
	m.pending, m.borrowed = true, true
	c.mark(Response)
}

// refuse takes the place of a response that cannot be sent as the filters have
// left it.
func (c *Chain) refuse() {
	r := Reply{Status: 502, Body: []byte("missing required header: :status"), GRPCStatus: -1, Details: "filter_removed_required_response_headers"}
	c.takeOver(r.Details)
	c.replace(c.response(&r))
}

// sendable reports whether h is the head of a final response. Envoy sends any
// number; but a client takes what follows an interim response for the next.
func sendable(h *Headers) bool {
	s := h.Value(":status")
	if len(s) != 3 || s[0] < '1' || s[0] > '9' || s[1] < '0' || s[1] > '9' || s[2] < '0' || s[2] > '9' {
		return false
	}
	return s[0] >= '2' || s == "101"
}

// fail ends a stream whose filter panicked.
func (c *Chain) fail() {
	c.reply = nil
	m := &c.message[Response]
	if c.tcp || m.left {
		c.doReset()
		return
	}
	r := Reply{Status: 500, GRPCStatus: -1, Details: "filter_panic"}
	c.takeOver(r.Details)
	h, _ := c.response(&r)
	c.replace(h, nil)
}

func (c *Chain) tooLarge(d Direction) {
	if d == Request {
		c.askReply(Reply{Status: 413, Body: []byte("Payload Too Large"), GRPCStatus: -1, Details: "request_payload_too_large"})
	} else if c.message[Response].left {
		c.doReset()
		return
	} else {
		c.askReply(Reply{Status: 500, Body: []byte("Internal Server Error"), GRPCStatus: -1, Details: "response_payload_too_large"})
	}
	c.settle()
}

func (c *Chain) doReset() {
	if c.reset.Load() {
		return
	}
	c.reset.Store(true)
	c.message[Response].keepLast()
	c.mark(Request)
	c.mark(Response)
	c.host.Abandon()
}

// keepLast has what waits at the exit leave in spite of a reset, as it would
// have in Envoy, where each piece leaves as soon as it comes out. It does not
// look like the end of the message.
func (m *message) keepLast() {
	if !m.pending || m.last {
		return
	}
	m.last = true
	m.out.End, m.out.Trailers = false, nil
	if m.borrowed {
		m.out.Data, m.borrowed = append([]byte(nil), m.out.Data...), false
	}
}

// response returns the response that r is for the stream of c.
func (c *Chain) response(r *Reply) (h *Headers, body []byte) {
	return r.Response(c.message[Request].headers, c.change)
}

// Response returns the response that r is, for the request with headers req,
// which may be nil. What it looks like is Envoy's (Utility::sendLocalReply).
// change, which may be nil, may alter its headers before those are added that
// the body needs.
func (r *Reply) Response(req *Headers, change func(*Headers)) (h *Headers, body []byte) {
	h = &Headers{}
	if change == nil {
		change = func(*Headers) {}
	}
	if req != nil && IsGRPC(req.Value("content-type")) {
		status := r.GRPCStatus
		if status < 0 && r.Status == 200 {
			status = 0
		} else if status < 0 {
			status = GRPCStatus(r.Status)
		}
		h.Add(":status", "200")
		r.add(h)
		change(h)
		h.Set("content-type", "application/grpc")
		h.Set("grpc-status", strconv.Itoa(status))
		if len(r.Body) > 0 {
			h.Set("grpc-message", percentEncode(r.Body))
		}
		return h, nil
	}
	h.Add(":status", strconv.Itoa(r.Status))
	r.add(h)
	change(h)
	if len(r.Body) == 0 {
		return h, nil
	}
	h.Set("content-length", strconv.Itoa(len(r.Body)))
	if _, ok := h.Get("content-type"); !ok {
		h.Add("content-type", "text/plain")
	}
	if req != nil && req.Value(":method") == "HEAD" {
		return h, nil
	}
	return h, r.Body
}

// add appends the headers of r but pseudo fields.
func (r *Reply) add(h *Headers) {
	for _, f := range r.Headers {
		if !strings.HasPrefix(f.Name, ":") {
			h.Add(f.Name, f.Value)
		}
	}
}

// IsGRPC reports whether a content-type is that of gRPC, as Envoy has it; gRPC-Web is not.
func IsGRPC(contentType string) bool {
	rest, ok := strings.CutPrefix(contentType, "application/grpc")
	return ok && (rest == "" || rest[0] == '+')
}

// GRPCStatus is the status of a gRPC call that was answered without one, from that of
// HTTP (http-grpc-status-mapping.md).
func GRPCStatus(http int) int {
	switch http {
	case 400:
		return 13
	case 401:
		return 16
	case 403:
		return 7
	case 404:
		return 12
	case 429, 502, 503, 504:
		return 14
	}
	return 2
}

// percentEncode writes a grpc-message: all but printable ASCII, and %, encoded.
func percentEncode(p []byte) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range p {
		if c >= ' ' && c <= '~' && c != '%' {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}
