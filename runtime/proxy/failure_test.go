package proxy

import (
	"testing"
	"time"

	"github.com/meshc/meshc/runtime/filter"
)

// anywhere is a stream for filters alone, whose answer goes nowhere.
type anywhere struct{ passageOwner }

func (anywhere) Abandon()                                    {}
func (anywhere) write(filter.Direction, filter.Output) error { return nil }

// patientCodec is a client that takes its time.
type patientCodec struct{ serverCodec }

func (patientCodec) SetWriteDeadline(time.Time) error { return nil }

// lateStream is a stream with a filter, without a connection.
func lateStream() (*stream, *filter.Worker) {
	worker := filter.NewWorkers(1).At(0)
	f := newPassage(anywhere{})
	f.chain = filter.NewChain(f, worker, 1<<10, []filter.Factory{
		testFactory{func(filter.Stream) filter.HTTP { return filter.PassThrough{} }, func() {}},
	})
	d := &downstream{codec: patientCodec{}}
	d.stream.d, d.stream.f, d.stream.chain = d, f, f.chain
	return &d.stream, worker
}

// A stream that is late is answered once, by its own goroutine or by the timer: where the
// former, which hears of it first, was quicker, the latter does not take its answer away.
func TestLateStreamIsAnsweredOnce(t *testing.T) {
	s, worker := lateStream()
	s.cancel = func() { s.chain.Reply(*errLate.reply(true)) }
	s.abort(s.d.seq.Load(), errLate)
	worker.Do(func() {}) // what was asked of it before is done
	if !s.chain.Replied() || s.chain.WasReset() {
		t.Errorf("replied %t, reset %t", s.chain.Replied(), s.chain.WasReset())
	}
	s.chain.End(&filter.Record{})
}

// The time that is over when the end of the answer is written ends nothing any more: the
// client would meet a closed connection with its next request. A second time it does.
func TestLateAtTheEndOfTheAnswer(t *testing.T) {
	s, worker := lateStream()
	h := &filter.Headers{}
	h.Add(":status", "200")
	s.chain.Headers(filter.Response, h, true)
	s.f.flush(filter.Response)
	s.begun.Store(true)
	s.ending.Store(true)
	for _, want := range []bool{false, true} {
		s.abort(s.d.seq.Load(), errLate)
		worker.Do(func() {})
		if s.chain.Replied() || s.chain.WasReset() != want {
			t.Errorf("replied %t, reset %t, want %t", s.chain.Replied(), s.chain.WasReset(), want)
		}
	}
	s.chain.End(&filter.Record{})
}
