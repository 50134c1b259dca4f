package sdk

import (
	"unsafe"

	"github.com/meshc/meshc/plugins/wasm/sdk/internal/host"
)

// This file is what the host calls, by way of the exports.

var (
	register func(*Plugin) error
	plugins  = map[uint32]*Plugin{}
	streams  table
	current  uint32  // the context that the host's functions act on
	last     *stream // the stream of the callback before: mostly also of the next
)

// stream is what a stream's id stands for. Whether it is HTTP or TCP shows at
// its first callback, and only then its filter is made. It is used again for a
// later stream: who keeps a Context of the old one sees it by the id.
type stream struct {
	id    uint32 // 0 when it is gone
	root  *Plugin
	http  HTTPFilter
	tcp   TCPFilter
	ended bool    // Done was called
	next  *stream // in the same slot of the table
}

func onContextCreate(id, parent uint32) {
	current = id
	if parent == 0 {
		plugins[id] = &Plugin{Context: Context{&stream{id: id}, id}}
		return
	}
	last = streams.add(id)
	last.root = plugins[parent]
}

func onConfigure(root uint32) bool {
	current = root
	p := plugins[root]
	if p == nil {
		return false
	}
	if register == nil {
		Log(Critical, "the module registers no plugin: call sdk.Register in an init function")
		return false
	}
	*p = Plugin{Context: p.Context}
	err := register(p)
	if err == nil {
		err = p.failed
	}
	if err != nil {
		Log(Critical, "configuration: ", err.Error())
		return false
	}
	return true
}

// find returns the stream of a callback that begins.
func find(id uint32) *stream {
	current = id
	if last != nil && last.id == id {
		return last
	}
	if s := streams.get(id); s != nil {
		last = s
		return s
	}
	return nil
}

var pass PassThrough

func httpOf(id uint32) HTTPFilter {
	s := find(id)
	if s == nil || s.tcp != nil {
		return pass
	}
	if s.http == nil {
		s.http = pass
		if s.root != nil && s.root.http != nil {
			if f := s.root.http(Stream{Context{s, id}}); f != nil {
				s.http = f
			}
		}
	}
	return s.http
}

func tcpOf(id uint32) TCPFilter {
	s := find(id)
	if s == nil || s.http != nil {
		return pass
	}
	if s.tcp == nil {
		s.tcp = pass
		if s.root != nil && s.root.tcp != nil {
			if f := s.root.tcp(Conn{Context{s, id}}); f != nil {
				s.tcp = f
			}
		}
	}
	return s.tcp
}

func onLog(id uint32) {
	s := find(id)
	if s == nil || s.ended {
		return
	}
	s.ended = true
	switch {
	case s.http != nil:
		s.http.Done()
	case s.tcp != nil:
		s.tcp.Done()
	}
}

func onDone(id uint32) bool {
	current = id
	if p := plugins[id]; p != nil && p.done != nil {
		return p.done()
	}
	return true
}

func onDelete(id uint32) {
	current = id
	if p := plugins[id]; p != nil {
		p.of.id = 0
		delete(plugins, id)
		return
	}
	s := find(id)
	if s == nil {
		return
	}
	onLog(id)
	if len(grpcs) > 0 { // ranging over an empty map costs, too
		for token, g := range grpcs {
			if g.of.of == s && g.unary == nil {
				host.GRPCCancel(token)
				delete(grpcs, token)
			}
		}
	}
	streams.remove(s)
	last = nil
}

func onTick(root uint32) {
	current = root
	if p := plugins[root]; p != nil && p.tick != nil {
		p.tick()
	}
}

func onQueueReady(root, token uint32) {
	current = root
	p := plugins[root]
	if p == nil {
		return
	}
	for _, q := range p.queues {
		if q.token != token {
			continue
		}
		for !p.gone() {
			p.effective()
			item, s := host.Dequeue(nil, token)
			if s != 0 {
				return
			}
			q.consume(item)
		}
	}
}

func onForeign(root, id, size uint32) {
	current = root
	if p := plugins[root]; p != nil && p.foreign != nil {
		p.foreign(id, readBuffer(host.ForeignData))
	}
}

func onCallResponse(root, token, headers, bodySize uint32) {
	current = root
	c, ok := calls[token]
	if !ok {
		return
	}
	delete(calls, token)
	if !c.of.effective() {
		return
	}
	r := Response{Headers: host.CallHeaders, Body: Body{host.CallBody, bodySize}, Trailers: host.CallTrailers}
	var err error
	if headers == 0 {
		err = BrokenConnection
	}
	c.done(r, err)
}

func onGRPCMetadata(root, token uint32, trailing bool) {
	current = root
	g := grpcs[token]
	if g == nil {
		return
	}
	f, m := g.handler.Metadata, Headers(host.GRPCInitialMetadata)
	if trailing {
		f, m = g.handler.Trailers, host.GRPCTrailingMetadata
	}
	if f != nil && g.of.effective() {
		f(m)
	}
}

func onGRPCMessage(root, token uint32) {
	current = root
	g := grpcs[token]
	if g == nil {
		return
	}
	if g.unary != nil {
		delete(grpcs, token)
	}
	message := readBuffer(host.GRPCMessage)
	if !g.of.effective() {
		return
	}
	switch {
	case g.unary != nil:
		g.unary(message, nil)
	case g.handler.Message != nil:
		g.handler.Message(message)
	}
}

func onGRPCClose(root, token uint32, code int32) {
	current = root
	g := grpcs[token]
	if g == nil {
		return
	}
	delete(grpcs, token)
	var err error
	if code != 0 || g.unary != nil {
		_, message, _ := host.LastStatus()
		err = &GRPCError{Code: int(code), Message: string(message)}
	}
	if !g.of.effective() {
		return
	}
	switch {
	case g.unary != nil:
		g.unary(nil, err)
	case g.handler.Close != nil:
		g.handler.Close(err)
	}
}

// view is a string of bytes that nobody writes any more.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
