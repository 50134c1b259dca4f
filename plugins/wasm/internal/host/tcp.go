package host

import (
	"github.com/meshc/meshc/plugins/wasm/internal/abi"
	"github.com/meshc/meshc/runtime/filter"
)

// Conn is the context of one TCP connection; see Stream.
type Conn struct {
	Context
	Open bool
}

// Begin is called when the connection is made.
func (c *Conn) Begin(r *Root, conn filter.Conn) {
	c.conn = conn
	c.bind(r)
}

// Begun reports whether Begin was called.
func (c *Conn) Begun() bool { return c.instance != nil }

func (c *Conn) lost(in bool) filter.DataStatus {
	if !in && c.Open && !c.failed {
		return filter.DataContinue
	}
	if !c.failed {
		c.failed = true
		c.conn.Close()
	}
	return filter.DataStopNoBuffer
}

// NewConnection is part of filter.TCP, as are the methods that follow.
func (c *Conn) NewConnection() filter.DataStatus {
	i := c.instance
	if i.trap != nil {
		return c.lost(true) // in context_create
	}
	f := &i.on[onNewConnection]
	if f.fn == nil {
		return filter.DataContinue
	}
	f.stack[0] = uint64(c.id)
	if !i.call(&c.Context, f) {
		return c.lost(true)
	}
	if uint32(f.stack[0]) == abi.Continue {
		return filter.DataContinue
	}
	c.stopped[filter.Request] = true
	return filter.DataStopAndWatermark
}

func (c *Conn) onData(d filter.Direction, which callback, b *filter.Buffer, end bool) filter.DataStatus {
	i := c.instance
	if i == nil {
		return filter.DataContinue
	}
	if i.trap != nil {
		return c.lost(false)
	}
	f := &i.on[which]
	if f.fn == nil {
		return filter.DataContinue
	}
	f.stack[0], f.stack[1], f.stack[2] = uint64(c.id), uint64(b.Len()), 0
	if end {
		f.stack[2] = 1
	}
	c.body[d], c.ended[d], c.buffering[d] = b, end, false
	ok := i.call(&c.Context, f)
	c.body[d] = nil
	if !ok {
		return c.lost(true)
	}
	if uint32(f.stack[0]) == abi.Continue {
		c.passed(d)
		c.stopped[d] = false
		return filter.DataContinue
	}
	c.stopped[d], c.buffering[d] = true, true
	return filter.DataStopAndWatermark
}

// DownstreamData takes bytes from downstream.
func (c *Conn) DownstreamData(b *filter.Buffer, end bool) filter.DataStatus {
	return c.onData(filter.Request, onDownstreamData, b, end)
}

// UpstreamData takes bytes from upstream.
func (c *Conn) UpstreamData(b *filter.Buffer, end bool) filter.DataStatus {
	return c.onData(filter.Response, onUpstreamData, b, end)
}

// Closed tells the guest of the end of one side.
func (c *Conn) Closed(d filter.Direction, remote bool) {
	which, peer := onDownstreamClose, uint64(1)
	if d == filter.Response {
		// Envoy infers the end of the upstream from the end of its data and
		// does not say whose doing it was.
		which, peer = onUpstreamClose, 0
	} else if remote {
		peer = 2
	}
	i := c.instance
	if i == nil {
		return
	}
	f := &i.on[which]
	if i.trap != nil || f.fn == nil {
		return
	}
	f.stack[0], f.stack[1] = uint64(c.id), peer
	i.call(&c.Context, f)
}

// Log does the end of the connection, which for TCP begins with on_done.
func (c *Conn) Log(r *filter.Record) {
	if c.instance == nil || c.instance.trap != nil {
		return
	}
	c.stopped, c.buffering = [2]bool{}, [2]bool{}
	c.notify(onDone)
	if c.instance.trap == nil {
		c.record = r
		c.notify(onLog)
		c.record = nil
	}
}

// Done is the last call.
func (c *Conn) Done() { c.end() }
