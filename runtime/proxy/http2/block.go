package http2

import (
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/proxy/http1"
)

type blockKind uint8

const (
	blockDropped  blockKind = iota // decoded for the table's sake
	blockRefused                   // the same, and the stream is reset
	blockRequest                   // begins a stream
	blockResponse                  // interim or final
	blockTrailers
	blockBad // must not be here
)

// maxParts bounds the frames of a header block: of the limit's size, in frames that
// are worth one.
const maxParts = 64

// block is the header block that is being received. It is the reader's.
type block struct {
	c    *conn
	dec  *hpack.Decoder
	kind blockKind
	id   uint32
	end  bool // END_STREAM

	h              filter.Headers
	parts, encoded int
	size, count    int
	over           bool   // over the limits
	fault          string // why it is malformed
	regular        bool   // a field that is not pseudo has come
	method, path   string
	scheme, status string
	authority      string
	seen           uint8 // pseudo fields, by bits
	host           string
	length         int64 // of the content-length, or -1
	expect         string
	crumbs         []string // of cookies
}

func (b *block) init(c *conn) {
	b.c = c
	b.dec = hpack.NewDecoder(4096, b.field)
	b.dec.SetMaxStringLength(2 * c.limits.HeaderBytes)
	b.clear()
}

// clear makes b ready for the next block.
func (b *block) clear() {
	b.h.Reset()
	clear(b.crumbs)
	*b = block{c: b.c, dec: b.dec, h: b.h, crumbs: b.crumbs[:0], length: -1}
	b.dec.SetEmitEnabled(true)
}

// more takes a fragment; ended says that it is the last.
func (b *block) more(p []byte, ended bool) error {
	b.parts++
	b.encoded += len(p)
	if b.parts > maxParts || b.encoded > 2*b.c.limits.HeaderBytes {
		return &Error{Code: http2.ErrCodeEnhanceYourCalm, Reason: "header block without end"}
	}
	_, err := b.dec.Write(p)
	if err == nil && ended {
		err = b.dec.Close()
	}
	if err != nil {
		return &Error{Code: http2.ErrCodeCompression, Reason: "malformed header block"}
	}
	if !ended {
		return nil
	}
	err = b.c.finish(b)
	b.clear()
	return err
}

// field takes one decoded field.
func (b *block) field(f hpack.HeaderField) {
	b.count++
	b.size += len(f.Name) + len(f.Value) + 4
	if b.size > b.c.limits.HeaderBytes || b.count > b.c.limits.HeaderCount {
		b.over = true
		b.dec.SetEmitEnabled(false)
		return
	}
	if b.kind <= blockRefused || b.fault != "" {
		return
	}
	switch {
	case strings.HasPrefix(f.Name, ":"):
		b.pseudo(f.Name, f.Value)
		return
	case !http1.ValidName(f.Name):
		b.fault = "malformed header name"
	case !http1.ValidValue(f.Value):
		b.fault = "control character in a header value"
	case b.kind == blockTrailers:
		if http1.NotInTrailers(f.Name) {
			b.fault = "field not allowed in trailers"
		}
	default:
		b.regular = true
		if !b.special(f.Name, f.Value) {
			return
		}
	}
	b.h.Add(f.Name, f.Value)
}

// Pseudo fields that have come.
const (
	hasStatus uint8 = 1 << iota
	hasMethod
	hasPath
	hasScheme
	hasAuthority
)

// pseudo takes a pseudo field (RFC 9113, 8.3): each comes once, and none is
// empty but :authority.
func (b *block) pseudo(name, value string) {
	var to *string
	var which uint8
	switch {
	case b.regular:
	case b.kind == blockResponse && name == ":status":
		to, which = &b.status, hasStatus
	case b.kind != blockRequest:
	case name == ":method":
		to, which = &b.method, hasMethod
	case name == ":path":
		to, which = &b.path, hasPath
	case name == ":scheme":
		to, which = &b.scheme, hasScheme
	case name == ":authority":
		to, which = &b.authority, hasAuthority
	}
	switch {
	case to == nil || b.seen&which != 0:
		b.fault = "pseudo header that must not be here"
		return
	case value == "" && which != hasAuthority:
		b.fault = "empty pseudo header"
		return
	}
	b.seen |= which
	*to = value
	b.h.Add(name, value)
}

