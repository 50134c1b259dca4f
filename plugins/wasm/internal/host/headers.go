package host

import (
	"strings"

	"github.com/meshc/meshc/plugins/wasm/internal/abi"
	"github.com/meshc/meshc/runtime/filter"
)

// Bounds on a header map that a guest writes to.
const (
	maxFields      = 2 * abi.MaxPairs
	maxHeaderBytes = abi.MaxPairsBytes
)

// writable returns a map that the guest may change now, or nil. Trailers that
// are not there are made by the first write in the callback that ends the body.
func (c *Context) writable(t abi.MapType) *filter.Headers {
	switch t {
	case abi.RequestHeaders, abi.ResponseHeaders:
		return c.headers[t/2]
	case abi.RequestTrailers, abi.ResponseTrailers:
		d := filter.Direction(t / 2)
		if c.trailers[d] == nil && c.body[d] != nil && c.ended[d] && c.stream != nil {
			return c.stream.Trailers(d)
		}
		return c.trailers[d]
	}
	return nil
}

// readable returns a map that the guest may read now, or nil.
func (c *Context) readable(t abi.MapType) *filter.Headers {
	r := c.root
	if c.record != nil {
		switch t {
		case abi.RequestHeaders:
			return c.record.Request
		case abi.ResponseHeaders:
			return c.record.Response
		case abi.ResponseTrailers:
			return c.record.ResponseTrailers
		}
	}
	switch t {
	case abi.RequestHeaders, abi.ResponseHeaders:
		return c.headers[t/2]
	case abi.RequestTrailers, abi.ResponseTrailers:
		d := filter.Direction(t / 2)
		if c.trailers[d] == nil && c.body[d] != nil && c.ended[d] && c.stream != nil {
			if made := c.stream.Trailers(d); made != nil && made.Len() > 0 {
				return made
			}
			return nil
		}
		return c.trailers[d]
	case abi.GRPCInitialMetadata:
		if r != nil {
			return r.initialMetadata
		}
	case abi.GRPCTrailingMetadata:
		if r != nil {
			return r.trailingMetadata
		}
	case abi.CallResponseHeaders:
		if r != nil && r.response != nil {
			return r.response.Headers
		}
	case abi.CallResponseTrailers:
		if r != nil && r.response != nil {
			return r.response.Trailers
		}
	}
	return nil
}

// missing is the status for a map that is not there.
func (c *Context) missing() abi.Status {
	if c.record != nil && c.stream != nil {
		return abi.NotFound
	}
	return abi.BadArgument
}

// changed follows a write: a request whose headers change is routed anew.
func (c *Context) changed(t abi.MapType) abi.Status {
	if t == abi.RequestHeaders && c.stream != nil {
		c.stream.ClearRoute()
	}
	return abi.Ok
}

func getHeader(i *Instance, p []uint64) abi.Status {
	t := abi.MapType(p[0])
	if t >= abi.MapTypes {
		return abi.BadArgument
	}
	key, ok := i.text(p[1], p[2])
	if !ok {
		return abi.InvalidMemoryAccess
	}
	value, s := "", abi.NotFound
	if h := i.current.readable(t); h == nil {
		s = i.current.missing()
	} else if value, ok = h.Get(alias(t, lower(key))); ok {
		s = abi.Ok
	}
	if s == abi.Ok || s == abi.NotFound && i.abi == abi.V0_1_0 {
		return i.answer(p[3], p[4], value)
	}
	return s
}

// field reads a name and a value that a guest wants in a map.
func (i *Instance) field(p []uint64) (h *filter.Headers, name, value []byte, s abi.Status) {
	if abi.MapType(p[0]) >= abi.MapTypes {
		return nil, nil, nil, abi.BadArgument
	}
	name, ok := i.bytes(p[1], p[2])
	value, ok2 := i.bytes(p[3], p[4])
	if !ok || !ok2 {
		return nil, nil, nil, abi.InvalidMemoryAccess
	}
	h = i.current.writable(abi.MapType(p[0]))
	switch {
	case h == nil:
		s = abi.BadArgument
	case h.Len() >= maxFields || h.Bytes()+len(name)+len(value) > maxHeaderBytes:
		s = abi.InternalFailure
	case !validField(name, value):
		s = abi.BadArgument
	}
	return h, name, value, s
}

func addHeader(i *Instance, p []uint64) abi.Status {
	h, name, value, s := i.field(p)
	if s != abi.Ok {
		return s
	}
	key := alias(abi.MapType(p[0]), lower(i.intern(name)))
	if abi.MapType(p[0])%2 == 0 && unique(key) { // not in trailers
		if old, ok := h.Get(key); ok {
			h.Set(key, old+","+string(value))
			return i.current.changed(abi.MapType(p[0]))
		}
	}
	h.Add(key, i.intern(value))
	return i.current.changed(abi.MapType(p[0]))
}

