package filter

// How a message passes the chain.
//
// Each direction is a row of positions: 0 … n-1 are the filters in the order
// of that direction, n is the exit. Headers, data and trailers move along the
// row independently but never overtake each other; where a filter stops them
// they stay in its hold, and everything behind collects there too. So a filter
// keeps its own data, and one further down may hold other data of the same
// message. Continue empties one hold into the next position.

const nowhere = -1

// message is one direction of the stream.
type message struct {
	headers, trailers *Headers
	endHeaders        bool // the message is headers alone
	ended             bool // the host has fed all of it
	// The position whose filter has the headers (trailers) in its hands, or is
	// being shown data.
	headersAt, dataAt, trailersAt int
	shown                         Buffer // in the callback for data
	// cut says that this message goes no further: a reply has replaced it.
	cut bool
	// left says that headers have reached the exit, finished, that the end has.
	left, finished bool
	// last says that what waits at the exit may be taken after a reset.
	last   bool
	passed uint64 // bytes of data that have reached the exit
	// full says that a hold has reached the limit and the sender must wait.
	full bool

	out      Output
	pending  bool // out holds something
	borrowed bool // out.Data is the host's own memory
}

// slot is one filter and what it holds back. It is the Stream of its filter.
type slot struct {
	chain  *Chain
	index  int
	filter HTTP
	conn   TCP          // filter is made of it, where there is one
	unmet  *conditional // filter is made when its condition is met
	hold   [2]hold
}

// hold is what one filter holds back in one direction.
type hold struct {
	headers  bool
	all      bool // StopAll: the filter is shown nothing until it continues
	data     bool // its last answer to data was a stop
	trailers bool
	seen     bool // the filter was shown the trailers it holds
	body     Buffer
	end      bool // the end of the message is held with the body
	resumed  bool // after StopAll: the filter is being shown what it missed
}

func (h *hold) empty() bool { return !h.headers && !h.all && !h.data && !h.trailers }

// at returns the slot at a position of direction d.
func (c *Chain) at(d Direction, pos int) *slot {
	if d == Response {
		pos = len(c.slots) - 1 - pos
	}
	return &c.slots[pos]
}

// position is the inverse of at.
func (s *slot) position(d Direction) int {
	if d == Response {
		return len(s.chain.slots) - 1 - s.index
	}
	return s.index
}

// over says that no further callback of direction d is wanted by the loop
// that just made one: the filter replied, or the stream was reset.
func (c *Chain) over(d Direction) bool {
	if c.resetAsked.Load() {
		c.doReset()
	}
	c.settle()
	return c.reset.Load() || c.message[d].cut
}

// passHeaders moves the headers from position pos on.
func (c *Chain) passHeaders(d Direction, pos int) {
	m := &c.message[d]
	for i := pos; i < len(c.slots); i++ {
		s := c.at(d, i)
		m.headersAt = i
		if s.unmet != nil {
			if d == Request {
				s.meet(m.headers)
			} else {
				s.meet(nil)
			}
		}
		var status HeadersStatus
		if d == Request {
			status = s.filter.RequestHeaders(m.headers, m.endHeaders)
		} else {
			status = s.filter.ResponseHeaders(m.headers, m.endHeaders)
		}
		if c.over(d) {
			return
		}
		if status != HeadersContinue {
			s.hold[d].headers = true
			s.hold[d].all = status != HeadersStop
			return
		}
	}
	m.headersAt = nowhere
	if d == Response && !c.tcp && !sendable(m.headers) {
		c.refuse()
		return
	}
	m.left = true
	m.out.Headers = m.headers
	c.emit(d, m.endHeaders)
}

// passData moves data from position pos on. The headers are at pos or beyond.
func (c *Chain) passData(d Direction, pos int, data []byte, end bool) {
	m := &c.message[d]
	if len(data) == 0 && !end {
		return
	}
	created := nowhere // the position whose filter made trailers
	b := &m.shown
	for i := pos; i < len(c.slots); i++ {
		s := c.at(d, i)
		h := &s.hold[d]
		if h.all {
			c.keep(d, h, data, end)
			c.passCreated(d, created)
			return
		}
		if h.body.Len() > 0 {
			h.body.Append(data)
			data = h.body.Bytes()
		}
		b.View(data)
		mayCreate := end && m.trailers == nil
		if mayCreate {
			m.trailersAt = i
		}
		m.dataAt = i
		var status DataStatus
		if d == Request {
			status = s.filter.RequestData(b, end)
		} else {
			status = s.filter.ResponseData(b, end)
		}
		m.dataAt = nowhere
		if c.over(d) {
			return
		}
		data = b.Bytes()
		if mayCreate {
			m.trailersAt = nowhere
			if m.trailers != nil && m.trailers.Len() == 0 {
				m.trailers = nil
			}
			if m.trailers != nil {
				created, end = i, false
			}
		}
		if status != DataContinue {
			h.data, h.end = true, end
			switch {
			case status == DataStopNoBuffer:
				h.body = Buffer{}
			case b.own:
				h.body = *b
			case h.body.Len() == 0:
				h.body.Append(data)
			} // else the filter saw h.body and left it as it was
			*b = Buffer{}
			switch whole := status == DataStopAndBuffer && !c.tcp; {
			case whole && h.body.Len() > c.limit:
				m.full = true
				c.tooLarge(d)
			case !whole && h.body.Len() >= c.limit:
				m.full = true
			} // else there may be more: who wants the whole does not let go before the end
			if created == i && !h.resumed {
				h.trailers, h.seen = true, true
				m.trailersAt = i
			} else if !c.over(d) {
				c.passCreated(d, created)
			}
			return
		}
		// data may lie in h.body; it is not written to again before the next
		// piece of this direction is fed.
		h.body, h.data, h.end = Buffer{}, false, false
		c.relax(d)
		if h.headers {
			h.headers = false
			c.passHeaders(d, i+1)
			if c.over(d) {
				return
			}
		}
		if len(data) == 0 && !end && created == nowhere {
			return
		}
	}
	*b = Buffer{}
	c.emitData(d, data, created == nowhere && end)
	c.passCreated(d, created)
}

