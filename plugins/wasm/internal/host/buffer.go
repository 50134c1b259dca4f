package host

import (
	"github.com/meshc/meshc/plugins/wasm/internal/abi"
	"github.com/meshc/meshc/runtime/filter"
)

// growth is how many times the chain's limit a guest may make a body by writing
// to it. Envoy has no bound; what a filter keeps is bounded by the chain.
const growth = 16

// bodyOf returns the body that the guest may read and change now, or nil.
func (c *Context) bodyOf(d filter.Direction) *filter.Buffer {
	if b := c.body[d]; b != nil || !c.buffering[d] {
		return b
	}
	if c.stream != nil {
		return c.stream.Held(d)
	}
	return c.conn.Held(d)
}

func (c *Context) limit() int {
	if c.stream != nil {
		return c.stream.Limit()
	}
	return c.conn.Limit()
}

// bodyBuffer is bodyOf by the ABI's numbers.
func (c *Context) bodyBuffer(t abi.BufferType) *filter.Buffer {
	switch {
	case t <= abi.ResponseBody && c.stream != nil:
		return c.bodyOf(filter.Direction(t))
	case (t == abi.DownstreamData || t == abi.UpstreamData) && c.conn != nil:
		return c.bodyOf(filter.Direction(t - abi.DownstreamData))
	}
	return nil
}

// readBuffer returns what the guest reads as t, or false where it is not
// there. What is there only at other times is empty.
func (i *Instance) readBuffer(t abi.BufferType) (data []byte, ok bool) {
	c := i.current
	switch t {
	case abi.CallResponseBody:
		if c.root == nil || c.root.response == nil {
			return nil, false
		}
		return c.root.response.Body, true
	case abi.GRPCMessage:
		if c.root == nil {
			return nil, true
		}
		return c.root.message, true
	case abi.VMConfiguration:
		return readOnly(i.config.Configuration), true
	case abi.PluginConfiguration:
		if c.root == nil || !c.root.configuring {
			return nil, false
		}
		return readOnly(c.root.plugin.Configuration), true
	case abi.CallData:
		return nil, true
	}
	if b := c.bodyBuffer(t); b != nil {
		return b.Bytes(), true
	}
	return nil, true
}

func getBuffer(i *Instance, p []uint64) abi.Status {
	t := abi.BufferType(p[0])
	if t >= abi.BufferTypes {
		return abi.BadArgument
	}
	data, ok := i.readBuffer(t)
	if !ok {
		return abi.NotFound
	}
	start, length := int(uint32(p[1])), int(uint32(p[2]))
	from := min(start, len(data))
	to := min(start+length, len(data))
	return i.answerBytes(p[3], p[4], data[from:to])
}

func getBufferStatus(i *Instance, p []uint64) abi.Status {
	t := abi.BufferType(p[0])
	if t >= abi.BufferTypes {
		return abi.BadArgument
	}
	data, ok := i.readBuffer(t)
	if !ok {
		return abi.NotFound
	}
	if s := i.answer32(p[1], uint32(len(data))); s != abi.Ok {
		return s
	}
	return i.answer32(p[2], 0)
}

func setBuffer(i *Instance, p []uint64) abi.Status {
	t := abi.BufferType(p[0])
	if t >= abi.BufferTypes {
		return abi.BadArgument
	}
	if _, ok := i.readBuffer(t); !ok {
		return abi.NotFound
	}
	data, ok := i.bytes(p[3], p[4])
	if !ok {
		return abi.InvalidMemoryAccess
	}
	b, limit := i.current.bodyBuffer(t), 0
	switch r := i.current.root; {
	case b != nil:
		limit = growth * i.current.limit()
	case t == abi.GRPCMessage && r != nil && r.message != nil:
		var message filter.Buffer
		message.View(r.message)
		defer func() { r.message = message.Bytes() }()
		b, limit = &message, maxMessages
	default:
		return abi.BadArgument
	}
	// Envoy replaces at the beginning and adds at the end, and nothing between.
	start, length := int(uint32(p[1])), int(uint32(p[2]))
	if start > 0 && start < b.Len() {
		return abi.BadArgument
	}
	if len(data) > 0 && b.Len()+len(data) > limit {
		return abi.InternalFailure
	}
	more := len(data)
	if start == 0 {
		more -= min(length, b.Len())
	}
	if t != abi.GRPCMessage && more > 0 && !i.current.grow(filter.Direction(t&1), more) {
		return abi.InternalFailure
	}
	i.spend(ofBytes(b.Len()))
	b.Replace(start, length, data)
	return abi.Ok
}
