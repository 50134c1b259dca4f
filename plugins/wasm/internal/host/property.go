package host

import (
	"strconv"
	"strings"

	"github.com/meshc/meshc/plugins/wasm/internal/abi"
	"github.com/meshc/meshc/runtime/filter"
)

// maxPath is how many segments a property's path may have.
const maxPath = 16

// Bounds on what set_property keeps for one context: how many properties, and
// what each takes besides its bytes. They are looked up one by one.
const (
	maxProperties = 1000
	propertySize  = 64
)

// properties returns what answers for c, or nil.
func (c *Context) properties() filter.Properties {
	switch {
	case c.stream != nil:
		return c.stream
	case c.conn != nil:
		return c.conn
	}
	return nil
}

func getProperty(i *Instance, p []uint64) abi.Status {
	text, ok := i.text(p[0], p[1])
	if !ok {
		return abi.InvalidMemoryAccess
	}
	if text == "" {
		return abi.SerializationFailure
	}
	n, ok := abi.SplitPath(text, i.path[:])
	if !ok {
		return abi.NotFound
	}
	path := i.path[:n]
	v, s := i.property(path)
	if s == abi.Ok {
		if text, ok := v.(string); ok {
			s = i.answer(p[2], p[3], text)
		} else if i.scratch, ok = abi.AppendValue(i.scratch[:0], v); ok {
			s = i.answerBytes(p[2], p[3], i.scratch)
		} else {
			s = abi.SerializationFailure
		}
	}
	clear(i.path[:n])
	return s
}

// whole are the roots of properties that are objects: they exist, but have no
// form of their own.
var whole = map[string]bool{
	"request": true, "response": true, "connection": true, "upstream": true,
	"source": true, "destination": true, "filter_state": true, "xds": true,
}

func (i *Instance) property(path []string) (filter.Value, abi.Status) {
	c := i.current
	if c.root != nil && len(path) == 1 {
		switch path[0] {
		case "plugin_name":
			return c.root.plugin.Name, abi.Ok
		case "plugin_root_id":
			return c.root.plugin.RootID, abi.Ok
		case "plugin_vm_id":
			return i.config.VMID, abi.Ok
		}
	}
	ps := c.properties()
	switch {
	case ps == nil && len(path) == 1 && path[0] == "xds":
		return nil, abi.SerializationFailure
	case ps == nil:
		return nil, abi.NotFound
	case len(path) == 1:
		return single(ps, path)
	}
	if v, s, known := c.own(ps, path); known {
		return v, s
	}
	if v, ok := ps.Property(path...); ok {
		return v, abi.Ok
	}
	return nil, abi.NotFound
}

// single answers for a path of one segment.
func single(ps filter.Properties, path []string) (filter.Value, abi.Status) {
	switch name := path[0]; {
	case name == "metadata": // no filter of ours sets any
		return "", abi.Ok
	case name == "upstream_filter_state":
		if _, ok := ps.Property(name); !ok {
			return nil, abi.NotFound
		}
		return nil, abi.SerializationFailure
	case whole[name]:
		return nil, abi.SerializationFailure
	case name == "connection_id":
		path = []string{"connection", "id"}
	}
	if v, ok := ps.Property(path...); ok {
		return v, abi.Ok
	}
	return nil, abi.NotFound
}

// ofUpstream is the status of an object that is there once an upstream is.
func ofUpstream(ps filter.Properties) abi.Status {
	if _, ok := ps.Property("upstream", "address"); ok {
		return abi.SerializationFailure
	}
	return abi.NotFound
}

// noFields is what a map is that is not within reach.
var noFields = &filter.Headers{}

// own answers for what depends on what is within the guest's reach, or is the
// same for every proxy; known is false for what the proxy answers. What is read
// from the headers of a message is in Envoy there only while the message is
// within reach, and in on_log.
func (c *Context) own(ps filter.Properties, path []string) (v filter.Value, s abi.Status, known bool) {
	switch path[0] {
	case "request":
		switch path[1] {
		case "path", "url_path", "host", "scheme", "method", "referer", "useragent", "id", "query":
			return nil, abi.NotFound, len(path) > 2 || c.readable(abi.RequestHeaders) == nil
		case "headers":
			v, s = c.fields(abi.RequestHeaders, path[2:])
			return v, s, true
		case "total_size":
			return c.total(ps, path, abi.RequestHeaders)
		}
	case "response":
		switch path[1] {
		case "headers":
			v, s = c.fields(abi.ResponseHeaders, path[2:])
			return v, s, true
		case "trailers":
			v, s = c.fields(abi.ResponseTrailers, path[2:])
			return v, s, true
		case "total_size":
			return c.total(ps, path, abi.ResponseHeaders, abi.ResponseTrailers)
		case "grpc_status":
			return c.grpcStatus(ps, path)
		}
	case "upstream":
		if path[1] == "locality" && len(path) == 2 { // no endpoint of ours has one
			if ofUpstream(ps) == abi.NotFound {
				return nil, abi.NotFound, true
			}
			return "", abi.Ok, true
		}
	case "xds":
		if len(path) == 2 && (path[1] == "upstream_host_metadata" || path[1] == "upstream_host_locality_metadata") {
			return nil, ofUpstream(ps), true
		}
		return nil, abi.Ok, false
	case "filter_state": // where set_property puts what it is given
		if name, ok := strings.CutPrefix(path[1], "wasm."); ok && len(path) == 2 && name != "connection_id" {
			if v, ok := ps.Property(name); ok {
				return v, abi.Ok, true
			}
		}
		return nil, abi.NotFound, true
	case "connection", "source", "destination":
	default:
		return nil, abi.Ok, false
	}
	return nil, abi.NotFound, len(path) > 2
}

