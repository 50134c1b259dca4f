package http2

import (
	"encoding/binary"
	"sync"

	"golang.org/x/net/http2"
)

// outBuffer is storage for frames on their way out.
type outBuffer struct{ b []byte }

var outBuffers = sync.Pool{New: func() any { return &outBuffer{make([]byte, 0, 16<<10)} }}

func (o *outBuffer) release() {
	if cap(o.b) <= 2*maxPending {
		o.b = o.b[:0]
		outBuffers.Put(o)
	}
}

// output is the sending half of a connection; conn.mu guards it.
//
// Frames are put into pending, and whoever has put one there sends what there is,
// unless somebody else is at it. That never waits for the peer: what the socket
// does not take is left to a goroutine, and the streams that have more wait.
type output struct {
	try     *trier     // nil where only waiting writes are possible
	pending *outBuffer // nil where there is nothing
	writing bool       // frames before pending are being written
	since   int64      // of the write that waits, by the clock; else 0
	control int        // frames in pending that answer the peer's
	blocked []*Stream  // that wait for room, or for the connection's window
	late    sync.WaitGroup
}

func (o *output) size() int {
	if o.pending == nil {
		return 0
	}
	return len(o.pending.b)
}

// frame begins a frame with a payload of n bytes, which the caller appends to
// o.pending.b.
func (o *output) frame(n int, t http2.FrameType, flags http2.Flags, id uint32) {
	if o.pending == nil {
		o.pending = outBuffers.Get().(*outBuffer)
	}
	b := append(o.pending.b, byte(n>>16), byte(n>>8), byte(n), byte(t), byte(flags))
	o.pending.b = binary.BigEndian.AppendUint32(b, id)
}

func (o *output) windowUpdate(id uint32, n int) {
	o.frame(4, http2.FrameWindowUpdate, 0, id)
	o.pending.b = binary.BigEndian.AppendUint32(o.pending.b, uint32(n))
}

func (o *output) reset(id uint32, code ErrCode) {
	o.frame(4, http2.FrameRSTStream, 0, id)
	o.pending.b = binary.BigEndian.AppendUint32(o.pending.b, uint32(code))
}

func (o *output) goAway(last uint32, code ErrCode) {
	o.frame(8, http2.FrameGoAway, 0, 0)
	o.pending.b = binary.BigEndian.AppendUint32(o.pending.b, last)
	o.pending.b = binary.BigEndian.AppendUint32(o.pending.b, uint32(code))
}

func (o *output) ping(data [8]byte, ack bool) {
	flags := http2.Flags(0)
	if ack {
		flags = http2.FlagPingAck
	}
	o.frame(8, http2.FramePing, flags, 0)
	o.pending.b = append(o.pending.b, data[:]...)
}

func (o *output) settings(s ...http2.Setting) {
	o.frame(6*len(s), http2.FrameSettings, 0, 0)
	for _, s := range s {
		o.pending.b = binary.BigEndian.AppendUint16(o.pending.b, uint16(s.ID))
		o.pending.b = binary.BigEndian.AppendUint32(o.pending.b, s.Val)
	}
}

// headers appends a header block as a HEADERS frame and what it needs of CONTINUATION.
func (o *output) headers(id uint32, block []byte, end bool) {
	t, flags := http2.FrameHeaders, http2.Flags(0)
	if end {
		flags = http2.FlagHeadersEndStream
	}
	for {
		part := block[:min(len(block), maxFrame)]
		if block = block[len(part):]; len(block) == 0 {
			flags |= http2.FlagHeadersEndHeaders // that of CONTINUATION is the same
		}
		o.frame(len(part), t, flags, id)
		o.pending.b = append(o.pending.b, part...)
		if len(block) == 0 {
			return
		}
		t, flags = http2.FrameContinuation, 0
	}
}

func (o *output) data(id uint32, p []byte, end bool) {
	flags := http2.Flags(0)
	if end {
		flags = http2.FlagDataEndStream
	}
	o.frame(len(p), http2.FrameData, flags, id)
	o.pending.b = append(o.pending.b, p...)
}

// maxRounds bounds what one goroutine sends for others.
const maxRounds = 4

// flush sends what is pending, without waiting; c.mu is held, and not held
// meanwhile.
func (c *conn) flush() {
	o := &c.out
	for round := 0; o.pending != nil && !o.writing && c.err == nil; round++ {
		b := o.pending
		o.pending, o.writing, o.control = nil, true, 0
		n, err := 0, error(nil)
		if o.try != nil && round < maxRounds {
			c.mu.Unlock()
			n, err = o.try.try(b.b)
			c.mu.Lock()
		}
		if err == nil && c.err == nil && n < len(b.b) {
			o.since = c.clock.Load()
			o.late.Go(func() { c.write(b, n) })
			return
		}
		c.written(b, err)
	}
	c.settle()
}

// write sends b from n on, and what becomes pending meanwhile.
func (c *conn) write(b *outBuffer, n int) {
	for b != nil {
		_, err := c.nc.Write(b.b[n:])
		c.mu.Lock()
		c.out.since = 0
		c.written(b, err)
		if b, n = nil, 0; c.err == nil && c.out.pending != nil {
			b = c.out.pending
			c.out.pending, c.out.writing, c.out.control = nil, true, 0
			c.out.since = c.clock.Load()
		} else {
			c.settle()
		}
		c.mu.Unlock()
	}
}

// written notes the end of a write; c.mu is held.
func (c *conn) written(b *outBuffer, err error) {
	b.release()
	c.out.writing = false
	if err != nil {
		c.fail(err)
	}
	c.wake()
}

// wake has the blocked streams look again; c.mu is held.
func (c *conn) wake() {
	for i, s := range c.out.blocked {
		s.blocked = false
		s.sendable.Signal()
		c.out.blocked[i] = nil
	}
	c.out.blocked = c.out.blocked[:0]
}

// answer counts a frame that the peer made us send, and reports whether it is
// one too many: it does not take them. c.mu is held.
func (c *conn) answer() (flood bool) {
	c.out.control++
	return c.out.control > maxControl
}
