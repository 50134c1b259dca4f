package http1

import (
	"bytes"
	"errors"
	"io"

	"github.com/meshc/meshc/runtime/filter"
)

type bodyKind uint8

// How a body is framed.
const (
	bodyNone bodyKind = iota
	bodyLength
	bodyChunked
	bodyUntilClose
)

type chunkState uint8

// What comes next in a chunked body.
const (
	chunkSize chunkState = iota
	chunkData
	chunkEnd // the line end after the data
	chunkTrailers
	chunkDone
)

// Extensions of chunks are dropped; a line of them, and all of a message, are
// bounded, for a peer could send nothing else for ever.
const (
	maxChunkLine       = 1 << 10
	maxChunkExtensions = 16 << 10
	maxChunkDigits     = 15
)

// body is how far the body at hand has been read.
type body struct {
	kind       bodyKind
	chunk      chunkState
	left       int64 // of a length, or of the chunk
	total      int64 // received so far
	extensions int
}

func (in *input) begin(kind bodyKind, length int64) { in.body = body{kind: kind, left: length} }

// ended reports whether no data follows.
func (in *input) ended() bool {
	switch in.kind {
	case bodyLength:
		return in.left == 0
	case bodyChunked:
		return in.chunk >= chunkTrailers
	}
	return in.kind == bodyNone
}

// complete reports whether the message has been consumed, trailers included.
func (in *input) complete() bool {
	return in.ended() && (in.kind != bodyChunked || in.chunk == chunkDone)
}

// readData reads body into p. Unless n is 0 it returns an error with the next
// call only.
func (in *input) readData(p []byte) (n int, end bool, err error) {
	if in.err != nil {
		return 0, false, in.err
	}
	switch in.kind {
	case bodyLength:
		n, err = in.copyBody(p, true)
	case bodyUntilClose:
		n, err = in.copyBody(p, false)
		if n == 0 && errors.Is(err, io.ErrUnexpectedEOF) {
			in.kind, err = bodyNone, nil
		}
	case bodyChunked:
		n, err = in.readChunks(p)
	}
	in.total += int64(n)
	if limit := in.limits.BodyBytes; limit > 0 && in.total > limit && err == nil {
		status := 413
		if in.fault != 400 {
			status = in.fault
		}
		n, err = 0, &Error{Status: status, Reason: "body over the limit"}
	}
	if err != nil {
		in.err = err
		if n > 0 {
			return n, false, nil
		}
		return 0, false, err
	}
	return n, in.ended(), nil
}

// copyBody takes bytes out of the buffer, or else straight from the
// connection, no more than are left if that is bounded.
func (in *input) copyBody(p []byte, bounded bool) (n int, err error) {
	if bounded && int64(len(p)) > in.left {
		p = p[:in.left]
	}
	if len(p) == 0 {
		return 0, nil
	}
	if in.r < in.w {
		n = copy(p, in.buf.b[in.r:in.w])
		in.r += n
		in.dropEmpty()
	} else if n, err = in.conn.Read(p); n > 0 {
		err = nil // it comes again
	}
	if bounded {
		in.left -= int64(n)
	}
	if err != nil {
		err = in.cut(err)
	}
	return n, err
}

// readChunks fills p with the data of as many chunks as are at hand, and waits
// only if none is.
func (in *input) readChunks(p []byte) (n int, err error) {
	for n < len(p) && in.chunk < chunkTrailers {
		if in.chunk != chunkData {
			if ok, err := in.chunkFrame(n == 0); err != nil || !ok {
				return n, err
			}
			continue
		}
		if in.r == in.w && n > 0 {
			return n, nil
		}
		// A chunk too large for one buffer is read without one.
		if in.r == in.w && in.left < large {
			if err := in.fill(); err != nil {
				return n, err
			}
		}
		m, err := in.copyBody(p[n:], true)
		n += m
		if in.left == 0 {
			in.chunk = chunkEnd
		}
		if err != nil {
			return n, err
		}
	}
	// Look ahead, so that the last data come with the end.
	for in.chunk == chunkEnd || in.chunk == chunkSize {
		if ok, err := in.chunkFrame(false); err != nil || !ok {
			return n, err
		}
	}
	return n, nil
}

