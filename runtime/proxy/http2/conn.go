package http2

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
)

// conn is what both sides of a connection have in common.
//
// Locks: mu, then that of a stream. The reader, which is whoever is in serve,
// holds none of them while it waits.
type conn struct {
	nc     net.Conn
	server bool
	limits Limits
	clock  atomic.Int64 // nanoseconds, as of the last tick

	// Of the reader.
	br      *bufio.Reader
	fr      *http2.Framer
	block   block
	touched []*Stream // have got something since they were last told
	begun   []ticket  // requests that nobody has been told of
	heard   atomic.Bool

	recvWindow atomic.Int64 // what the peer may send on the connection

	mu         sync.Mutex
	streams    map[uint32]*Stream
	active     int    // streams that somebody holds or will hold
	lastID     uint32 // highest ID of a stream that has begun
	err        error  // why the connection is of no more use
	closing    bool   // closed once all is sent
	out        output
	enc        encoder
	lost       []loss
	sendWindow int64
	owed       int64 // bytes that were taken in and the peer has not been told of
	// What the peer has set.
	peerWindow  int64
	peerStreams uint32

	server1 serverState
	client1 clientState
}

// ticket is a stream as it was when it began.
type ticket struct {
	s  *Stream
	id uint32
}

// loss is a stream that was dropped, for its owner.
type loss struct {
	owner  Owner
	number uint64
	err    error
}

func (c *conn) init(nc net.Conn, received []byte, l Limits) {
	c.nc, c.limits = nc, l.withDefaults()
	var r io.Reader = nc
	if len(received) > 0 {
		r = &joined{received, nc}
	}
	c.br = bufio.NewReaderSize(r, maxFrame)
	c.fr = http2.NewFramer(nil, c.br)
	c.fr.SetReuseFrames()
	c.fr.SetMaxReadFrameSize(maxFrame)
	c.block.init(c)
	c.enc.init()
	c.out.try = newTrier(nc)
	c.streams = map[uint32]*Stream{}
	c.sendWindow, c.peerWindow = defaultWindow, defaultWindow
	c.peerStreams = 100 // until it says
	c.recvWindow.Store(connWindow)
	c.clock.Store(time.Now().UnixNano())
}

// joined reads what was received before, and then the connection.
type joined struct {
	first []byte
	nc    net.Conn
}

func (j *joined) Read(p []byte) (int, error) {
	if len(j.first) == 0 {
		return j.nc.Read(p)
	}
	n := copy(p, j.first)
	j.first = j.first[n:]
	return n, nil
}

// lingerTime bounds the wait for a peer to close after us, and lingerBytes what
// it may send meanwhile: a reset would take from it what it has not read yet.
const (
	lingerTime  = time.Second
	lingerBytes = 256 << 10
)

// past is a deadline that has always gone by.
var past = time.Unix(1, 0)

// serve reads until the connection ends, and ends all streams by that.
func (c *conn) serve() error {
	err := c.read()
	if err == io.EOF { // to the streams it is no end
		err = io.ErrUnexpectedEOF
	}
	var e *Error
	c.mu.Lock()
	if errors.As(err, &e) && c.err == nil {
		c.out.goAway(c.lastPeerID(), e.Code)
		c.closing = true
		c.flush()
	}
	c.fail(err)
	c.mu.Unlock()
	c.begin()
	c.report()
	if e != nil {
		c.nc.SetReadDeadline(time.Now().Add(lingerTime))
		io.CopyN(io.Discard, c.nc, lingerBytes)
	}
	c.nc.Close()
	c.out.late.Wait()
	return err
}

// lastPeerID is the last of the peer's streams, for GOAWAY. c.mu is held.
func (c *conn) lastPeerID() uint32 {
	if c.server {
		return c.lastID
	}
	return 0
}

// settle closes our side once all is sent, where that is wanted; c.mu is held.
func (c *conn) settle() {
	if !c.closing || c.out.writing || c.out.pending != nil || c.err != nil {
		return
	}
	c.closing = false
	if !c.server {
		c.nc.Close() // there is nothing that the server would have to read yet
		return
	}
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		c.nc.Close()
		return
	}
	c.nc.SetReadDeadline(time.Now().Add(lingerTime))
}

// fail ends all streams and what waits; c.mu is held.
func (c *conn) fail(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	c.nc.SetReadDeadline(past) // wakes the reader
	for _, s := range c.streams {
		c.drop(s, err)
	}
	c.wake()
}

// drop takes s off the wire with err; whoever holds it learns of that. c.mu is held.
func (c *conn) drop(s *Stream, err error) {
	delete(c.streams, s.id)
	if s.sendErr == nil {
		s.sendErr = err
	}
	s.sendable.Signal()
	s.mu.Lock()
	if !s.ended && s.recvErr == nil {
		s.recvErr = err
	}
	s.arrived.Signal()
	if s.owner != nil {
		c.lost = append(c.lost, loss{s.owner, s.number, err})
	}
	s.mu.Unlock()
}

// report tells the owners of streams that were dropped. It is the reader that
// does, for an owner may want to use the connection.
func (c *conn) report() {
	c.mu.Lock()
	lost := c.lost
	c.lost = nil
	c.mu.Unlock()
	for _, l := range lost {
		l.owner.StreamReset(l.number, l.err)
	}
}

// kill closes the connection under everything.
func (c *conn) kill(err error) {
	c.mu.Lock()
	c.fail(err)
	c.mu.Unlock()
	c.nc.Close()
}

// stuck reports whether the peer has taken nothing for longer than limit. c.mu is held.
func (c *conn) stuck(now int64, limit time.Duration) bool {
	return c.out.since != 0 && now-c.out.since > int64(limit)
}
