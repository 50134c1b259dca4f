package proxy

import (
	"net"
	"time"

	"github.com/meshc/meshc/runtime/filter"
)

// halfStream is one HTTP message exchange as a codec offers it: the server
// side of a downstream connection or the client side of an upstream one.
// Everything above it (routing, filters, balancing) is written against this
// interface alone, so that a codec can be replaced or another added.
//
// Reading and writing may go on in two goroutines at once, one each.
// Errors of a codec tell by their type what the other side gets to see.
type halfStream interface {
	// ReadHeaders fills h, pseudo fields first, and reports whether the
	// message ends with it.
	ReadHeaders(h *filter.Headers) (end bool, err error)
	// ReadData returns body bytes; n may be 0. end says that no data
	// follows; trailers may still.
	ReadData(p []byte) (n int, end bool, err error)
	// ReadTrailers fills t; it is called once, after the end of the data.
	ReadTrailers(t *filter.Headers) error

	WriteHeaders(h *filter.Headers, end bool) error
	WriteData(p []byte, end bool) error
	// WriteTrailers ends the message.
	WriteTrailers(t *filter.Headers) error
	// Flush sends headers that wait for the body.
	Flush() error

	// Buffered returns how many bytes are received and not read.
	Buffered() int
	// SetUpgrade makes the message ask for, or agree to, another protocol.
	SetUpgrade(protocol string)
	// Upgrade returns the protocol that the peer asks for or agrees to, or "".
	Upgrade() string
	// Hijack ends the codec's part and returns what it read too much.
	Hijack() (net.Conn, []byte)
	// Next ends the exchange and reports whether another may follow.
	Next() (reuse bool)
	Close() error
}

// serverCodec is the server side of a downstream connection.
type serverCodec interface {
	halfStream
	// Wait returns when the next request begins to arrive.
	Wait() error
	// ExpectContinue reports whether the client waits for a 100, which the
	// codec sends when the body is first read.
	ExpectContinue() bool
	// Whole returns the size of the body where all of it is here and no trailers
	// are, and else 0.
	Whole() int
	// WriteInformational sends an interim response.
	WriteInformational(h *filter.Headers) error
	// Protocol is the version of HTTP that the request was sent in, as in "HTTP/1.1".
	Protocol() string
	// CloseAfter makes this response the last, where a connection has one
	// exchange at a time.
	CloseAfter()
	// Deadlines of reading the request and writing the response; the zero time
	// is none. A deadline gone by ends what waits.
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
}

// clientCodec is the client side of an upstream connection.
type clientCodec interface {
	halfStream
	// Idle reports whether the server has kept quiet and open since the last
	// exchange.
	Idle() bool
	// Abort ends the exchange, also what Hijack has handed out. It may be
	// called while others read and write, who get an error.
	Abort()
}

// write sends o. With hold, headers alone may wait for what follows.
func write(c halfStream, o filter.Output, hold bool) error {
	dataEnd := o.End && o.Trailers == nil
	if o.Headers != nil {
		end := dataEnd && len(o.Data) == 0
		if err := c.WriteHeaders(o.Headers, end); err != nil || end {
			return err
		}
	}
	if len(o.Data) > 0 || dataEnd {
		if err := c.WriteData(o.Data, dataEnd); err != nil {
			return err
		}
	} else if !hold && o.Trailers == nil {
		return c.Flush()
	}
	if o.Trailers != nil {
		return c.WriteTrailers(o.Trailers)
	}
	return nil
}
