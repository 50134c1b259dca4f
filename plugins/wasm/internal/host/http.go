package host

import (
	"unsafe"

	"github.com/meshc/meshc/plugins/wasm/internal/abi"
	"github.com/meshc/meshc/runtime/filter"
)

// Stream is the context of one HTTP stream, made of a zero Stream by Begin and
// usable again after Done. Its methods are those of filter.HTTP; before Begin
// it lets everything pass. Open says
// what becomes of a stream whose instance has ended meanwhile: it goes on
// without the filter, or fails.
type Stream struct {
	Context
	Open  bool
	fresh filter.Buffer
}

// Begin is called when the request's headers arrive, or, without headers,
// when the stream ends before they did.
func (s *Stream) Begin(r *Root, stream filter.Stream) {
	s.stream = stream
	s.bind(r)
}

// Begun reports whether Begin was called.
func (s *Stream) Begun() bool { return s.instance != nil }

// lost deals with a stream in an instance that has ended, at a callback or in
// it; in says that it was this callback that ended it. It reports whether the
// stream goes on.
func (s *Stream) lost(in bool) bool {
	if !in && s.Open && !s.failed {
		return true
	}
	if !s.failed {
		s.failed = true
		Fail(s.stream)
	}
	return false
}

func headersStatus(end bool) filter.HeadersStatus {
	if end {
		return filter.HeadersContinue
	}
	return filter.HeadersStopAll
}

// message calls one of the callbacks for headers or trailers.
func (s *Stream) message(f *guestFunction, h *filter.Headers, end bool) (result uint32, ok bool) {
	f.stack[0], f.stack[1], f.stack[2] = uint64(s.id), uint64(h.Len()), 0
	if end {
		f.stack[2] = 1
	}
	ok = s.instance.call(&s.Context, f)
	return uint32(f.stack[0]), ok
}

// onHeaders is what both directions have in common.
func (s *Stream) onHeaders(d filter.Direction, which callback, h *filter.Headers, end bool) filter.HeadersStatus {
	i := s.instance
	if i == nil {
		return filter.HeadersContinue
	}
	if i.trap != nil {
		return headersStatus(s.lost(false))
	}
	f := &i.on[which]
	if f.fn == nil {
		return filter.HeadersContinue
	}
	s.headers[d], s.ended[d] = h, end
	result, ok := s.message(f, h, end)
	if !ok {
		s.lost(true)
		return filter.HeadersStopAll
	}
	if result == abi.Continue || result == abi.HeadersContinueAndEndStream {
		s.headers[d] = nil
		return filter.HeadersContinue
	}
	// Envoy takes StopIteration for the stronger stop, unless a plugin's
	// configuration says otherwise, which ours cannot.
	s.stopped[d] = true
	return filter.HeadersStopAll
}

// onBody is what both directions have in common.
func (s *Stream) onBody(d filter.Direction, which callback, b *filter.Buffer, end bool) filter.DataStatus {
	i := s.instance
	if i == nil {
		return filter.DataContinue
	}
	if i.trap != nil {
		if s.lost(false) {
			return filter.DataContinue
		}
		return filter.DataStopNoBuffer
	}
	f := &i.on[which]
	if f.fn == nil {
		return filter.DataContinue
	}
	fresh, seen := b, s.shown[d]
	if seen > 0 && seen <= b.Len() {
		fresh = &s.fresh
		fresh.View(b.Bytes()[seen:])
	}
	s.body[d], s.ended[d], s.buffering[d], s.shown[d] = fresh, end, false, 0
	f.stack[0], f.stack[1], f.stack[2] = uint64(s.id), uint64(fresh.Len()), 0
	if end {
		f.stack[2] = 1
	}
	ok := i.call(&s.Context, f)
	s.body[d] = nil
	if fresh != b {
		if p := fresh.Bytes(); len(p) != b.Len()-seen || unsafe.SliceData(p) != unsafe.SliceData(b.Bytes()[seen:]) {
			b.Replace(seen, b.Len(), p)
		}
		s.fresh = filter.Buffer{}
	}
	if !ok {
		s.lost(true)
		return filter.DataStopNoBuffer
	}
	switch uint32(f.stack[0]) {
	case abi.Continue:
		s.passed(d)
		s.stopped[d] = false
		s.headers[d] = nil
		return filter.DataContinue
	case abi.DataStopAndBuffer:
		s.stopped[d], s.buffering[d] = true, true
		return filter.DataStopAndBuffer
	case abi.DataStopAndWatermark:
		// The guest that stops so has seen what is kept: the next callback
		// shows it what is new, as in Envoy.
		s.stopped[d], s.shown[d] = true, b.Len()
		return filter.DataStopAndWatermark
	}
	s.stopped[d] = true
	return filter.DataStopNoBuffer
}