// special looks at fields that mean something to the codec, and reports
// whether they are shown.
func (b *block) special(name, value string) bool {
	switch name {
	case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
		b.fault = "header of the connection (RFC 9113, 8.2.2)"
	case "te":
		if value != "trailers" {
			b.fault = "te other than trailers"
		}
	case "content-length":
		if b.length >= 0 {
			b.fault = "more than one content-length"
		}
		if b.length = http1.Length(value); b.length < 0 {
			b.fault = "malformed content-length"
		}
	case "host":
		if b.kind == blockRequest {
			if b.host != "" {
				b.fault = "more than one host"
			}
			b.host = value
			return false
		}
	case "expect":
		b.expect = value
	case "cookie":
		if b.kind == blockRequest {
			b.crumbs = append(b.crumbs, value)
			return false
		}
	}
	return true
}

// request checks what the fields of a request say together, and returns why it
// is malformed.
func (b *block) request() string {
	if b.fault != "" {
		return b.fault
	}
	if b.authority == "" && b.host != "" {
		b.authority = b.host
		b.h.Set(":authority", b.host)
	}
	switch {
	case !http1.ValidMethod(b.method):
		return "malformed :method"
	case b.authority != "" && !http1.ValidAuthority(b.authority):
		return "malformed :authority"
	case b.method == "CONNECT":
		if b.path != "" || b.scheme != "" || b.authority == "" {
			return "malformed CONNECT"
		}
	case b.scheme != "http" && b.scheme != "https":
		return "unknown :scheme"
	case !http1.ValidPath(b.path, b.method):
		return "malformed :path"
	}
	if b.end && b.length > 0 {
		return "content-length without a body"
	}
	if len(b.crumbs) > 0 { // as one field, after all others, as in Envoy
		b.h.Add("cookie", strings.Join(b.crumbs, "; "))
	}
	return ""
}

// refusal is what a request is answered that is well-formed and not wanted.
func (b *block) refusal() *http1.Error {
	switch {
	case b.over:
		return &http1.Error{Status: 431, Reason: "header section over the limit"}
	case b.expect != "" && !strings.EqualFold(b.expect, "100-continue"):
		return &http1.Error{Status: 417, Reason: "unknown expectation"}
	case b.length > 0 && b.c.limits.BodyBytes > 0 && b.length > b.c.limits.BodyBytes:
		return &http1.Error{Status: 413, Reason: "content-length over the limit"}
	}
	return nil
}

// finish acts on a block that is whole.
func (c *conn) finish(b *block) error {
	switch b.kind {
	case blockRefused:
		c.mu.Lock()
		defer c.mu.Unlock()
		c.out.reset(b.id, CodeRefusedStream)
		if c.answer() {
			return errFlood
		}
	case blockRequest:
		return c.finishRequest(b)
	case blockResponse:
		return c.finishResponse(b)
	case blockTrailers:
		return c.finishTrailers(b)
	}
	return nil
}

func (c *conn) finishTrailers(b *block) error {
	code := CodeNo
	s := c.lock(b.id)
	if s == nil {
		return nil
	}
	switch {
	case s.ended:
		code = http2.ErrCodeStreamClosed
	case !b.end, b.over, b.fault != "", s.left > 0:
		code = CodeProtocol
	default:
		s.trailers, b.h = b.h, s.trailers
		s.ended = true
		c.touched = append(c.touched, s)
	}
	s.mu.Unlock()
	if code != CodeNo {
		return c.resetByID(b.id, code, "trailers that may not be")
	}
	return nil
}

func (c *conn) finishResponse(b *block) error {
	status := 0
	if len(b.status) == 3 {
		status = int(http1.Length(b.status))
	}
	fault := b.fault
	switch {
	case fault != "":
	case b.over:
		fault = "header section over the limit"
	case status < 100 || status == 101:
		fault = "malformed :status"
	case status < 200 && b.end:
		fault = "interim response that ends the stream"
	}
	s := c.lock(b.id)
	if s == nil {
		return nil
	}
	switch {
	case fault != "":
	case status < 200:
		if len(s.interim) == maxInterim {
			fault = "too many interim responses"
			break
		}
		var h filter.Headers
		h.CopyFrom(&b.h)
		s.interim = append(s.interim, h)
	default:
		if !s.head && status != 204 && status != 304 {
			s.left = b.length
		}
		if b.end && s.left > 0 {
			fault = "content-length without a body"
			break
		}
		s.headers, b.h = b.h, s.headers
		s.begun, s.ended = true, b.end
	}
	s.mu.Unlock()
	if fault != "" {
		return c.resetByID(b.id, CodeProtocol, fault)
	}
	c.touched = append(c.touched, s)
	return nil
}
