package http1

import (
	"errors"

	"github.com/meshc/meshc/runtime/filter"
)

// request is how a request is to be written; the second group is filled in.
type request struct {
	upgrade string // protocol to ask for
	closing bool

	head, connect bool
}

// response is how a response is to be written.
type response struct {
	head, connect bool // what was asked
	http10        bool // by whom
	upgrade       string
	keep          bool // the connection; cleared where the framing ends it
}

// ready reports why a message cannot begin.
func (o *output) ready() error {
	if o.err == nil && o.begun {
		return errors.New("http1: headers written twice")
	}
	return o.err
}

// request writes the header section of a request.
func (o *output) request(h *filter.Headers, end bool, r *request) error {
	if err := o.ready(); err != nil {
		return err
	}
	method, path, authority := h.Value(":method"), h.Value(":path"), h.Value(":authority")
	r.head, r.connect = method == "HEAD", method == "CONNECT"
	target := path
	if r.connect {
		target = authority
	}
	switch {
	case !validToken(method):
		return errors.New("http1: :method is not a token")
	case !validTarget(target):
		return errors.New("http1: :path cannot stand in a request line")
	case !r.connect && target[0] != '/' && !(target == "*" && method == "OPTIONS"):
		return errors.New("http1: :path does not begin with a slash")
	case r.upgrade != "" && !validUpgrade(r.upgrade):
		return errors.New("http1: malformed protocol to switch to")
	case authority != "" && !validAuthority(bytesOf(authority), r.connect):
		return errors.New("http1: malformed :authority")
	}
	b := append(append(o.start(), method...), ' ')
	b = append(append(b, target...), " HTTP/1.1\r\nhost: "...)
	b = append(append(b, authority...), "\r\n"...)
	b, length, err := appendFields(b, h, true)
	frame := frameLength
	switch {
	case err != nil:
	case end && length > 0:
		err = errTooShort
	case r.connect && !end:
		err = errors.New("http1: CONNECT with a body")
	case length >= 0:
		b = appendLength(b, length)
	case !end:
		frame = frameChunked
		b = append(b, "transfer-encoding: chunked\r\n"...)
	case method == "POST" || method == "PUT" || method == "PATCH":
		b = appendLength(b, 0)
	}
	if err != nil {
		o.release()
		return err
	}
	b = appendConnection(b, r.closing, false, r.upgrade)
	o.begin(append(b, "\r\n"...), frame, length, end)
	return nil
}

// response writes the header section of a final response.
func (o *output) response(h *filter.Headers, end bool, r *response) error {
	if err := o.ready(); err != nil {
		return err
	}
	status, err := statusOf(h)
	if err != nil {
		return err
	}
	if status < 200 && status != 101 {
		return errors.New("http1: interim status in a final response")
	}
	if status == 101 && !validUpgrade(r.upgrade) {
		return errors.New("http1: 101 without a protocol to switch to")
	}
	b := appendStatus(o.start(), h, status)
	b, length, err := appendFields(b, h, false)
	if err != nil {
		o.release()
		return err
	}
	// What the status forbids (RFC 9110, 8.6) is not passed on either.
	tunnel := status == 101 || r.connect && status/100 == 2
	bodiless := r.head || status == 204 || status == 304
	frame := frameLength
	switch {
	case tunnel:
		frame, end = frameTunnel, true
	case bodiless:
		frame = frameNone
	case end && length > 0:
		o.release()
		return errTooShort
	case end:
		length = 0
	case length < 0 && r.http10:
		frame, r.keep = frameClose, false
	case length < 0:
		frame = frameChunked
	}
	switch {
	case tunnel || status == 204:
	case frame == frameChunked:
		b = append(b, "transfer-encoding: chunked\r\n"...)
	case length >= 0:
		b = appendLength(b, length)
	}
	upgrade := ""
	if status == 101 {
		upgrade = r.upgrade
	}
	b = appendConnection(b, !r.keep && !tunnel, r.keep && r.http10, upgrade)
	o.begin(append(b, "\r\n"...), frame, length, end)
	return nil
}

// interim appends an interim response to what is pending.
func (o *output) interim(h *filter.Headers, status int) error {
	if o.err != nil {
		return o.err
	}
	b, _, err := appendFields(appendStatus(o.start(), h, status), h, false)
	if err != nil {
		o.release()
		return err
	}
	o.pending = append(b, "\r\n"...)
	return nil
}
