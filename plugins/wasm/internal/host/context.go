package host

import (
	"fmt"

	"github.com/meshc/meshc/plugins/wasm/internal/abi"
	"github.com/meshc/meshc/plugins/wasm/internal/foreign"
	"github.com/meshc/meshc/runtime/filter"
)

// Context is a context of a guest: that of a root, or of a stream or
// connection. What is not nil in it is what the guest may reach now, as in
// Envoy's Context: a message's headers from their callback on until they are
// let go, a body in its callback.
type Context struct {
	instance *Instance
	root     *Root
	id       uint32

	// Of a stream (HTTP) or a connection (TCP); both nil in a root.
	stream filter.Stream
	conn   filter.Conn

	headers, trailers [2]*filter.Headers // by direction
	body              [2]*filter.Buffer  // in the callback that has it
	ended             [2]bool            // that callback is the last with body
	buffering         [2]bool            // the stream keeps the body for this filter
	stopped           [2]bool            // waits to be continued
	shown             [2]int             // bytes kept that the guest has seen and does not see again
	record            *filter.Record     // in on_log
	failed            bool               // it was in an instance that ended, and has been failed
	kept              int                // bytes of the account, of what lives as long as the context
	grown             [2]int             // and those by which the guest has made a body longer
	set               int                // how many properties it has made

	declared map[string]foreign.Property
}

// Root is the context of one plugin in an instance.
type Root struct {
	Context
	plugin      *Plugin
	configuring bool
	deleted     bool
	pendingDone bool
	onDeleted   func()

	functions foreign.State // foreign ones

	statusCode    uint32
	statusMessage string

	// What the callback that is running is about.
	response         *filter.CallResponse
	initialMetadata  *filter.Headers
	trailingMetadata *filter.Headers
	message          []byte
	timer            *timer
}

// newID returns an id that no context has.
func (i *Instance) newID() uint32 {
	for {
		i.lastID++
		if i.lastID != 0 && i.contexts[i.lastID] == nil {
			return i.lastID
		}
	}
}

// AddRoot makes the root of a plugin: context_create, on_vm_start where it is
// the first, on_configure. An error is a *Trap, or says which of them refused.
func (i *Instance) AddRoot(p *Plugin) (*Root, error) {
	if i.trap != nil {
		return nil, i.trap
	}
	i.timeout = i.config.StartTimeout
	defer func() { i.timeout = i.config.CallTimeout }()
	r := &Root{plugin: p}
	r.instance, r.root, r.id = i, r, i.newID()
	i.contexts[r.id] = &r.Context
	i.roots = append(i.roots, r)
	first := !i.vmStarted
	i.vmStarted = true
	// As in Envoy, the plugin's configuration is known from context_create on
	// where that comes with on_vm_start, but not in on_vm_start.
	r.configuring = first
	r.create(0)
	r.configuring = false
	if f := &i.on[onVMStart]; first && i.trap == nil && f.fn != nil {
		f.stack[0], f.stack[1] = uint64(r.id), uint64(len(i.config.Configuration))
		if i.call(&r.Context, f) && uint32(f.stack[0]) == 0 {
			return r, fmt.Errorf("%s refused the configuration of the VM", callbackNames[onVMStart])
		}
	}
	if f := &i.on[onConfigure]; i.trap == nil && f.fn != nil {
		f.stack[0], f.stack[1] = uint64(r.id), uint64(len(p.Configuration))
		r.configuring = true
		ok := i.call(&r.Context, f)
		r.configuring = false
		if ok && uint32(f.stack[0]) == 0 {
			return r, fmt.Errorf("%s refused the configuration", callbackNames[onConfigure])
		}
	}
	if i.trap != nil {
		return r, i.trap
	}
	return r, nil
}

// create tells the guest of the context.
func (c *Context) create(parent uint32) {
	i := c.instance
	if f := &i.on[onContextCreate]; i.trap == nil && f.fn != nil {
		f.stack[0], f.stack[1] = uint64(c.id), uint64(parent)
		i.call(c, f)
	}
}

// notify calls an export that gets the context's id and returns nothing of
// interest.
func (c *Context) notify(which callback) {
	i := c.instance
	if f := &i.on[which]; f.fn != nil {
		f.stack[0] = uint64(c.id)
		i.call(c, f)
	}
}

// Remove ends the root: on_done, and on_delete once the guest agrees. deleted
// is called, inside the worker, when that has happened; see Delete for a guest
// that never agrees.
func (r *Root) Remove(deleted func()) {
	i := r.instance
	if r.deleted || i.trap != nil || i.module == nil {
		r.deleted = true
		deleted()
		return
	}
	r.onDeleted = deleted
	if f := &i.on[onDone]; f.fn != nil {
		f.stack[0] = uint64(r.id)
		if i.call(&r.Context, f) && uint32(f.stack[0]) == 0 {
			r.pendingDone = true // until proxy_done
			return
		}
	}
	r.delete()
}

// Delete ends a root that was removed, whatever the guest says.
func (r *Root) Delete() {
	r.pendingDone = false
	r.delete()
}

func (r *Root) delete() {
	if r.deleted {
		return
	}
	r.deleted = true
	r.stopTimer()
	i := r.instance
	for token, c := range i.calls {
		if c.root == r {
			c.stop()
			i.forget(token)
		}
	}
	r.notify(onDelete)
	r.letGo()
	delete(i.contexts, r.id)
	for n, other := range i.roots {
		if other == r {
			i.roots = append(i.roots[:n], i.roots[n+1:]...)
			break
		}
	}
	if r.onDeleted != nil {
		r.onDeleted()
	}
}

