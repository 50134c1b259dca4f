package proxy

import (
	"testing"

	"github.com/meshc/meshc/runtime/filter"
)

// anywhere is a stream for filters alone, whose answer goes nowhere.
type anywhere struct{ passageOwner }

func (anywhere) Abandon()                                    {}
func (anywhere) write(filter.Direction, filter.Output) error { return nil }

// A stream that is late is answered once, by its own goroutine or by the timer: where the
// former, which hears of it first, was quicker, the latter does not take its answer away.
func TestLateStreamIsAnsweredOnce(t *testing.T) {
	workers := filter.NewWorkers(1)
	f := newPassage(anywhere{})
	f.chain = filter.NewChain(f, workers.At(0), 1<<10, []filter.Factory{
		testFactory{func(filter.Stream) filter.HTTP { return filter.PassThrough{} }, func() {}},
	})
	d := &downstream{}
	s := &d.stream
	s.d, s.chain = d, f.chain
	s.cancel = func() { f.chain.Reply(*errLate.reply(true)) }
	s.abort(d.seq.Load(), errLate)
	workers.At(0).Do(func() {}) // what was asked of it before is done
	if !f.chain.Replied() || f.chain.WasReset() {
		t.Errorf("replied %t, reset %t", f.chain.Replied(), f.chain.WasReset())
	}
	f.chain.End(&filter.Record{})
}
