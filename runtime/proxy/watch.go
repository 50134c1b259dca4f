package proxy

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// watch tells how long nothing has moved between two connections.
// What splice carries is counted only when a copy returns, so whoever watches
// interrupts the copies eight times in each timeout, and looks after each of
// those: a pair is cut off one to one and a quarter timeouts after its last byte.
type watch struct {
	flows [2]flow

	// The rest is the watcher's. Times are in nanoseconds, by now.
	seen  uint64 // bytes, as of the last look
	since int64  // when they had become so many
	asked int64  // when the copies were interrupted last
	fresh bool   // they were, and what they said has not been judged
}

// What a flow may be doing.
const (
	flowCounts  uint32 = iota // each piece is counted as it moves, or none does any more
	flowCopies                // a copy goes on
	flowIsAsked               // and is to say what it has moved
)

// flow is one direction of a watch.
type flow struct {
	moved atomic.Uint64 // bytes
	state atomic.Uint32
	src   net.Conn // set before state is flowCopies
}

// copy carries what src says to dst until src ends, and returns how much that was.
func (f *flow) copy(dst, src net.Conn) (n uint64, err error) {
	f.src = src
	f.state.Store(flowCopies)
	defer f.state.Store(flowCounts)
	for {
		k, err := io.Copy(dst, src)
		n += uint64(k)
		f.moved.Add(uint64(k))
		if !errors.Is(err, os.ErrDeadlineExceeded) || f.state.Load() != flowIsAsked {
			return n, err
		}
		src.SetReadDeadline(time.Time{})
		f.state.Store(flowCopies)
	}
}

// watchParts is how often in each timeout stalled is called, at least.
const watchParts = 16

// begin is called when the flows begin.
func (w *watch) begin(now int64) { w.since, w.asked = now, now }

// stalled reports whether nothing has moved for timeout.
func (w *watch) stalled(now int64, timeout time.Duration) bool {
	moved, waiting := uint64(0), false
	for i := range w.flows {
		waiting = waiting || w.flows[i].state.Load() == flowIsAsked
		moved += w.flows[i].moved.Load()
	}
	if moved != w.seen || w.since == 0 {
		w.seen, w.since = moved, now
	}
	switch {
	case waiting:
		// A copy does not answer while it cannot write.
		return now-w.asked > int64(timeout)
	case w.fresh:
		w.fresh = false
		return now-w.since > int64(timeout)
	case now-w.asked >= int64(timeout/8):
		w.asked, w.fresh = now, true
		for i := range w.flows {
			if f := &w.flows[i]; f.state.CompareAndSwap(flowCopies, flowIsAsked) {
				f.src.SetReadDeadline(past)
			}
		}
	}
	return false
}
