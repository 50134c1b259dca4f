package wasm

import (
	"testing"

	"github.com/meshc/meshc/runtime/filter"
)

// BenchmarkFilter is a stream through a filter alone, as a chain drives it: six
// calls into the guest, two back.
func BenchmarkFilter(b *testing.B) {
	r := newRig(b, 1)
	f := r.factory(use(adder().wasm()))
	x := &quiet{worker: r.workers.At(0)}
	request := headers(":authority", "a", ":path", "/", ":method", "GET", ":scheme", "http", "accept", "*/*", "user-agent", "bench")
	response := headers(":status", "200", "content-length", "0")
	record := &filter.Record{Request: request, Response: response}
	var h filter.Headers
	b.ReportAllocs()
	for b.Loop() {
		s := f.HTTP(x)
		h.CopyFrom(request)
		s.RequestHeaders(&h, true)
		h.CopyFrom(response)
		s.ResponseHeaders(&h, true)
		s.Log(record)
		s.Done()
	}
}

// quiet is a Stream that does nothing.
type quiet struct {
	filter.Stream
	worker *filter.Worker
}

func (q *quiet) Worker() *filter.Worker { return q.worker }
func (q *quiet) ClearRoute()            {}
func (q *quiet) Limit() int             { return filter.DefaultBufferLimit }