// passCreated moves trailers that the filter at position pos has made, if any
// has. A filter is not shown its own; but in Envoy, whose iteration begins at the
// filter that it resumes, it is where it made them of what it missed by a StopAll.
func (c *Chain) passCreated(d Direction, pos int) {
	switch {
	case pos == nowhere:
	case c.at(d, pos).hold[d].resumed:
		c.passTrailers(d, pos)
	default:
		c.passTrailers(d, pos+1)
	}
}

// passTrailers moves the trailers from position pos on, pushing before them
// what the filters they pass still hold.
func (c *Chain) passTrailers(d Direction, pos int) {
	m := &c.message[d]
	for i := pos; i < len(c.slots); i++ {
		s := c.at(d, i)
		h := &s.hold[d]
		m.trailersAt = i
		if h.all {
			h.trailers, h.seen = true, false
			return
		}
		var status TrailersStatus
		if d == Request {
			status = s.filter.RequestTrailers(m.trailers)
		} else {
			status = s.filter.ResponseTrailers(m.trailers)
		}
		if c.over(d) {
			return
		}
		if status != TrailersContinue {
			h.trailers, h.seen = true, true
			return
		}
		if !c.release(d, s) {
			return
		}
	}
	m.trailersAt = nowhere
	m.out.Trailers = m.trailers
	c.emit(d, true)
}

// release lets the headers and the body that s holds go to the position after
// it. It reports false when the stream took another turn on the way.
func (c *Chain) release(d Direction, s *slot) bool {
	h := &s.hold[d]
	next := s.position(d) + 1
	body, end := h.body.Bytes(), h.end
	hadHeaders := h.headers
	h.headers, h.data, h.body, h.end = false, false, Buffer{}, false
	c.relax(d)
	if hadHeaders {
		c.passHeaders(d, next)
		if c.over(d) {
			return false
		}
	}
	c.passData(d, next, body, end)
	return !c.over(d)
}

// resume empties the hold of s into what is behind it.
func (c *Chain) resume(d Direction, s *slot) {
	m := &c.message[d]
	h := &s.hold[d]
	if c.reset.Load() || m.cut || h.empty() {
		return
	}
	pos := s.position(d)
	trailers, seen := h.trailers, h.seen
	h.trailers, h.seen = false, false
	if !h.all {
		if c.release(d, s) && trailers {
			c.passTrailers(d, pos+1)
		}
		return
	}
	// The filter was shown nothing after the headers: body and trailers are
	// for it first.
	h.all, h.headers = false, false
	body, end := h.body.Bytes(), h.end
	h.body, h.end = Buffer{}, false
	c.relax(d)
	c.passHeaders(d, pos+1)
	if c.over(d) {
		return
	}
	h.resumed = true
	c.passData(d, pos, body, end)
	h.resumed = false
	if !c.over(d) && trailers && !seen {
		c.passTrailers(d, pos)
	}
}

// passPart lets go the first n bytes that s holds, and the headers.
func (c *Chain) passPart(d Direction, s *slot, n int) {
	h := &s.hold[d]
	n = min(n, h.body.Len())
	if c.reset.Load() || c.message[d].cut || h.all || n <= 0 {
		return
	}
	if h.headers {
		h.headers = false
		c.passHeaders(d, s.position(d)+1)
		if c.over(d) {
			return
		}
	}
	part := append([]byte(nil), h.body.data[:n]...) // the filters behind may alter it
	h.body.data = h.body.data[n:]
	if h.body.Len() < c.limit {
		c.relax(d)
	}
	c.passData(d, s.position(d)+1, part, false)
}

// keep adds data to what h holds.
func (c *Chain) keep(d Direction, h *hold, data []byte, end bool) {
	h.body.Append(data)
	h.end = h.end || end
	if h.body.Len() >= c.limit {
		c.message[d].full = true
	}
}

// relax lets the sender go on after a hold was emptied.
func (c *Chain) relax(d Direction) {
	if m := &c.message[d]; m.full {
		m.full = false
		c.mark(d)
	}
}

// emitData puts data at the exit, behind what waits there. Alone, it is only
// lent: the host takes it before it feeds more.
func (c *Chain) emitData(d Direction, data []byte, end bool) {
	m := &c.message[d]
	m.passed += uint64(len(data))
	switch {
	case len(data) == 0:
	case len(m.out.Data) == 0:
		m.out.Data, m.borrowed = data, true
	case m.borrowed:
		m.out.Data = append(append(make([]byte, 0, len(m.out.Data)+len(data)), m.out.Data...), data...)
		m.borrowed = false
	default:
		m.out.Data = append(m.out.Data, data...)
	}
	if len(data) > 0 || end {
		c.emit(d, end)
	}
}

func (c *Chain) emit(d Direction, end bool) {
	m := &c.message[d]
	m.out.End = m.out.End || end
	m.finished = m.finished || end
	m.pending = true
	c.mark(d)
}
