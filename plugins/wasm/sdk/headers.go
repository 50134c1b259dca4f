package sdk

import "github.com/meshc/meshc/plugins/wasm/sdk/internal/host"

// Headers is a list of headers that the host holds. It can be read and changed
// in its own callback and while the filter pauses there, and read in Done;
// elsewhere the host says BadArgument. Names are not case-sensitive.
type Headers int32

// The lists of a stream. A callback gets the one that it is about.
const (
	RequestHeaders   Headers = host.RequestHeaders
	RequestTrailers  Headers = host.RequestTrailers
	ResponseHeaders  Headers = host.ResponseHeaders
	ResponseTrailers Headers = host.ResponseTrailers
)

// Get returns the first value of a header, or "".
func (h Headers) Get(name string) string {
	v, _ := h.Lookup(name)
	return v
}

// Lookup returns the first value of a header. The error is NotFound when it has
// none.
func (h Headers) Lookup(name string) (string, error) {
	v, s := host.HeaderValue(nil, int32(h), name)
	return view(v), check(s)
}

// Append appends the first value of a header to dst. Where dst has the capacity,
// nothing is allocated. The error is NotFound when there is no such header.
func (h Headers) Append(dst []byte, name string) ([]byte, error) {
	v, s := host.HeaderValue(dst, int32(h), name)
	return v, check(s)
}

// Set gives a header one value, in place of those it has.
func (h Headers) Set(name, value string) error {
	return check(host.ReplaceHeader(int32(h), name, value))
}

// Add gives a header one more value.
func (h Headers) Add(name, value string) error {
	return check(host.AddHeader(int32(h), name, value))
}

// Del removes a header with all its values. One that is not there is no error.
func (h Headers) Del(name string) error { return check(host.RemoveHeader(int32(h), name)) }

// All returns all headers in their order.
func (h Headers) All() ([]Header, error) {
	packed, s := host.HeaderPairs(nil, int32(h))
	if s != 0 {
		return nil, Status(s)
	}
	return unpack(packed)
}

// SetAll puts a list in place of all headers, those with a colon included.
func (h Headers) SetAll(headers []Header) error {
	return check(host.SetHeaderPairs(int32(h), pack(headers)))
}
