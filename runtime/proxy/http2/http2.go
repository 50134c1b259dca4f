// Package http2 is HTTP/2 (RFC 9113) for proxies, on net.Conn: ServerConn for
// downstream connections, ClientConn for upstream ones. Frames are read and
// header blocks coded by golang.org/x/net/http2; streams, flow control and what
// protects one side from the other are here.
//
// # Streams
//
// A Stream is one request and its response, on either side, and speaks
// filter.Headers. Its methods are those of an http1 connection for one
// exchange: one goroutine may read while another writes. Whoever holds a stream
// ends it with Next or Close, once, and does not touch it afterwards. Abort and
// the deadlines may be called from anywhere before that.
//
// # Headers
//
// ReadHeaders shows the pseudo fields first and no field that belongs to a
// connection; crumbs of a cookie are one field, and a host field without
// :authority is :authority. WriteHeaders leaves out what HTTP/1 says about its
// connection. A message that is malformed (RFC 9113, 8.1.1) resets its stream. The
// strings are good for as long as one likes.
//
// # Memory
//
// A server connection keeps up to 1 MiB of request bodies that nobody has read,
// 256 KiB of each stream; a client connection 256 KiB for each stream, for there the
// streams are of different clients, and none may wait for another. What is to be sent
// waits in the connection up to 64 KiB; then writers wait.
package http2

import (
	"fmt"

	"golang.org/x/net/http2"
)

const (
	frameHeader   = 9
	maxFrame      = 16 << 10   // payload that we send and take
	defaultWindow = 64<<10 - 1 // of a connection and a stream that nobody has said anything about
	streamWindow  = 256 << 10
	connWindow    = 1 << 20
	maxPending    = 64 << 10 // to be sent, before writers wait
	maxControl    = 1000     // frames that answer a peer which does not take them
	maxID         = 1<<31 - 1
	maxWindow     = 1<<31 - 1
	maxInterim    = 32 // responses before the final one
)

// Limits bound what a peer may make a connection hold. A zero field means its
// default.
type Limits struct {
	// HeaderBytes bounds the names and values of a header section, and of
	// trailers, with four bytes more for each. 60 KiB, as in Envoy.
	HeaderBytes int
	// HeaderCount bounds their fields. 100, as in Envoy.
	HeaderCount int
	// BodyBytes bounds a received body. 0 is no bound.
	BodyBytes int64
	// Streams bounds the requests at once that a server takes on a connection.
	// 1024, as in Envoy.
	Streams int
}

func (l Limits) withDefaults() Limits {
	if l.HeaderBytes == 0 {
		l.HeaderBytes = 60 << 10
	}
	if l.HeaderCount == 0 {
		l.HeaderCount = 100
	}
	if l.Streams == 0 {
		l.Streams = 1024
	}
	return l
}

// ErrCode says why a stream or a connection ended (RFC 9113, 7).
type ErrCode = http2.ErrCode

// The codes that are of interest to users of this package.
const (
	CodeNo            = http2.ErrCodeNo
	CodeProtocol      = http2.ErrCodeProtocol
	CodeInternal      = http2.ErrCodeInternal
	CodeRefusedStream = http2.ErrCodeRefusedStream
	CodeCancel        = http2.ErrCodeCancel
)

// Error is a stream that was reset, or a connection whose peer broke the
// protocol. A connection that fails gives what the net.Conn said.
type Error struct {
	Code ErrCode
	// Remote says that the peer decided it.
	Remote bool
	// Unprocessed says that the peer has done nothing for the request, which
	// may go again to anyone.
	Unprocessed bool
	// Reason is for a log; it does not repeat what was received.
	Reason string
}

// Error returns the reason.
func (e *Error) Error() string {
	by := "here"
	if e.Remote {
		by = "by the peer"
	}
	if e.Reason != "" {
		return fmt.Sprintf("http2: %s (%s, %s)", e.Reason, e.Code, by)
	}
	return fmt.Sprintf("http2: ended %s (%s)", by, e.Code)
}

// Preface is what a client connection begins with.
const Preface = http2.ClientPreface
