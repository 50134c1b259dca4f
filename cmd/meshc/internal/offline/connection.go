package offline

import (
	"context"
	"time"

	"github.com/meshc/meshc/plugins"
	"github.com/meshc/meshc/runtime/filter"
)

// Passed is what came of a connection.
type Passed struct {
	Upstream, Downstream []byte // what each side got
	// Closed says that the filter ended the connection; Held, that it still held
	// bytes when Patience ended.
	Closed, Held bool
	Calls        []Call
	Faults       []plugins.Fault
}

// Connect serves one TCP connection: the client sends downstream and closes its
// side, then the upstream sends upstream and closes.
func (s *Session) Connect(ctx context.Context, downstream, upstream []byte) Passed {
	h := &host{start: time.Now(), woken: make(chan struct{}, 1)}
	h.chain = filter.NewConnChain(h, s.worker, 0, []filter.Factory{s.factory})
	if h.chain == nil {
		return Passed{Upstream: downstream, Downstream: upstream} // the filter takes no part
	}
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	h.chain.Headers(filter.Request, nil, false)
	h.send(filter.Request, downstream)
	var p Passed
	up, down, held := h.serve(ctx, func() { h.send(filter.Response, upstream) })
	p.Held = held
	p.Closed = h.chain.WasReset()
	h.chain.End(h.record(Outcome{}))
	if up != nil {
		p.Upstream = up.Body
	}
	if down != nil {
		p.Downstream = down.Body
	}
	p.Calls, p.Faults = s.calls.take(), s.faults.take()
	return p
}

// send gives bytes and their end to the chain, in two calls as they arrive.
func (h *host) send(d filter.Direction, data []byte) {
	if len(data) > 0 {
		h.chain.Data(d, append([]byte(nil), data...), false)
	}
	h.chain.Data(d, nil, true)
}
