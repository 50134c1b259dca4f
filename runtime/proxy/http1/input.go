package http1

import (
	"bytes"
	"errors"
	"io"
	"net"
	"unsafe"
)

// minRead is the least room worth reading into.
const minRead = 512

// input is the receiving half of a connection.
//
// buf[r:w] has been received and not consumed; buf is nil when there is
// nothing. A header section is parsed in place, and the buffer it lies in is
// then also held, until next: strings of the message lie there, so nothing
// before r is written over.
type input struct {
	conn   net.Conn
	sock   *socket // nil where conn is not a socket
	limits Limits
	fault  int // status of what the peer does wrong

	buf  *buffer
	r, w int
	held *buffer
	one  [1]byte

	// reused is set on a client's connection that has had an exchange: what
	// came since then is no answer to what wait is to send.
	reused bool
	err    error // what ended reading for good

	body
}

// bad returns the error for a peer that broke the protocol.
func (in *input) bad(reason string) error { return &Error{Status: in.fault, Reason: reason} }

// wait returns once a byte is there to consume. It sends what is pending in
// out first, which may be nil.
func (in *input) wait(out *output) error {
	if in.err != nil {
		return in.err
	}
	var send []byte
	if out != nil {
		if in.w > in.r || in.sock == nil {
			if err := out.flush(); err != nil {
				return err
			}
		}
		send = out.pending
	}
	if in.w > in.r {
		return nil
	}
	in.dropEmpty()
	if in.sock == nil {
		return in.waitByte()
	}
	b, n, unsent, err := in.sock.read(send, in.reused)
	if len(send) > 0 {
		out.sent(len(send) - len(unsent))
		if err == nil && len(unsent) > 0 {
			if err := out.flush(); err != nil {
				return err
			}
			b, n, _, err = in.sock.read(nil, false)
		}
	}
	if err != nil {
		return err
	}
	in.buf, in.r, in.w = b, 0, n
	return nil
}

// waitByte waits on a connection that is not a socket (TLS, a pipe): one byte
// needs no buffer.
func (in *input) waitByte() error {
	for {
		n, err := in.conn.Read(in.one[:])
		if n > 0 {
			in.buf, in.r, in.w = take(small), 0, 1
			in.buf.b[0] = in.one[0]
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// dropEmpty gives back a buffer in which nothing is left and nothing is held.
func (in *input) dropEmpty() {
	if in.buf != nil && in.r == in.w {
		if in.buf != in.held {
			in.buf.release()
		}
		in.buf, in.r, in.w = nil, 0, 0
	}
}

// fill reads more bytes behind those that are there, inside a message.
func (in *input) fill() error {
	in.dropEmpty()
	switch {
	case in.buf == nil && in.sock != nil:
		b, n, _, err := in.sock.read(nil, false)
		if err != nil {
			return in.cut(err)
		}
		in.buf, in.r, in.w = b, 0, n
		return nil
	case in.buf == nil:
		in.buf = take(large)
	case len(in.buf.b)-in.w < minRead:
		in.makeRoom()
	}
	for {
		n, err := in.conn.Read(in.buf.b[in.w:])
		in.w += n
		if n > 0 {
			return nil
		}
		if err != nil {
			return in.cut(err)
		}
	}
}

// makeRoom moves what is unread to the start of the buffer, or to another if
// this one is held or too small.
func (in *input) makeRoom() {
	unread := in.buf.b[in.r:in.w]
	if in.buf == in.held || len(in.buf.b)-len(unread) < minRead {
		old := in.buf
		in.buf = take(max(2*len(unread), len(unread)+minRead))
		copy(in.buf.b, unread)
		if old != in.held {
			old.release()
		}
	} else {
		copy(in.buf.b, unread)
	}
	in.r, in.w = 0, len(unread)
}

// cut says what err, met inside a message, means.
func (in *input) cut(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return &Error{Status: in.fault, Reason: "connection ended inside a message", Err: io.ErrUnexpectedEOF}
	case in.fault == 400 && isTimeout(err):
		return &Error{Status: 408, Reason: "request took too long", Err: err}
	}
	return err
}

// headerBlock returns the next message's first line and fields, up to and with
// the empty line that ends them. The bytes are held until next.
func (in *input) headerBlock() ([]byte, error) {
	if err := in.wait(nil); err != nil {
		return nil, err
	}
	if in.fault == 400 {
		// Older clients send an empty line after a body (RFC 9112, 2.2).
		if in.buf.b[in.r] == '\r' {
			if in.w-in.r < 2 {
				if err := in.fill(); err != nil {
					return nil, err
				}
			}
			if in.buf.b[in.r+1] != '\n' {
				return nil, in.bad("carriage return without line feed")
			}
			in.r += 2
			if err := in.wait(nil); err != nil {
				return nil, err
			}
		}
		// A TLS handshake has no line end to wait for.
		if lower[in.buf.b[in.r]] == 0 {
			return nil, in.bad("not an HTTP/1 request")
		}
	}
	return in.section()
}

// section returns the lines up to and with the next empty one, and consumes them.
func (in *input) section() ([]byte, error) {
	line, seen := 0, 0 // start of the line, bytes looked at; from r
	for {
		part := in.buf.b[in.r:min(in.w, in.r+in.limits.HeaderBytes)]
		for {
			i := bytes.IndexByte(part[seen:], '\n')
			if i < 0 {
				seen = len(part)
				break
			}
			i += seen
			if i == line || part[i-1] != '\r' {
				return nil, in.bad("line ended by a bare line feed")
			}
			if i == line+1 {
				in.r += i + 1
				in.held = in.buf
				return part[:i+1], nil
			}
			line, seen = i+1, i+1
		}
		if seen >= in.limits.HeaderBytes {
			status := 431
			if in.fault != 400 {
				status = in.fault
			}
			return nil, &Error{Status: status, Reason: "header section over the limit"}
		}
		if err := in.fill(); err != nil {
			return nil, err
		}
	}
}

// next ends a message. What was received beyond it stays if keep is set.
func (in *input) next(keep bool) {
	if in.held != nil && in.held != in.buf {
		in.held.release()
	}
	in.held = nil
	if !keep {
		in.r = in.w
	}
	in.dropEmpty()
	in.body = body{}
}

// abandon ends reading with err and returns what was received and not consumed.
// The buffers are left to the garbage collector, for their strings may outlive
// the connection.
func (in *input) abandon(err error) (rest []byte) {
	if in.r < in.w {
		rest = bytes.Clone(in.buf.b[in.r:in.w])
	}
	in.buf, in.held, in.r, in.w = nil, nil, 0, 0
	in.body, in.err = body{}, err
	return rest
}

// text returns b as a string that shares its bytes.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
