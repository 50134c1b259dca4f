package host

import (
	"github.com/meshc/meshc/plugins/wasm/internal/abi"
	"github.com/meshc/meshc/runtime/filter"
)

// maxPath is how many segments a property's path may have.
const maxPath = 16

// maxPropertyBytes bounds what set_property keeps at once, path and value.
const maxPropertyBytes = 1 << 20

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
	if ps == nil {
		return nil, abi.NotFound
	}
	if len(path) == 1 {
		if path[0] == "connection_id" {
			if v, ok := ps.Property("connection", "id"); ok {
				return v, abi.Ok
			}
			return nil, abi.NotFound
		}
		if whole[path[0]] {
			return nil, abi.SerializationFailure
		}
	}
	if c.stream != nil && len(path) > 1 {
		if v, s, known := c.headerProperty(path); known {
			return v, s
		}
	}
	if v, ok := ps.Property(path...); ok {
		return v, abi.Ok
	}
	return nil, abi.NotFound
}

// noFields is what a map is that is not within reach.
var noFields = &filter.Headers{}

// headerProperty answers what is read from the headers of a message, which in
// Envoy is there only while the message is within the guest's reach, and in
// on_log. known is false for what is read elsewhere.
func (c *Context) headerProperty(path []string) (v filter.Value, s abi.Status, known bool) {
	var t abi.MapType
	switch path[0] + "." + path[1] {
	case "request.path", "request.url_path", "request.host", "request.scheme", "request.method",
		"request.referer", "request.useragent", "request.id", "request.query":
		if c.readable(abi.RequestHeaders) == nil || len(path) > 2 {
			return nil, abi.NotFound, true
		}
		return nil, abi.Ok, false
	case "request.headers":
		t = abi.RequestHeaders
	case "response.headers":
		t = abi.ResponseHeaders
	case "response.trailers":
		t = abi.ResponseTrailers
	default:
		return nil, abi.Ok, false
	}
	h := c.readable(t)
	if h == nil {
		h = noFields
	}
	if len(path) == 2 {
		return h, abi.Ok, true
	}
	joined, found := "", false
	name := alias(t, lower(path[2]))
	for n := range h.Len() {
		switch f := h.At(n); {
		case f.Name != name:
		case !found:
			joined, found = f.Value, true
		default:
			joined += "," + f.Value
		}
	}
	if !found || len(path) > 3 {
		return nil, abi.NotFound, true
	}
	return joined, abi.Ok, true
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
	if len(path)+len(value) > maxPropertyBytes {
		return abi.InternalFailure
	}
	if i.current.root.declared[path].ReadOnly {
		if _, set := ps.Property(path); set {
			return abi.BadArgument
		}
	}
	ps.SetProperty(string([]byte(path)), value)
	return abi.Ok
}
