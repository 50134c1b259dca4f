package http2

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"

	"golang.org/x/net/http2/hpack"

	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/proxy/http1"
)

// message is what headers to be written say to the codec.
type message struct {
	length int64 // of the content-length, or -1
	status int   // of a response
	head   bool  // the method is HEAD
}

// check reports why h, which filters may have written, cannot be sent.
func check(h *filter.Headers, response bool) (m message, err error) {
	m.length = -1
	if response {
		status := h.Value(":status")
		if m.status = int(http1.Length(status)); len(status) != 3 || m.status < 100 {
			return m, errors.New("http2: :status is not a number of three digits")
		}
	} else {
		method, authority := h.Value(":method"), h.Value(":authority")
		m.head = method == "HEAD"
		switch {
		case !http1.ValidMethod(method):
			return m, errors.New("http2: :method is not a token")
		case authority != "" && !http1.ValidAuthority(authority):
			return m, errors.New("http2: malformed :authority")
		case method != "CONNECT" && !http1.ValidPath(h.Value(":path"), method):
			return m, errors.New("http2: malformed :path")
		}
	}
	for i := range h.Len() {
		f := h.At(i)
		if strings.HasPrefix(f.Name, ":") {
			continue
		}
		if f.Name == "content-length" {
			if m.length >= 0 {
				return m, errors.New("http2: more than one content-length")
			}
			if m.length = http1.Length(f.Value); m.length < 0 {
				return m, errors.New("http2: malformed content-length")
			}
			continue
		}
		if err := checkField(f); err != nil {
			return m, err
		}
	}
	return m, nil
}

// checkField is check for one field. The error names it, never its value.
func checkField(f filter.Field) error {
	if !http1.ValidName(f.Name) {
		return fmt.Errorf("http2: header name %.64q cannot be sent", f.Name)
	}
	if !http1.ValidValue(f.Value) {
		return fmt.Errorf("http2: the value of header %.64q has a control character", f.Name)
	}
	return nil
}

func checkTrailers(t *filter.Headers) error {
	for i := range t.Len() {
		if f := t.At(i); !strings.HasPrefix(f.Name, ":") {
			if err := checkField(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// encoder makes header blocks. A field goes into the peer's table when it is
// sent for the second time: what is different in each message would only push
// out what is not, and would have to be copied, for the strings lie in buffers.
type encoder struct {
	hp   *hpack.Encoder
	buf  bytes.Buffer
	seen [64]uint64
	kept [64]filter.Field
}

var seed = maphash.MakeSeed()

func (e *encoder) init() { e.hp = hpack.NewEncoder(&e.buf) }

// resize follows SETTINGS_HEADER_TABLE_SIZE.
func (e *encoder) resize(n uint32) { e.hp.SetMaxDynamicTableSize(min(n, 4096)) }

// encode returns the block for h, which check has passed, valid until the next.
// scheme is that of a request without one.
func (e *encoder) encode(h *filter.Headers, response bool, scheme string) []byte {
	e.buf.Reset()
	if response {
		e.field(":status", h.Value(":status"))
	} else {
		method := h.Value(":method")
		e.field(":method", method)
		if method != "CONNECT" {
			if s := h.Value(":scheme"); s != "" {
				scheme = s
			}
			e.field(":scheme", scheme)
			e.field(":path", h.Value(":path"))
		}
		if authority := h.Value(":authority"); authority != "" {
			e.field(":authority", authority)
		}
	}
	for i := range h.Len() {
		f := h.At(i)
		if strings.HasPrefix(f.Name, ":") {
			continue
		}
		switch f.Name {
		case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "http2-settings":
			continue
		case "host":
			if !response {
				continue
			}
		case "te":
			if response || !strings.Contains(f.Value, "trailers") {
				continue
			}
			f.Value = "trailers"
		}
		e.field(f.Name, f.Value)
	}
	return e.buf.Bytes()
}

// trailers returns the block for t, empty where there is nothing to send.
func (e *encoder) trailers(t *filter.Headers) []byte {
	e.buf.Reset()
	for i := range t.Len() {
		if f := t.At(i); !strings.HasPrefix(f.Name, ":") && !http1.NotInTrailers(f.Name) {
			e.field(f.Name, f.Value)
		}
	}
	return e.buf.Bytes()
}

func (e *encoder) field(name, value string) {
	f := hpack.HeaderField{Name: name, Value: value, Sensitive: true}
	if !secret(name) {
		h := maphash.String(seed, name) + 31*maphash.String(seed, value)
		i := h % uint64(len(e.seen))
		switch kept := &e.kept[i]; {
		case kept.Name == name && kept.Value == value:
			f.Name, f.Value, f.Sensitive = kept.Name, kept.Value, false
		case e.seen[i] == h:
			*kept = filter.Field{Name: strings.Clone(name), Value: strings.Clone(value)}
			f.Name, f.Value, f.Sensitive = kept.Name, kept.Value, false
		default:
			e.seen[i] = h
		}
	}
	e.hp.WriteField(f) // to e.buf, which takes all
}

// secret reports whether a field must not be guessed by its size on the wire:
// upstream connections carry requests of different clients (RFC 7541, 7.1).
func secret(name string) bool {
	switch name {
	case "authorization", "proxy-authorization", "cookie", "set-cookie":
		return true
	}
	return false
}
