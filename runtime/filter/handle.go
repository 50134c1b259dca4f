package filter

// Continue lets go what the filter stopped in direction d.
func (s *slot) Continue(d Direction) { s.chain.post(func() { s.chain.resume(d, s) }) }

// Post runs f as a callback of the stream.
func (s *slot) Post(f func()) bool {
	return s.chain.post(func() {
		f()
		s.chain.settle()
	})
}

// Reset ends the stream without an answer.
func (s *slot) Reset() {
	s.chain.resetAsked.Store(true)
	s.chain.post(s.chain.doReset)
}

// Close ends the connection.
func (s *slot) Close() { s.Reset() }

// Reply answers the request here.
func (s *slot) Reply(r Reply) { s.chain.askReply(r) }

// ClearRoute has the route chosen anew.
func (s *slot) ClearRoute() { s.chain.host.ClearRoute() }

// Headers returns the headers of direction d while this filter has them.
func (s *slot) Headers(d Direction) *Headers {
	m := &s.chain.message[d]
	if m.headersAt == nowhere || m.headersAt != s.position(d) {
		return nil
	}
	return m.headers
}

// Trailers returns the trailers of direction d while this filter has them,
// and new ones in the callback that ends the body.
func (s *slot) Trailers(d Direction) *Headers {
	m := &s.chain.message[d]
	if m.trailersAt == nowhere || m.trailersAt != s.position(d) {
		return nil
	}
	if m.trailers == nil {
		m.trailers = &Headers{}
	}
	return m.trailers
}

// Property returns a built-in attribute, or else what SetProperty kept.
func (s *slot) Property(path ...string) (Value, bool) {
	if v, ok := s.chain.host.Property(path); ok {
		return v, true
	}
	if len(path) == 1 {
		for _, p := range s.chain.kept {
			if p.path == path[0] {
				return p.value, true
			}
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

// connFilter is a TCP filter in an HTTP chain: the request headers are the
// new connection.
type connFilter struct{ TCP }

func (f connFilter) RequestHeaders(*Headers, bool) HeadersStatus {
	if f.NewConnection() == DataContinue {
		return HeadersContinue
	}
	return HeadersStop
}

func (f connFilter) RequestData(b *Buffer, end bool) DataStatus  { return f.DownstreamData(b, end) }
func (f connFilter) ResponseData(b *Buffer, end bool) DataStatus { return f.UpstreamData(b, end) }

func (connFilter) RequestTrailers(*Headers) TrailersStatus      { return TrailersContinue }
func (connFilter) ResponseHeaders(*Headers, bool) HeadersStatus { return HeadersContinue }
func (connFilter) ResponseTrailers(*Headers) TrailersStatus     { return TrailersContinue }
