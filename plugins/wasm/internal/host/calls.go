package host

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/meshc/meshc/plugins/wasm/internal/abi"
	"github.com/meshc/meshc/runtime/filter"
)

// maxCalls is how many calls one instance may have in flight, of all sorts.
// One more is answered InternalFailure, as Envoy does when it cannot send.
const maxCalls = 1000

// callSize is what a call in flight is taken for besides the bytes that it was
// made with.
const callSize = 4 << 10

// newCall returns a call that n bytes are kept for, or nil where there are too
// many calls, or no room.
func (i *Instance) newCall(r *Root, n int) *call {
	if len(i.calls) >= maxCalls || !i.hold(n+callSize) {
		return nil
	}
	return &call{root: r, held: n + callSize}
}

// forget ends a call: nothing is kept for it any more.
func (i *Instance) forget(token uint32) {
	if c := i.calls[token]; c != nil {
		delete(i.calls, token)
		i.config.Held.hold(-c.held - c.waiting)
		c.held, c.waiting = 0, 0
	}
}

// call is a call of a guest that is in flight: an HTTP call, or a gRPC call or
// stream. It belongs to a root.
type call struct {
	root   *Root
	held   int // bytes that are kept for it
	cancel func()

	// Of gRPC.
	stream  filter.GRPCStream // nil while the cluster is not there
	early   []earlySend       // what was sent meanwhile
	waiting int               // bytes sent that the service had not taken when it was last asked
	unary   []byte            // what a unary call has got
	got     bool
	over    chan struct{} // closed when nobody wants messages any more
}

// stop ends a call whose answer nobody wants any more.
func (c *call) stop() {
	if c.cancel != nil {
		c.cancel()
	}
	if c.stream != nil {
		c.stream.Cancel()
	}
	if c.over != nil {
		close(c.over)
		c.over = nil
	}
}

// wanted says whether an answer may be told: the instance and the root live,
// and nobody has canceled the call. That the stream which asked is gone is for
// the guest to know, as in Envoy.
func (i *Instance) wanted(token uint32) (*call, bool) {
	c := i.calls[token]
	return c, c != nil && i.trap == nil && !c.root.deleted
}

// token returns the next token of a sort, whose low two bits say which: 0 an
// HTTP call, 1 a gRPC call, 2 a gRPC stream.
func (i *Instance) token(last *uint32, sort uint32) uint32 {
	for {
		*last += 4
		if token := *last | sort; token != 0 && i.calls[token] == nil {
			return token
		}
	}
}

// Where a cluster is granted but not there, the snapshot that has it is still
// being put in place: the call is tried again for a while.
const (
	retryEvery = 50 * time.Millisecond
	retryFor   = 10 * time.Second
)

// granted reports whether a root may call a cluster, and tells its author where
// it may not: the guest learns only that the argument is bad.
func (i *Instance) granted(r *Root, cluster string) bool {
	if r.plugin.Clusters[cluster] {
		return true
	}
	const shown = 100
	i.log(abi.Warn, fmt.Sprintf("call refused: service %q is not among the services of the WasmPlugin", cluster[:min(len(cluster), shown)]))
	return false
}

// proxy returns the ID of the proxy whose stream or connection c is of, "" for a root.
func (c *Context) proxy() string {
	var id filter.Value
	switch {
	case c.stream != nil:
		id, _ = c.stream.Property("xds", "node", "id")
	case c.conn != nil:
		id, _ = c.conn.Property("xds", "node", "id")
	}
	text, _ := id.(string)
	return text
}

func httpCall(i *Instance, p []uint64) abi.Status {
	cluster, ok := i.text(p[0], p[1])
	pairs, ok2 := i.bytes(p[2], p[3])
	body, ok3 := i.bytes(p[4], p[5])
	trailers, ok4 := i.bytes(p[6], p[7])
	if !ok || !ok2 || !ok3 || !ok4 {
		return abi.InvalidMemoryAccess
	}
	i.spend(heavyCost)
	// The token's place is tried before anything is sent.
	if s := i.answer32(p[9], 0); s != abi.Ok {
		return s
	}
	r := i.current.root
	if r == nil || int32(p[8]) < 0 || !i.granted(r, cluster) {
		return abi.BadArgument
	}
	request := filter.CallRequest{Headers: i.headersOf(pairs), Timeout: time.Duration(uint32(p[8])) * time.Millisecond, Proxy: i.current.proxy()}
	for _, name := range []string{":path", ":method", ":authority"} {
		if _, ok := request.Headers.Get(name); !ok {
			return abi.BadArgument
		}
	}
	after := i.headersOf(trailers)
	c := i.newCall(r, len(body)+len(pairs)+len(trailers))
	if c == nil {
		return abi.InternalFailure
	}
	if len(body) > 0 {
		request.Body = append([]byte(nil), body...)
		request.Headers.Set("content-length", strconv.Itoa(len(body)))
	}
	if after.Len() > 0 {
		request.Trailers = after
	}
	token := i.token(&i.lastHTTP, 0)
	i.calls[token] = c
	if err := i.send(c, token, string([]byte(cluster)), request, time.Now().Add(retryFor)); err != nil {
		i.forget(token)
		return abi.BadArgument
	}
	return i.answer32(p[9], token)
}

// send makes the call, or has it made when its cluster is there.
func (i *Instance) send(c *call, token uint32, cluster string, r filter.CallRequest, until time.Time) error {
	cancel, err := i.config.Caller.Call(cluster, r, func(response filter.CallResponse) {
		n := len(response.Body)
		if response.Headers != nil {
			n += response.Headers.Bytes()
		}
		if !i.config.Held.hold(n) { // as if it had been reset
			response, n = filter.CallResponse{}, 0
		}
		i.deliver(n, func() { i.answered(token, &response) })
	})
	if errors.Is(err, filter.ErrNoCluster) {
		if time.Now().After(until) {
			i.answered(token, &filter.CallResponse{})
			return nil
		}
		t := time.AfterFunc(retryEvery, func() {
			i.post(func() {
				if i.calls[token] != c {
					return
				}
				if err := i.send(c, token, cluster, r, until); err != nil {
					i.answered(token, &filter.CallResponse{})
				}
			})
		})
		c.cancel = func() { t.Stop() }
		return nil
	}
	c.cancel = cancel
	return err
}

// answered tells the guest of the answer to an HTTP call; no headers mean that
// there is none.
func (i *Instance) answered(token uint32, response *filter.CallResponse) {
	c, wanted := i.wanted(token)
	i.forget(token)
	f := &i.on[onCallResponse]
	if !wanted || f.fn == nil {
		return
	}
	r := c.root
	f.stack = [8]uint64{uint64(r.id), uint64(token)}
	if response.Headers == nil {
		r.statusCode, r.statusMessage = uint32(abi.BrokenConnection), "reset"
	} else {
		r.response = response
		f.stack[2], f.stack[3] = uint64(response.Headers.Len()), uint64(len(response.Body))
		if response.Trailers != nil {
			f.stack[4] = uint64(response.Trailers.Len())
		}
	}
	i.call(&r.Context, f)
	r.response, r.statusMessage = nil, ""
}