// chunkFrame consumes one piece of what lies between the data of chunks. It
// reports false where the piece is not all here and it may not wait.
func (in *input) chunkFrame(wait bool) (bool, error) {
	seen := 0
	for {
		var part []byte
		if in.buf != nil {
			part = in.buf.b[in.r:in.w]
		}
		if in.chunk == chunkEnd {
			if len(part) > 0 && part[0] != '\r' || len(part) > 1 && part[1] != '\n' {
				return false, in.bad("chunk longer than its size")
			}
			if len(part) > 1 {
				in.r += 2
				in.chunk = chunkSize
				return true, nil
			}
		} else {
			part = part[:min(len(part), maxChunkLine)]
			if i := bytes.IndexByte(part[seen:], '\n'); i >= 0 {
				return true, in.chunkLine(part[:seen+i+1])
			}
			if seen = len(part); seen == maxChunkLine {
				return false, in.bad("chunk line over the limit")
			}
		}
		if !wait {
			return false, nil
		}
		if err := in.fill(); err != nil {
			return false, err
		}
	}
}

// chunkLine consumes the line that begins a chunk.
func (in *input) chunkLine(line []byte) error {
	digits, size := 0, int64(0)
	for digits < len(line) {
		d := hexValue[line[digits]]
		if d == notHex {
			break
		}
		if digits++; digits > maxChunkDigits {
			return in.bad("chunk size over the limit")
		}
		size = size<<4 | int64(d)
	}
	rest := line[digits : len(line)-1]
	switch {
	case digits == 0:
		return in.bad("malformed chunk size")
	case len(rest) == 0 || rest[len(rest)-1] != '\r':
		return in.bad("line ended by a bare line feed")
	}
	if rest = rest[:len(rest)-1]; len(rest) > 0 {
		if rest[0] != ';' || !validValue(rest) {
			return in.bad("malformed chunk size")
		}
		if in.extensions += len(rest); in.extensions > maxChunkExtensions {
			return in.bad("chunk extensions over the limit")
		}
	}
	in.r += len(line)
	in.left, in.chunk = size, chunkData
	if size == 0 {
		in.chunk = chunkTrailers
		// Mostly there are no trailers.
		if in.w-in.r >= 2 && in.buf.b[in.r] == '\r' && in.buf.b[in.r+1] == '\n' {
			in.r += 2
			in.chunk = chunkDone
		}
	}
	return nil
}

// readTrailers consumes the trailer section of a chunked body.
func (in *input) readTrailers(t *filter.Headers) error {
	t.Reset()
	switch {
	case in.err != nil:
		return in.err
	case !in.ended():
		return errors.New("http1: trailers read before the end of the data")
	case in.complete():
		return nil
	}
	if err := in.trailerSection(t); err != nil {
		t.Reset()
		in.err = err
		return err
	}
	in.chunk = chunkDone
	return nil
}

func (in *input) trailerSection(t *filter.Headers) error {
	if in.r == in.w {
		if err := in.fill(); err != nil {
			return err
		}
	}
	// The header section stays held; the strings of trailers lie in buf, which
	// nothing is read into before next.
	header := in.held
	block, err := in.section()
	if header != nil {
		in.held = header
	}
	if err != nil {
		return err
	}
	if e := parseTrailers(block, t, in.limits.HeaderCount); e != nil {
		if in.fault != 400 {
			e.Status = in.fault
		}
		return e
	}
	return nil
}

// drain reads the rest of the message, if it is no more than limit bytes.
func (in *input) drain(limit int64) bool {
	b := take(small)
	defer b.release()
	for !in.ended() {
		n, _, err := in.readData(b.b)
		if limit -= int64(n); err != nil || limit < 0 {
			return false
		}
	}
	var t filter.Headers
	return in.readTrailers(&t) == nil
}

// discard reads up to limit bytes of the connection, whatever they are, until
// the peer closes.
func (in *input) discard(limit int64) {
	b := take(large)
	defer b.release()
	for limit > 0 {
		n, err := in.conn.Read(b.b)
		if limit -= int64(n); err != nil {
			return
		}
	}
}
