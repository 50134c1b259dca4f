package proxy

import (
	"runtime/debug"
	"sync"

	"github.com/meshc/meshc/runtime/filter"
)

// passage is a filter chain with the writing ends behind it: what has passed
// the chain goes on to write. It is the same for HTTP and TCP.
//
// Two goroutines feed it, one a direction, and each writes what its own piece
// brought out of the chain. What a filter lets go in its own time is written by
// a goroutine of its own, since the feeder may be waiting in a read.
type passage struct {
	chain *filter.Chain
	owner passageOwner
	ends  [2]end
	held  bool             // the request's end is locked by await
	wake  [2]chan struct{} // for the feeder of each direction

	mu    sync.Mutex
	ended bool
	late  sync.WaitGroup // goroutines started by Wake
}

// passageOwner is the stream or connection that the filters are on.
type passageOwner interface {
	Property(path []string) (filter.Value, bool)
	ClearRoute()
	Abandon()
	Panicked(value any, stack []byte)
	// write sends what has passed the chain in direction d.
	write(d filter.Direction, o filter.Output) error
}

// end is where one direction leaves the chain. Its lock is held from Take
// until what was taken is written, so that the pieces stay in order and the
// feeder's memory is not used again too soon.
type end struct {
	sync.Mutex
	open bool // write may be called
	done bool // the end of the message was written
	err  error
}

func newPassage(owner passageOwner) *passage {
	f := &passage{owner: owner}
	f.wake[filter.Request], f.wake[filter.Response] = make(chan struct{}, 1), make(chan struct{}, 1)
	f.ends[filter.Response].open = true
	return f
}

func (f *passage) Property(path []string) (filter.Value, bool) { return f.owner.Property(path) }
func (f *passage) ClearRoute()                                 { f.owner.ClearRoute() }
func (f *passage) Abandon()                                    { f.owner.Abandon() }
func (f *passage) Panicked(value any, stack []byte)            { f.owner.Panicked(value, stack) }

// Wake is part of filter.Host.
func (f *passage) Wake(d filter.Direction) {
	f.poke()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.ended {
		f.late.Go(func() {
			defer func() {
				if v := recover(); v != nil {
					f.owner.Panicked(v, debug.Stack())
					f.chain.Reset()
				}
			}()
			f.flush(d)
		})
	}
}

// poke has both feeders look again at what they wait for.
func (f *passage) poke() {
	f.pokeOne(filter.Request)
	f.pokeOne(filter.Response)
}

func (f *passage) pokeOne(d filter.Direction) {
	select {
	case f.wake[d] <- struct{}{}:
	default:
	}
}

// await waits until the request has passed the chain and returns what came out,
// with the request's end locked for the caller to write to, and to open. It reports
// false when a reply took its place, or the stream was reset.
func (f *passage) await() (o filter.Output, ok bool) {
	for !f.chain.Replied() && !f.chain.WasReset() {
		if o, ok := f.ready(); ok {
			return o, true
		}
		<-f.wake[filter.Response]
	}
	return o, false
}

// ready is await without waiting; it reports false too where the request has
// not passed the chain yet.
func (f *passage) ready() (o filter.Output, ok bool) {
	e := &f.ends[filter.Request]
	e.Lock()
	if !f.chain.Replied() && !f.chain.WasReset() {
		if o, ok := f.chain.Take(filter.Request); ok {
			f.held = true
			return o, true
		}
	}
	e.Unlock()
	return o, false
}

// opened unlocks the request's end; with ok, further output goes to write.
func (f *passage) opened(ok bool, o filter.Output) {
	e := &f.ends[filter.Request]
	e.open, e.done = ok, o.End
	f.unlock()
	f.poke()
}

// unlock undoes the lock of await, unless opened has.
func (f *passage) unlock() {
	if f.held {
		f.held = false
		f.ends[filter.Request].Unlock()
	}
}

// flush writes what has passed the chain in direction d, and reports whether
// there is room for more and whether the message ended or broke off.
func (f *passage) flush(d filter.Direction) (room, over bool) {
	e := &f.ends[d]
	e.Lock()
	defer e.Unlock()
	if !e.open {
		f.pokeOne(filter.Response) // await may take what this piece brought out
	}
	for e.open && e.err == nil {
		o, ok := f.chain.Take(d)
		if !ok {
			break
		}
		e.err = f.owner.write(d, o)
		e.done = e.done || o.End
	}
	return f.chain.Room(d), e.done || e.err != nil || f.chain.WasReset()
}

// settle writes what the last piece fed in direction d brought out, and waits
// for room. It reports false when no more is wanted.
func (f *passage) settle(d filter.Direction) bool {
	for {
		room, over := f.flush(d)
		if over {
			return false
		}
		if room {
			return true
		}
		<-f.wake[d]
	}
}

// drain waits until direction d has been written to its end, or cannot be.
func (f *passage) drain(d filter.Direction) error {
	e := &f.ends[d]
	for {
		if _, over := f.flush(d); over {
			e.Lock()
			defer e.Unlock()
			return e.err
		}
		<-f.wake[d]
	}
}

// join waits for what filters have had written in their own time; from then on nothing
// is. The feeders have ended.
func (f *passage) join() {
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	f.late.Wait()
}