// onTrailers is what both directions have in common.
func (s *Stream) onTrailers(d filter.Direction, which callback, t *filter.Headers) filter.TrailersStatus {
	i := s.instance
	if i == nil {
		return filter.TrailersContinue
	}
	if i.trap != nil {
		if s.lost(false) {
			return filter.TrailersContinue
		}
		return filter.TrailersStop
	}
	f := &i.on[which]
	if f.fn == nil {
		return filter.TrailersContinue
	}
	s.trailers[d] = t
	result, ok := s.message(f, t, false)
	if !ok {
		s.lost(true)
		return filter.TrailersStop
	}
	if result == abi.Continue {
		s.headers[d], s.trailers[d] = nil, nil
		s.stopped[d], s.buffering[d] = false, false
		return filter.TrailersContinue
	}
	s.stopped[d] = true
	return filter.TrailersStop
}

// RequestHeaders is part of filter.HTTP, as are the methods that follow.
func (s *Stream) RequestHeaders(h *filter.Headers, end bool) filter.HeadersStatus {
	if s.instance.trap != nil { // in the context's creation
		s.lost(true)
		return filter.HeadersStopAll
	}
	return s.onHeaders(filter.Request, onRequestHeaders, h, end)
}

// RequestData takes a piece of the request's body.
func (s *Stream) RequestData(b *filter.Buffer, end bool) filter.DataStatus {
	return s.onBody(filter.Request, onRequestBody, b, end)
}

// RequestTrailers takes the request's trailers.
func (s *Stream) RequestTrailers(t *filter.Headers) filter.TrailersStatus {
	return s.onTrailers(filter.Request, onRequestTrailers, t)
}

// ResponseHeaders takes the response's headers.
func (s *Stream) ResponseHeaders(h *filter.Headers, end bool) filter.HeadersStatus {
	if s.failed {
		return filter.HeadersContinue // they are those of the failure
	}
	return s.onHeaders(filter.Response, onResponseHeaders, h, end)
}

// ResponseData takes a piece of the response's body.
func (s *Stream) ResponseData(b *filter.Buffer, end bool) filter.DataStatus {
	if s.failed {
		return filter.DataContinue
	}
	return s.onBody(filter.Response, onResponseBody, b, end)
}

// ResponseTrailers takes the response's trailers.
func (s *Stream) ResponseTrailers(t *filter.Headers) filter.TrailersStatus {
	if s.failed {
		return filter.TrailersContinue
	}
	return s.onTrailers(filter.Response, onResponseTrailers, t)
}

// Log tells the guest that the stream has ended.
func (s *Stream) Log(r *filter.Record) {
	if s.instance == nil || s.instance.trap != nil {
		return
	}
	s.headers, s.trailers, s.stopped, s.buffering = [2]*filter.Headers{}, [2]*filter.Headers{}, [2]bool{}, [2]bool{}
	s.record = r
	s.notify(onLog)
	s.record = nil
}

// Done is the end of the stream.
func (s *Stream) Done() {
	if s.instance != nil && s.instance.trap == nil {
		s.notify(onDone)
	}
	s.end()
}