// fields answers for a map of headers, or for a field in it, whose values are
// joined.
func (c *Context) fields(t abi.MapType, path []string) (filter.Value, abi.Status) {
	h := c.readable(t)
	if h == nil {
		h = noFields
	}
	if len(path) == 0 {
		c.instance.spend(h.Len() * h.Len())
		return joined(h), abi.Ok
	}
	if len(path) > 1 {
		return nil, abi.NotFound
	}
	if v, ok := values(h, alias(t, lower(path[0]))); ok {
		return v, abi.Ok
	}
	return nil, abi.NotFound
}

// values returns the values of a field, with commas between them.
func values(h *filter.Headers, name string) (all string, found bool) {
	for n := range h.Len() {
		switch f := h.At(n); {
		case f.Name != name:
		case !found:
			all, found = f.Value, true
		default:
			all += "," + f.Value
		}
	}
	return all, found
}

// joined is h with each name once.
func joined(h *filter.Headers) *filter.Headers {
	once := &filter.Headers{}
	for n := range h.Len() {
		name := h.At(n).Name
		if _, seen := once.Get(name); !seen {
			all, _ := values(h, name)
			once.Add(name, all)
		}
	}
	return once
}

// Paths that the host asks for itself; written out in a call, each were made anew.
var (
	sizeOf = map[string][]string{"request": {"request", "size"}, "response": {"response", "size"}}

	requestTotal  = []string{"request", "total_size"}
	requestFields = []string{"request", "headers_bytes"}
)

// total is the size of a message: its body, and of its maps those in reach.
func (c *Context) total(ps filter.Properties, path []string, maps ...abi.MapType) (v filter.Value, s abi.Status, known bool) {
	body, _ := ps.Property(sizeOf[path[0]]...)
	size, ok := body.(int64)
	if !ok || len(path) > 2 {
		return nil, abi.NotFound, true
	}
	if path[0] == "request" { // whose size may be what its content-length says
		whole, _ := ps.Property(requestTotal...)
		fields, _ := ps.Property(requestFields...)
		if whole, ok := whole.(int64); ok {
			n, _ := fields.(int64)
			size = whole - n
		}
	}
	for _, t := range maps {
		if h := c.readable(t); h != nil {
			size += int64(h.Bytes())
		}
	}
	return size, abi.Ok, true
}

// grpcStatus is what the response says, or else what its HTTP status means
// (gRPC's "HTTP to gRPC Status Code Mapping").
func (c *Context) grpcStatus(ps filter.Properties, path []string) (v filter.Value, s abi.Status, known bool) {
	if len(path) > 2 {
		return nil, abi.NotFound, true
	}
	for _, t := range []abi.MapType{abi.ResponseTrailers, abi.ResponseHeaders} {
		if h := c.readable(t); h != nil {
			if n, err := strconv.ParseInt(h.Value("grpc-status"), 10, 64); err == nil {
				return n, abi.Ok, true
			}
		}
	}
	if v, ok := ps.Property(path...); ok {
		return v, abi.Ok, true
	}
	code, _ := ps.Property("response", "code")
	status := int64(2) // unknown
	switch code {
	case nil:
		return nil, abi.NotFound, true
	case int64(400):
		status = grpcInternal
	case int64(401):
		status = 16
	case int64(403):
		status = 7
	case int64(404):
		status = 12
	case int64(429), int64(502), int64(503), int64(504):
		status = grpcUnavailable
	}
	return status, abi.Ok, true
}

func setProperty(i *Instance, p []uint64) abi.Status {
	path, ok := i.text(p[0], p[1])
	value, ok2 := i.bytes(p[2], p[3])
	if !ok || !ok2 {
		return abi.InvalidMemoryAccess
	}
	ps := i.current.properties()
	if ps == nil {
		return abi.NotFound
	}
	if i.current.root.declared[path].ReadOnly {
		if _, set := ps.Property(path); set {
			return abi.BadArgument
		}
	}
	c := i.current
	more, count := len(path)+len(value)+propertySize, 1
	if old, set := ps.Property(path); set {
		if b, ok := old.([]byte); ok {
			more, count = len(value)-len(b), 0
		}
	}
	i.spend(heavyCost)
	if c.set+count > maxProperties || !c.keep(more) {
		return abi.InternalFailure
	}
	c.set += count
	ps.SetProperty(string([]byte(path)), value)
	return abi.Ok
}
