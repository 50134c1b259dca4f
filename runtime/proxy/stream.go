package proxy

import "github.com/meshc/meshc/runtime/filter"

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
}
