package sdk

import (
	"math"
	"time"

	"github.com/meshc/meshc/plugins/wasm/sdk/internal/host"
)

// Value is what the host says of a property. It is nil when there is none.
type Value []byte

// Property returns what the host knows under a path, as in
//
//	sdk.Property("source", "address").String()
//	sdk.Property("response", "code").Int()
//
// It speaks of the stream whose callback runs.
func Property(path ...string) Value {
	return AppendProperty(nil, path...)
}

// AppendProperty is Property that appends to dst. Where dst has the capacity,
// nothing is allocated. Without such a property it returns nil.
func AppendProperty(dst []byte, path ...string) Value {
	joined = joined[:0]
	for i, s := range path {
		if i > 0 {
			joined = append(joined, 0)
		}
		joined = append(joined, s...)
	}
	v, s := host.Property(dst, joined)
	if s != 0 {
		return nil
	}
	if v == nil {
		return Value{} // there, and empty
	}
	return v
}

// joined is kept for the next path.
var joined []byte

// SetProperty gives the stream a property of one name, which later filters and
// callbacks read by Property(name).
func SetProperty(name string, value []byte) error { return check(host.SetProperty(name, value)) }

// String returns it as text.
func (v Value) String() string { return string(v) }

// Int returns a number, or 0 where it is none.
func (v Value) Int() int64 {
	if len(v) != 8 {
		return 0
	}
	return int64(uint64(getUint32(v)) | uint64(getUint32(v[4:]))<<32)
}

// Float returns a number with a fraction, or 0 where it is none.
func (v Value) Float() float64 { return math.Float64frombits(uint64(v.Int())) }

// Bool returns a truth value, or false where it is none.
func (v Value) Bool() bool { return len(v) == 1 && v[0] != 0 }

// Duration returns a length of time.
func (v Value) Duration() time.Duration { return time.Duration(v.Int()) }

// Time returns a point of time.
func (v Value) Time() time.Time { return time.Unix(0, v.Int()) }

// Headers returns a property that is a map, as request.headers is.
func (v Value) Headers() ([]Header, error) { return unpack(v) }

// CallForeign calls a function that the host has beyond Proxy-Wasm, as Envoy
// has "compress". The error is NotFound when it has none of that name.
func CallForeign(name string, args []byte) ([]byte, error) {
	v, s := host.CallForeign(name, args)
	return v, check(s)
}
