package proxy

import (
	"errors"
	"runtime/debug"
	"sync"

	"github.com/meshc/meshc/runtime/filter"
)

// errUploadOver says that nothing more of the request is wanted.
var errUploadOver = errors.New("the request is not wanted any more")

// spool is the body of a request on its way to an upstream that may have to be
// replaced: as long as it is kept whole, another try can begin at its start.
// One goroutine puts, one for each try takes.
type spool struct {
	limit int

	mu       sync.Mutex
	changed  sync.Cond // on mu
	data     []byte    // from the position start on
	start    int
	taken    int  // up to where the try at hand has taken it
	try      int  // whose turn it is to take
	kept     bool // start is 0 and stays so
	end      bool // there is no more to come than trailers
	trailers *filter.Headers
	closed   bool
}

func newSpool(limit int) *spool {
	sp := &spool{limit: limit, kept: true}
	sp.changed.L = &sp.mu
	return sp
}

// put adds the data, trailers and end of o, and copies the data. Over the limit
// it gives up keeping what was taken, and then waits until there is room.
func (sp *spool) put(o filter.Output) error {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if sp.kept && len(sp.data)+len(o.Data) > sp.limit {
		sp.forget()
	}
	for !sp.closed && len(sp.data) > 0 && len(sp.data)+len(o.Data) > sp.limit {
		sp.changed.Wait()
	}
	if sp.closed {
		return errUploadOver
	}
	sp.data = append(sp.data, o.Data...)
	sp.end, sp.trailers = o.End, o.Trailers
	sp.changed.Broadcast()
	return nil
}

// forget stops keeping what was taken; mu is held.
func (sp *spool) forget() {
	sp.kept = false
	sp.data, sp.start = sp.data[sp.taken-sp.start:], sp.taken
	sp.changed.Broadcast()
}

// settled says that there will be no other try.
func (sp *spool) settled() {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.forget()
}

// whole reports whether another try can begin at the start.
func (sp *spool) whole() bool {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	return sp.kept
}

// begin ends the try before and returns the number of the next, which takes
// from the start.
func (sp *spool) begin() int {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.try++
	if sp.kept {
		sp.taken = 0
	}
	sp.changed.Broadcast()
	return sp.try
}

// take returns what the try has not taken yet, and waits until there is
// something. It reports false when the try is over.
func (sp *spool) take(try int) (o filter.Output, ok bool) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	for !sp.closed && sp.try == try && !sp.end && sp.taken == sp.start+len(sp.data) {
		sp.changed.Wait()
	}
	if sp.closed || sp.try != try {
		return o, false
	}
	o.Data, o.End, o.Trailers = sp.data[sp.taken-sp.start:], sp.end, sp.trailers
	sp.taken += len(o.Data)
	if !sp.kept {
		sp.forget()
	}
	return o, true
}

// ready reports whether all of the body is here, and short enough to be
// written before the response is waited for.
func (sp *spool) ready() bool {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	return sp.end && len(sp.data) <= inlineBody
}

// close has put and take return.
func (sp *spool) close() {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.closed = true
	sp.changed.Broadcast()
}

// upload sends a request whose body is in the spool: that in a goroutine of
// its own, unless all of it is here and short.
func (s *stream) upload(u *upstream, h *filter.Headers) error {
	sp, ready := s.spool, s.spool.ready()
	try := sp.begin()
	if err := write(u.codec, filter.Output{Headers: h}, ready); err != nil {
		return err
	}
	if ready {
		o, _ := sp.take(try)
		err := write(u.codec, o, true)
		s.requestSent.Store(err == nil)
		return err
	}
	done := make(chan struct{})
	s.uploading = done
	go func() {
		defer close(done)
		defer func() {
			if v := recover(); v != nil {
				s.Panicked(v, debug.Stack())
				s.abort(s.d.seq.Load(), errPanicked)
			}
		}()
		for {
			o, ok := sp.take(try)
			if !ok {
				return
			}
			if err := write(u.codec, o, true); err != nil {
				if !u.closed.Load() {
					s.uploadFailed(err)
				}
				return
			}
			if o.End {
				s.requestSent.Store(true)
				return
			}
		}
	}()
	return nil
}

// endUpload waits for the upload of a try, which it stops where it goes on.
func (s *stream) endUpload() {
	if s.uploading == nil {
		return
	}
	s.spool.begin()
	if !s.requestSent.Load() {
		s.up.abort()
	}
	<-s.uploading
	s.uploading = nil
}
