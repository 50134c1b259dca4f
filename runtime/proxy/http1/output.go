package http1

import (
	"errors"
	"net"
	"strconv"

	"github.com/meshc/meshc/runtime/filter"
)

type framing uint8

// How the body being written is framed.
const (
	frameNone framing = iota // dropped: HEAD, 204, 304
	frameLength
	frameChunked
	frameClose
	frameTunnel // no more HTTP here
)

var (
	errNotBegun = errors.New("http1: body written before the headers")
	errEnded    = errors.New("http1: written after the end of the message")
	errTooLong  = errors.New("http1: body longer than its content-length")
	errTooShort = errors.New("http1: body shorter than its content-length")
)

// output is the sending half of a connection. pending has not been sent; it
// lies in buf, or has outgrown it.
type output struct {
	conn    net.Conn
	vectors bool // conn sends several pieces with one system call

	buf     *buffer
	pending []byte

	begun, done bool // of the message
	frame       framing
	left        int64 // of a content-length
	err         error // what made the connection useless

	bufs  net.Buffers // lies in parts
	parts [3][]byte
}

// start returns the storage to append to.
func (o *output) start() []byte {
	if o.buf == nil {
		size := small
		if !o.vectors {
			size = large // so that headers and body make one TLS record
		}
		o.buf = take(size)
		o.pending = o.buf.b[:0]
	}
	return o.pending
}

// room returns how much can be appended without a new allocation.
func (o *output) room() int {
	if o.buf == nil {
		o.start()
	}
	return cap(o.pending) - len(o.pending)
}

// release gives the storage back.
func (o *output) release() {
	if o.buf != nil {
		o.buf.release()
		o.buf, o.pending = nil, nil
	}
}

// sent takes the first n bytes, which the socket has accepted, off pending.
func (o *output) sent(n int) {
	if o.pending = o.pending[n:]; len(o.pending) == 0 {
		o.release()
	}
}

// flush sends what is pending.
func (o *output) flush() error {
	if o.err != nil || len(o.pending) == 0 {
		return o.err
	}
	_, o.err = o.conn.Write(o.pending)
	o.release()
	return o.err
}

// send sends what is pending and then p and tail, in one piece if possible.
func (o *output) send(p, tail []byte) error {
	if o.err != nil {
		return o.err
	}
	switch {
	case len(o.pending) == 0 && len(tail) == 0:
		_, o.err = o.conn.Write(p)
		return o.err
	case len(p)+len(tail) <= o.room():
		o.pending = append(append(o.pending, p...), tail...)
		return o.flush()
	case o.vectors:
		o.bufs = o.parts[:0]
		for _, part := range [...][]byte{o.pending, p, tail} {
			if len(part) > 0 {
				o.bufs = append(o.bufs, part)
			}
		}
		_, o.err = o.bufs.WriteTo(o.conn)
		o.bufs, o.parts = nil, [3][]byte{}
		o.release()
		return o.err
	}
	for _, part := range [...][]byte{o.pending, p, tail} {
		if len(part) > 0 && o.err == nil {
			_, o.err = o.conn.Write(part)
		}
	}
	o.release()
	return o.err
}

// writeString sends s behind what is pending.
func (o *output) writeString(s string) error {
	o.pending = append(o.start(), s...)
	return o.flush()
}

// begin takes b, which holds a message's header section, as pending.
func (o *output) begin(b []byte, frame framing, length int64, end bool) {
	o.pending = b
	o.begun, o.done = true, end
	o.frame, o.left = frame, length
}

var chunkEndBytes, lastChunkBytes = []byte("\r\n"), []byte("\r\n0\r\n\r\n")

// data writes a piece of body.
func (o *output) data(p []byte, end bool) error {
	switch {
	case o.err != nil:
		return o.err
	case !o.begun:
		return errNotBegun
	case o.done && (len(p) > 0 || !end):
		return o.fail(errEnded)
	case o.done:
		return nil
	}
	if o.frame == frameLength {
		if o.left -= int64(len(p)); o.left < 0 {
			return o.fail(errTooLong)
		}
		if end && o.left > 0 {
			return o.fail(errTooShort)
		}
	}
	o.done = end
	switch {
	case o.frame == frameNone:
		if end {
			return o.flush()
		}
		return nil
	case o.frame == frameChunked && len(p) > 0:
		o.pending = append(strconv.AppendUint(o.start(), uint64(len(p)), 16), "\r\n"...)
		if end {
			return o.send(p, lastChunkBytes)
		}
		return o.send(p, chunkEndBytes)
	case o.frame == frameChunked && end:
		return o.writeString("0\r\n\r\n")
	case len(p) == 0 && !end:
		return nil
	case len(p) == 0:
		return o.flush()
	}
	return o.send(p, nil)
}

// trailers ends a message; only a chunked one can carry t.
func (o *output) trailers(t *filter.Headers) error {
	if o.err != nil || !o.begun || o.done || o.frame != frameChunked {
		return o.data(nil, true)
	}
	b := append(o.start(), "0\r\n"...)
	for i := range t.Len() {
		f := t.At(i)
		if f.Name != "" && f.Name[0] == ':' || notInTrailers(f.Name) {
			continue
		}
		var err error
		if b, err = appendField(b, f); err != nil {
			return o.fail(err)
		}
	}
	o.pending = append(b, "\r\n"...)
	o.done = true
	return o.flush()
}

// fail gives up the message: what the peer has got of it cannot be completed.
func (o *output) fail(err error) error {
	o.err = err
	o.release()
	return err
}

// next ends a message.
func (o *output) next() {
	o.release()
	o.begun, o.done, o.frame, o.left = false, false, frameNone, 0
}

// abandon ends writing with err.
func (o *output) abandon(err error) {
	o.next()
	o.err = err
}