// letGo gives back what the host keeps for the root.
func (r *Root) letGo() {
	r.keep(-r.kept)
	r.functions.Close(environment{r.instance})
}

// keep takes n bytes of the account until the context ends; it reports false
// where there is no room.
func (c *Context) keep(n int) bool {
	if !c.instance.hold(n) {
		return false
	}
	c.kept += n
	return true
}

// grow takes n bytes until a body goes on its way.
func (c *Context) grow(d filter.Direction, n int) bool {
	if !c.instance.hold(n) {
		return false
	}
	c.grown[d] += n
	return true
}

// passed is a body on its way: it is no longer kept for this filter.
func (c *Context) passed(d filter.Direction) {
	if n := c.grown[d]; n > 0 {
		c.instance.config.Held.hold(-n)
		c.grown[d] = 0
	}
}

// bind makes c the context of something that r's plugin takes part in.
func (c *Context) bind(r *Root) {
	c.instance, c.root, c.id = r.instance, r, r.instance.newID()
	r.instance.contexts[c.id] = c
	c.create(r.id)
}

// end tells the guest that the stream is over, and forgets it.
func (c *Context) end() {
	i := c.instance
	if i == nil || c.id == 0 {
		return
	}
	if i.module != nil {
		c.notify(onDelete)
		delete(i.contexts, c.id)
	}
	c.passed(filter.Request)
	c.passed(filter.Response)
	if c.kept != 0 {
		c.keep(-c.kept)
	}
	*c = Context{}
}

// abandon fails a stream that waits for a guest that has ended.
func (c *Context) abandon() {
	if c.stream == nil && c.conn == nil || !c.stopped[0] && !c.stopped[1] {
		return
	}
	c.failed = true
	if c.stream != nil {
		Fail(c.stream)
	} else {
		c.conn.Close()
	}
}

// Fail answers 503 with no body, or cuts the answer off where it has
// begun.
func Fail(s filter.Stream) {
	if !s.Reply(filter.Reply{Status: 503, GRPCStatus: -1, Details: "wasm_fail_stream"}) {
		s.Reset()
	}
}

// direction is the direction that a stream type means to this context.
func (c *Context) direction(t abi.StreamType) (d filter.Direction, ok bool) {
	switch {
	case t == abi.RequestStream && c.stream != nil, t == abi.DownstreamStream && c.conn != nil:
		return filter.Request, true
	case t == abi.ResponseStream && c.stream != nil:
		return filter.Response, true
	}
	return 0, false
}

func continueStream(i *Instance, p []uint64) abi.Status {
	if uint32(p[0]) > uint32(abi.UpstreamStream) {
		return abi.BadArgument
	}
	return i.current.resume(abi.StreamType(p[0]))
}

// resume lets a direction go when the callback has returned. What was within
// reach in that direction no longer is.
func (c *Context) resume(t abi.StreamType) abi.Status {
	if t == abi.UpstreamStream {
		return abi.Unimplemented
	}
	d, ok := c.direction(t)
	if !ok {
		return abi.Ok
	}
	// As in Envoy, the guest may still look at a response's headers, and at a
	// connection's data, until the call has returned: they go after it.
	switch {
	case c.conn != nil:
		c.instance.afterCall(func() { c.release(d) })
		c.conn.Continue(d)
	case d == filter.Response:
		h := c.headers[d]
		c.release(d)
		c.headers[d] = h
		c.instance.afterCall(func() { c.headers[d] = nil })
		c.stream.Continue(d)
	default:
		c.release(d)
		c.stream.Continue(d)
	}
	return abi.Ok
}

// release takes a message out of the guest's reach.
func (c *Context) release(d filter.Direction) {
	c.passed(d)
	c.headers[d], c.trailers[d], c.body[d] = nil, nil, nil
	c.buffering[d], c.stopped[d], c.shown[d] = false, false, 0
}

func closeStream(i *Instance, p []uint64) abi.Status {
	if uint32(p[0]) > uint32(abi.UpstreamStream) {
		return abi.BadArgument
	}
	c := i.current
	switch t := abi.StreamType(p[0]); {
	case c.stream != nil && t <= abi.ResponseStream:
		c.stream.Reset()
	case c.conn != nil && t >= abi.DownstreamStream:
		c.conn.Close()
	}
	return abi.Ok
}

func clearRouteCache(i *Instance, _ []uint64) abi.Status {
	if s := i.current.stream; s != nil {
		s.ClearRoute()
	}
	return abi.Ok
}

// sendLocalResponse asks for a reply. It is made when the callback has
// returned, and only the first of a callback is.
func sendLocalResponse(i *Instance, p []uint64) abi.Status {
	details, ok := i.text(p[1], p[2])
	body, ok2 := i.bytes(p[3], p[4])
	pairs, ok3 := i.bytes(p[5], p[6])
	if !ok || !ok2 || !ok3 {
		return abi.InvalidMemoryAccess
	}
	c := i.current
	s := c.stream
	if s == nil {
		return abi.Ok
	}
	n := len(details) + len(body) + len(pairs)
	i.spend(heavyCost + pairsCost*len(pairs))
	if !c.keep(n) {
		return abi.InternalFailure
	}
	r := filter.Reply{Status: int(int32(p[0])), GRPCStatus: int(int32(p[7])), Details: string([]byte(details)), Body: append([]byte(nil), body...)}
	abi.ParsePairs(pairs, func(name, value []byte) {
		if validField(name, value) && name[0] != ':' {
			r.Headers = append(r.Headers, filter.Field{Name: lower(string(name)), Value: string(value)})
		}
	})
	if !s.Reply(r) {
		c.keep(-n)
	}
	return abi.Ok
}
