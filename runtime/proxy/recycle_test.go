package proxy

import (
	"testing"

	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/proxy/http1"
)

// refusedStream is a stream of HTTP/2 whose request is over the limits.
type refusedStream struct{ serverCodec }

func (refusedStream) ReadHeaders(*filter.Headers) (bool, error) {
	return false, &http1.Error{Status: 431, Reason: "header section over the limit"}
}
func (refusedStream) WriteHeaders(*filter.Headers, bool) error { return nil }
func (refusedStream) CloseAfter()                              {}
func (refusedStream) Next() bool                               { return false }

// That a client has left is told by its connection's reader, which may be late: the lane of
// a request that was refused serves another client's by then.
func TestLateResetOfRefusedStream(t *testing.T) {
	w := &world{}
	w.host("a")
	p := run(t, w)
	var s *socket
	for _, s = range p.sockets {
	}
	m := &http2Session{d: &downstream{proxy: p, socket: s}}
	d := lanes.Get().(*downstream)
	d.session, d.codec, d.proxy, d.socket = m, refusedStream{}, p, s
	number := d.seq.Add(1)
	m.serving.Add(1)
	d.serveStream()
	d.StreamReset(number, errClientGone)
	if cause := d.stream.aborted(); cause != nil {
		t.Errorf("the next stream of the lane is given up: %v", cause)
	}
}