func replaceHeader(i *Instance, p []uint64) abi.Status {
	h, name, value, s := i.field(p)
	if s != abi.Ok {
		return s
	}
	// What was there goes, and the field is the last of its sort, as in Envoy.
	key := alias(abi.MapType(p[0]), lower(i.intern(name)))
	h.Remove(key)
	h.Set(key, i.intern(value))
	return i.current.changed(abi.MapType(p[0]))
}

func removeHeader(i *Instance, p []uint64) abi.Status {
	t := abi.MapType(p[0])
	if t >= abi.MapTypes {
		return abi.BadArgument
	}
	key, ok := i.text(p[1], p[2])
	if !ok {
		return abi.InvalidMemoryAccess
	}
	h := i.current.writable(t)
	if h == nil {
		return abi.BadArgument
	}
	h.Remove(alias(t, lower(key)))
	return i.current.changed(t)
}

func getHeaders(i *Instance, p []uint64) abi.Status {
	t := abi.MapType(p[0])
	if t >= abi.MapTypes {
		return abi.BadArgument
	}
	h := i.current.readable(t)
	if h == nil || h.Len() == 0 {
		return i.answer(p[1], p[2], "")
	}
	i.scratch = abi.AppendPairs(i.scratch[:0], h)
	return i.answerBytes(p[1], p[2], i.scratch)
}

func setHeaders(i *Instance, p []uint64) abi.Status {
	t := abi.MapType(p[0])
	if t >= abi.MapTypes {
		return abi.BadArgument
	}
	pairs, ok := i.bytes(p[1], p[2])
	if !ok {
		return abi.InvalidMemoryAccess
	}
	h := i.current.writable(t)
	if h == nil {
		return abi.BadArgument
	}
	i.spend(pairsCost * len(pairs))
	h.Reset()
	abi.ParsePairs(pairs, func(name, value []byte) {
		if validField(name, value) {
			h.Add(string(name), string(value))
		}
	})
	return i.current.changed(t)
}

func getHeadersSize(i *Instance, p []uint64) abi.Status {
	t := abi.MapType(p[0])
	if t >= abi.MapTypes {
		return abi.BadArgument
	}
	h := i.current.writable(t)
	if h == nil {
		return abi.BadArgument
	}
	return i.answer32(p[1], uint32(h.Bytes()))
}

// headersOf makes a map of pairs in the guest's memory.
func (i *Instance) headersOf(pairs []byte) *filter.Headers {
	i.spend(pairsCost * len(pairs))
	h := &filter.Headers{}
	abi.ParsePairs(pairs, func(name, value []byte) {
		if validField(name, value) {
			h.Add(string(name), string(value))
		}
	})
	return h
}

// validField says whether a field may be sent: a guest must not be able to end
// a header line, or the head, where it likes.
func validField(name, value []byte) bool {
	if len(name) == 0 {
		return false
	}
	for n, c := range name {
		if c <= ' ' || c >= 0x7f || c == ':' && n > 0 {
			return false
		}
	}
	for _, c := range value {
		if c == '\r' || c == '\n' || c == 0 {
			return false
		}
	}
	return true
}

// lower is strings.ToLower for names, which mostly are.
func lower(s string) string {
	for n := range len(s) {
		if c := s[n]; 'A' <= c && c <= 'Z' {
			return strings.ToLower(s)
		}
	}
	return s
}

// unique says of a field that Envoy keeps it once: another value is added to
// the first after a comma.
func unique(name string) bool {
	switch name {
	case ":authority", ":path", ":method", ":scheme", ":status", ":protocol",
		"connection", "content-length", "content-type", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "via",
		"expect", "te", "user-agent", "x-request-id", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
		"grpc-timeout", "grpc-status", "grpc-message":
		return true
	}
	return false
}

// alias returns the name under which a map has a field: requests have host as
// :authority.
func alias(t abi.MapType, name string) string {
	if t == abi.RequestHeaders && len(name) == 4 && (name == "host" || name == "Host") {
		return ":authority"
	}
	return name
}

// interned is how many texts an instance remembers, each at most as long.
const (
	interned       = 256
	internedLength = 64
)

// intern copies text out of the guest's memory. What a guest writes to headers
// it mostly writes again and again: what was copied before is not copied again.
func (i *Instance) intern(text []byte) string {
	if len(text) > internedLength {
		return string(text)
	}
	if s, ok := i.texts[string(text)]; ok {
		return s
	}
	s := string(text)
	if len(i.texts) >= interned {
		clear(i.texts)
	}
	i.texts[s] = s
	return s
}
