package proxy

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/proxy/http2"
)

// deliver sends the response, whose headers are in s.response, downstream.
func (s *stream) deliver(end bool) {
	u := s.up
	if p := u.codec.Upgrade(); p != "" {
		s.tunnel(u, p)
		return
	}
	o := filter.Output{Headers: &s.response, End: end}
	var b *buffer
	defer func() { b.release() }()
	if end || u.codec.Buffered() == 0 {
		// There is no body, or it is not here: the headers do not wait for it.
		if end {
			s.heardOut()
			s.uncount(u)
		}
		if s.put(o, end) != nil || end {
			return
		}
		o.Headers = nil
	}
	b = takeBuffer()
	for !end {
		n, last, err := u.codec.ReadData(b.all[:])
		if err == nil && last {
			err = u.codec.ReadTrailers(&s.responseTrailers)
		}
		if err != nil {
			s.judgeBroken()
			err = s.inTime(err)
			_, late := err.(*overdue)
			if _, given := s.aborted().(*overdue); o.Headers != nil && (late || given) {
				s.reply(s.failure(err)) // nothing has left yet
				return
			}
			// Nothing may look like the end of the response.
			if late {
				s.details = err.(*overdue).details
				s.flag(err.(*overdue).flag)
			} else if s.aborted() == nil {
				why := resetOf(err)
				if !u.shared && why.flag == "UC" { // Envoy's parser meets the end inside a message
					why = reset{reason: "protocol error", flag: "UPE"}
				}
				s.details = "upstream_reset_after_response_started{" + strings.ReplaceAll(why.reason, " ", "_") + "}"
				s.flag(why.flag)
			}
			s.cut(err)
			return
		}
		s.alive()
		end = last
		o.Data, o.End = b.all[:n], last
		if last && s.responseTrailers.Len() > 0 {
			o.Trailers = &s.responseTrailers
		}
		if last && s.unjudged {
			s.judgeAnswer(&s.responseTrailers)
		}
		if last {
			s.heardOut()
			s.uncount(u)
		}
		if n > 0 || last {
			if s.put(o, false) != nil {
				return
			}
			o.Headers = nil
		}
	}
}

// uncount is called when all of the response is here. If the request has left
// too, the exchange counts no more, and that before the client sees its end: a
// client that then sends its next request does not meet the bound of its last.
func (s *stream) uncount(u *upstream) {
	if s.requestSent.Load() || s.ended && s.spool == nil {
		u.leave()
	}
}

var errNotWanted = errors.New("response is not wanted")

// put sends a part of the upstream's response downstream, through the filters
// where there are any. whole says that the response is headers alone.
func (s *stream) put(o filter.Output, whole bool) error {
	if s.f == nil {
		err := s.write(filter.Response, o)
		if err == nil && o.End {
			s.complete = true
		}
		return err
	}
	c := s.f.chain
	answered := func() { s.answeredAt = time.Now() }
	if o.Headers != nil {
		if whole {
			c.Sync(answered)
		}
		c.Headers(filter.Response, o.Headers, whole)
	}
	if !whole {
		_, multiplexed := s.up.codec.(*http2.Stream)
		last := o.End && o.Trailers == nil && len(o.Data) > 0 && multiplexed
		if len(o.Data) > 0 && !last {
			c.Data(filter.Response, o.Data, false)
		}
		if o.End {
			c.Sync(answered)
		}
		switch {
		case last:
			c.LastData(filter.Response, o.Data)
		case o.Trailers != nil:
			c.Trailers(filter.Response, o.Trailers)
		case o.End:
			c.Data(filter.Response, nil, true)
		}
	}
	if o.End {
		// The memory of o is used again as soon as this returns. What a filter
		// keeps is its own; drain waits for that.
		s.f.flush(filter.Response)
		return nil
	}
	if !s.f.settle(filter.Response) || c.Replied() {
		return errNotWanted
	}
	return nil
}

// write sends what has passed the filters, or what needs not pass any.
func (s *stream) write(d filter.Direction, o filter.Output) error {
	if d == filter.Request {
		if o.End {
			s.requestOver()
		}
		if s.spool != nil {
			return s.spool.put(o)
		}
		if err := write(s.up.codec, o, false); err != nil {
			s.uploadFailed(err)
			return err
		}
		if o.End {
			s.requestSent.Store(true)
		}
		return nil
	}
	hold := true
	if o.Headers != nil {
		s.begun.Store(true)
		s.sync(func() { s.complement(o.Headers) })
		hold = false
	}
	s.ending.Store(o.End)
	err := write(s.d.codec, o, hold)
	s.sent.Add(uint64(len(o.Data)))
	s.alive()
	if err != nil {
		s.ending.Store(false)
		s.abort(s.d.seq.Load(), gone(err))
	}
	return err
}

// complement adds to response headers what they lack.
func (s *stream) complement(h *filter.Headers) {
	if _, ok := h.Get("date"); !ok {
		h.Add("date", s.d.proxy.date())
	}
	h.Remove("transfer-encoding") // the codec's matter; the filters' Log does not see it
	s.status, _ = strconv.Atoi(h.Value(":status"))
	_, late := s.aborted().(*overdue)
	if s.d.ending() || late && !s.requestRead.Load() {
		s.d.codec.CloseAfter()
	}
}

// cut gives up a response that cannot be completed.
func (s *stream) cut(error) {
	s.complete = false
	if s.f != nil {
		if s.f.chain.Replied() {
			return // the upstream was let go on purpose
		}
		s.f.chain.Reset()
	}
}
