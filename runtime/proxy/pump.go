package proxy

import (
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/meshc/meshc/runtime/filter"
)

// buffer is memory for a body on its way; it is held only while a message is
// in flight.
type buffer struct {
	all [64 << 10]byte
	n   int // of a small body, kept whole
}

var buffers = sync.Pool{New: func() any { return new(buffer) }}

func takeBuffer() *buffer { return buffers.Get().(*buffer) }

func (b *buffer) release() {
	if b != nil {
		b.n = 0
		buffers.Put(b)
	}
}

func (b *buffer) bytes() []byte {
	if b == nil {
		return nil
	}
	return b.all[:b.n]
}

// readSmallBody reads a body that has arrived with its headers, so that it
// needs no pump and can be sent again. It does not wait. An error means that
// the client, which waited for a 100, has gone.
func (s *stream) readSmallBody() error {
	length := s.d.codec.Whole()
	if length == 0 {
		return nil
	}
	b := takeBuffer()
	if length > len(b.all) {
		b.release()
		return nil
	}
	for end := false; !end; {
		var n int
		var err error
		if n, end, err = s.d.codec.ReadData(b.all[b.n:]); err != nil {
			b.release()
			return err
		}
		b.n += n
		s.together = n > 0 && s.d.session != nil
	}
	s.body = b
	s.requestRead.Store(true)
	s.d.enter(phaseWaiting)
	return nil
}

// startPump has the request body sent by a goroutine of its own: to u, or
// through the filters where there are any.
func (s *stream) startPump(u *upstream) {
	s.pumping = true
	go s.pump(u)
}

func (s *stream) pump(u *upstream) {
	b := takeBuffer()
	defer func() {
		if v := recover(); v != nil {
			s.Panicked(v, debug.Stack())
			s.abort(s.d.seq.Load(), errPanicked)
		}
		b.release()
		s.pumped <- struct{}{}
	}()
	for {
		n, end, err := s.d.codec.ReadData(b.all[:])
		var trailers *filter.Headers
		if err == nil && end {
			if err = s.d.codec.ReadTrailers(&s.requestTrailers); s.requestTrailers.Len() > 0 {
				trailers = &s.requestTrailers
			}
		}
		if err != nil {
			s.abort(s.d.seq.Load(), err)
			return
		}
		s.received.Add(uint64(n))
		s.alive()
		if end {
			s.requestRead.Store(true)
			s.d.phase.CompareAndSwap(phaseBusy, phaseWaiting)
		}
		if n > 0 || end {
			o := filter.Output{Data: b.all[:n], Trailers: trailers, End: end}
			if !s.pass(u, o) || end {
				return
			}
		}
	}
}

// pass sends a piece of the request body on, and reports whether more is wanted.
func (s *stream) pass(u *upstream, o filter.Output) bool {
	if s.f == nil {
		if o.End {
			s.requestOver()
		}
		if s.spool != nil {
			return s.spool.put(o) == nil
		}
		if err := write(u.codec, o, true); err != nil {
			s.uploadFailed(err)
			return false
		}
		if o.End {
			s.requestSent.Store(true)
		}
		return true
	}
	c := s.f.chain
	switch {
	case o.End && o.Trailers == nil && len(o.Data) > 0 && s.d.session != nil:
		c.LastData(filter.Request, o.Data)
	case len(o.Data) > 0 || o.Trailers == nil:
		c.Data(filter.Request, o.Data, o.End && o.Trailers == nil)
	}
	if o.Trailers != nil {
		c.Trailers(filter.Request, o.Trailers)
	}
	return s.f.settle(filter.Request)
}

// uploadFailed deals with an upstream that takes no more of the request. One
// that has closed may still have answered: reading the response tells. A body
// that does not fit its content-length, as a filter can make it, ends the stream.
func (s *stream) uploadFailed(err error) {
	if !isNetwork(err) {
		s.tellUnsendable(err)
		s.abort(s.d.seq.Load(), err)
	}
}

// tellUnsendable says why the upstream does not get a request as the filters, or its
// route, have left it. err is the codec's, and quotes no value.
func (s *stream) tellUnsendable(err error) {
	attrs := []slog.Attr{slog.String("listener", s.l.name), slog.String("route", s.route.name)}
	if s.l.sole != "" {
		attrs = append(attrs, slog.String("plugin", s.l.sole))
	}
	s.l.conns.unsendable.fail(s.d.proxy.log, "a request cannot be sent as the filters have left it", append(attrs, slog.Any("error", err))...)
}

// joinPump waits for the pump, which it stops when the response was there
// before the end of the request.
func (s *stream) joinPump() {
	if !s.pumping {
		return
	}
	if !s.requestSent.Load() {
		if !s.requestRead.Load() {
			s.d.codec.SetReadDeadline(past)
		}
		s.Abandon()
		if s.f != nil {
			s.f.chain.Reset()
		}
	}
	<-s.pumped
	s.d.codec.SetReadDeadline(time.Time{})
}
