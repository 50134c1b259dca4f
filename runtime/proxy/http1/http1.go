// Package http1 is a strict HTTP/1.1 codec (RFC 9110, RFC 9112) on net.Conn:
// ServerConn for downstream connections, ClientConn for upstream ones. It
// speaks filter.Headers and refuses whatever two parsers could understand
// differently.
//
// # Headers
//
// Names are lower-case on both sides. ReadHeaders shows the pseudo fields
// first (:authority, :path, :method, :scheme; or :status) and no field that
// belongs to the connection: Connection and every field it names, Keep-Alive,
// Proxy-Connection, Transfer-Encoding, Upgrade and Host are taken out, TE is
// left only as "trailers". Content-Length stays, and in a response
// Transfer-Encoding, which Envoy shows to filters there. WriteHeaders leaves
// out all these fields and writes its own in their place: a body has the
// content-length that the headers say, checked, or else is chunked.
//
// # Lifetime
//
// The strings in headers and trailers that a connection has filled lie in its
// receive buffer: they are valid until Next.
//
// # Goroutines
//
// One goroutine may read while another writes. On a ServerConn, writing begins
// after ReadHeaders has returned; on a ClientConn, reading begins after
// WriteHeaders has. Everything else is for one goroutine, with neither going on.
//
// # Deadlines
//
// They are the caller's to set on the net.Conn.
package http1

import (
	"errors"
	"os"
)

// Limits bound what a peer may make a connection hold. A zero field means its
// default.
type Limits struct {
	// HeaderBytes bounds a request or status line with its header fields, and
	// a trailer section, line ends included. 60 KiB, as in Envoy.
	HeaderBytes int
	// HeaderCount bounds the fields of a header or trailer section. 100, as in Envoy.
	HeaderCount int
	// BodyBytes bounds a received body. 0 is no bound.
	BodyBytes int64
	// DrainBytes bounds what Next and Close read of a request that nobody
	// wanted. 256 KiB.
	DrainBytes int64
}

func (l Limits) withDefaults() Limits {
	if l.HeaderBytes == 0 {
		l.HeaderBytes = 60 << 10
	}
	if l.HeaderCount == 0 {
		l.HeaderCount = 100
	}
	if l.DrainBytes == 0 {
		l.DrainBytes = 256 << 10
	}
	return l
}

// Error is what a peer did wrong. Other errors of this package come from the
// connection (io.EOF where it ended between two messages), or from a caller
// that handed over a message which cannot be written.
type Error struct {
	// Status is what to answer downstream: 400, 408, 413, 417, 431, 501 or 505
	// for a request; 502 for a response.
	Status int
	// Reason says what is wrong, without repeating what was received.
	Reason string
	// Err is what the connection said, where that is the cause.
	Err error
}

// Error returns the reason.
func (e *Error) Error() string { return "http1: " + e.Reason }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// ErrStale says that a server had closed a connection, or sent something, by
// the time the next request was to be sent on it. Nothing of that was sent.
var ErrStale = errors.New("http1: connection has ended since its last exchange")

// ErrHTTP2 is the Err of a request that is the first part of the connection preface
// of HTTP/2, up to its first empty line, and that was consumed.
var ErrHTTP2 = errors.New("http1: connection preface of HTTP/2")

// isTimeout reports whether err is a deadline that passed.
func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
