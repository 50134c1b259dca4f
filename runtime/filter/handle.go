package filter

import "strings"

// Continue lets go what the filter stopped in direction d.
func (s *slot) Continue(d Direction) {
	s.chain.worker.post(task{kind: taskContinue, direction: d, chain: s.chain, slot: s})
}

// Pass lets go the first n bytes of what the filter stopped in direction d.
func (s *slot) Pass(d Direction, n int) {
	s.chain.worker.post(task{kind: taskPass, direction: d, chain: s.chain, slot: s, n: n})
}

// Post runs f as a callback of the stream.
func (s *slot) Post(f func()) bool { return s.chain.worker.post(task{chain: s.chain, f: f}) }

// Reset ends the stream without an answer.
func (s *slot) Reset() { s.chain.Reset() }

// Close ends the connection.
func (s *slot) Close() { s.chain.Reset() }

// Reply answers the request here.
func (s *slot) Reply(r Reply) bool { return s.chain.askReply(r) }

// ClearRoute has the route chosen anew.
func (s *slot) ClearRoute() {
	if !s.chain.gone {
		s.chain.host.ClearRoute()
	}
}

// Worker returns the worker of the chain.
func (s *slot) Worker() *Worker { return s.chain.worker }

// Limit returns the buffer limit.
func (s *slot) Limit() int { return s.chain.limit }

// Held returns the data of direction d that this filter keeps or is shown.
func (s *slot) Held(d Direction) *Buffer {
	c := s.chain
	m, h := &c.message[d], &s.hold[d]
	switch {
	case c.reset.Load() || m.cut:
		return nil
	case m.dataAt != nowhere && m.dataAt == s.position(d):
		return &m.shown
	case h.data || h.body.Len() > 0:
		return &h.body
	}
	return nil
}

// Headers returns the headers of direction d while this filter has them.
func (s *slot) Headers(d Direction) *Headers {
	m := &s.chain.message[d]
	if s.chain.reset.Load() || m.headersAt == nowhere || m.headersAt != s.position(d) {
		return nil
	}
	return m.headers
}

// Trailers returns the trailers of direction d while this filter has them,
// and new ones in the callback that ends the body.
func (s *slot) Trailers(d Direction) *Headers {
	m := &s.chain.message[d]
	if s.chain.reset.Load() || m.trailersAt == nowhere || m.trailersAt != s.position(d) {
		return nil
	}
	if m.trailers == nil {
		m.trailers = &Headers{}
	}
	return m.trailers
}

// Property returns a built-in attribute, or else what SetProperty kept.
func (s *slot) Property(path ...string) (Value, bool) {
	if s.chain.gone || len(path) == 0 {
		return nil, false
	}
	if v, ok := s.chain.host.Property(path); ok {
		return v, true
	}
	name := path[0]
	if len(path) == 2 && path[0] == "filter_state" {
		// Where Envoy keeps it.
		name, _ = strings.CutPrefix(path[1], "wasm.")
		if name == path[1] {
			return nil, false
		}
	} else if len(path) != 1 {
		return nil, false
	}
	for _, p := range s.chain.kept {
		if p.path == name {
			return p.value, true
		}
	}
	return nil, false
}

// SetProperty keeps a copy of value for the filters of this stream.
func (s *slot) SetProperty(path string, value []byte) {
	c := s.chain
	value = append([]byte(nil), value...)
	for i := range c.kept {
		if c.kept[i].path == path {
			c.kept[i].value = value
			return
		}
	}
	c.kept = append(c.kept, property{path, value})
}

// connFilter is a slot whose TCP filter is an HTTP filter inside: the request
// headers are the new connection.
type connFilter slot

func (f *connFilter) RequestHeaders(*Headers, bool) HeadersStatus {
	if f.conn.NewConnection() == DataContinue {
		return HeadersContinue
	}
	return HeadersStopAll
}

func (f *connFilter) RequestData(b *Buffer, end bool) DataStatus {
	return f.conn.DownstreamData(b, end)
}
func (f *connFilter) ResponseData(b *Buffer, end bool) DataStatus {
	return f.conn.UpstreamData(b, end)
}

func (*connFilter) RequestTrailers(*Headers) TrailersStatus      { return TrailersContinue }
func (*connFilter) ResponseHeaders(*Headers, bool) HeadersStatus { return HeadersContinue }
func (*connFilter) ResponseTrailers(*Headers) TrailersStatus     { return TrailersContinue }

func (f *connFilter) Log(r *Record) { f.conn.Log(r) }
func (f *connFilter) Done()         { f.conn.Done() }
