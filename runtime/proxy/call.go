package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/proxy/http1"
	"github.com/meshc/meshc/runtime/proxy/http2"
)

// maxCallBody bounds the body of a response to a filter's call, and a gRPC
// message, in bytes. A longer one is as if the connection had broken.
const maxCallBody = 32 << 20

var errCallBody = errors.New("the response to a filter's call is too large")

// calls are the calls that filters make of their own: they belong to no
// stream, and end by their timeout or with the proxy.
type calls struct {
	ctx     context.Context // ends with the proxy
	cancel  context.CancelFunc
	mu      sync.Mutex
	stopped bool
	running sync.WaitGroup
}

func newCalls() *calls {
	c := &calls{}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// start runs f in a goroutine; it reports false when the proxy has been shut down.
func (c *calls) start(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stopped {
		c.running.Go(f)
	}
	return !c.stopped
}

// context returns the context of a call that may take up to timeout; 0 is for ever.
func (c *calls) context(timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout > 0 {
		return context.WithTimeout(c.ctx, timeout)
	}
	return context.WithCancel(c.ctx)
}

// stop ends all calls, and waits for that.
func (c *calls) stop() {
	c.mu.Lock()
	c.stopped = true
	c.mu.Unlock()
	c.cancel()
	c.running.Wait()
}

// callable returns the cluster that the filters of a proxy know by name: as it
// serves, or as it is going to; nil where there is none. A call that no stream is
// behind does not say for which proxy it is made; where several have the cluster,
// each for its own certificate, it can be made for none of them.
func (p *Proxy) callable(name, proxy string) *cluster {
	for _, g := range []*generation{p.serving.Load(), p.preparing.Load()} {
		if g == nil {
			continue
		}
		i, ok := g.cluster(name)
		if ok {
			return g.clusters[i]
		}
		several := g.clusters[i:]
		if end := slices.IndexFunc(several, func(c *cluster) bool { return c.name != name }); end >= 0 {
			several = several[:end]
		}
		for _, c := range several {
			if c.owner == proxy {
				return c
			}
		}
		switch {
		case len(several) == 0 || proxy != "":
		case len(several) == 1:
			return several[0]
		default:
			p.log.Error("a filter's call outside of a stream is refused: several proxies of this process use the cluster, each with a certificate of its own; run them in processes of their own, or have the filter call for a request", "cluster", name)
			return nil
		}
	}
	return nil
}

// caller is what ClientIP balancing knows the proxy's own calls by.
const caller = 0

// call is one HTTP request of a filter's own.
type call struct {
	proxy   *Proxy
	cluster *cluster
	filter.CallRequest
	end     bool // the request is headers alone
	settled atomic.Bool
}

// Call is part of filter.Caller.
func (p *Proxy) Call(cluster string, r filter.CallRequest, done func(filter.CallResponse)) (cancel func(), err error) {
	c := &call{proxy: p, cluster: p.callable(cluster, r.Proxy), CallRequest: r}
	if c.cluster == nil {
		return nil, filter.ErrNoCluster
	}
	if r.Headers == nil || r.Timeout < 0 {
		return nil, errors.New("a call needs headers, and no timeout below zero")
	}
	for _, name := range []string{":method", ":path", ":authority"} {
		if _, ok := r.Headers.Get(name); !ok {
			return nil, fmt.Errorf("a call needs the header %s", name)
		}
	}
	c.Headers = &filter.Headers{}
	c.Headers.CopyFrom(r.Headers)
	c.Headers.Set("x-envoy-internal", "true")
	if r.Timeout > 0 {
		c.Headers.Set("x-envoy-expected-rq-timeout-ms", strconv.FormatInt(r.Timeout.Milliseconds(), 10))
	}
	c.end = len(r.Body) == 0 && (r.Trailers == nil || r.Trailers.Len() == 0)
	ctx, stop := p.calls.context(r.Timeout)
	run := func() {
		defer stop()
		response := c.run(ctx)
		if !c.settled.Swap(true) {
			done(response)
		}
	}
	if !p.calls.start(run) {
		stop()
		return nil, errStopped
	}
	return func() {
		c.settled.Store(true)
		stop()
	}, nil
}

// run makes the call; ctx bounds it.
func (c *call) run(ctx context.Context) filter.CallResponse {
	start := time.Now()
	e := c.cluster.pick(ctx, caller)
	if e == nil {
		if ctx.Err() != nil {
			return c.failed(ctx, ctx.Err())
		}
		return c.local(503, "no healthy upstream")
	}
	r, err := c.over(ctx, e, start)
	c.report(ctx, e, &r, err)
	switch {
	case err == nil:
		return r
	case r.Headers != nil:
		return filter.CallResponse{} // the response had begun
	}
	return c.failed(ctx, err)
}

// report tells outlier detection how the call went, once there was a connection.
func (c *call) report(ctx context.Context, e *endpoint, r *filter.CallResponse, err error) {
	var connect *connectError
	var unsendable *requestError
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		c.cluster.report(e.standing, late)
	case ctx.Err() != nil, errors.As(err, &connect), errors.As(err, &unsendable), errors.Is(err, errOverflow):
	case err != nil:
		c.cluster.report(e.standing, broke)
	default:
		if status, err := strconv.Atoi(r.Headers.Value(":status")); err == nil {
			c.cluster.report(e.standing, outcome(status))
		}
	}
}

// failed is what comes of a call without a response.
func (c *call) failed(ctx context.Context, err error) filter.CallResponse {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return c.local(504, "upstream request timeout")
	case ctx.Err() != nil:
		return filter.CallResponse{}
	}
	var unsendable *requestError
	if errors.As(err, &unsendable) {
		return filter.CallResponse{}
	}
	why := resetOf(err)
	return c.local(why.status(), why.text(false))
}

// local is a response in the cluster's place.
func (c *call) local(status int, body string) filter.CallResponse {
	r := filter.Reply{Status: status, Body: []byte(body), GRPCStatus: -1}
	h, b := r.Response(c.Headers, nil)
	return filter.CallResponse{Headers: h, Body: b}
}

// requestError is a request that cannot be sent as it is.
type requestError struct{ err error }

func (e *requestError) Error() string { return e.err.Error() }

// over makes the call on a connection of the endpoint's pool. One that died
// before the first byte of a response is replaced as for a stream.
// Headers without an error, or with one, are those of a response that has begun.
func (c *call) over(ctx context.Context, e *endpoint, start time.Time) (r filter.CallResponse, err error) {
	for fresh := false; ; fresh = true {
		var u *upstream
		if !fresh {
			if u, err = e.pool.get(c.cluster, true); err != nil {
				return r, err
			}
		}
		if u == nil {
			if u, err = e.pool.dial(ctx, c.cluster); err != nil {
				return r, &connectError{err}
			}
		}
		release := context.AfterFunc(ctx, u.abort)
		err := c.exchange(u, &r, start)
		reused, silent := u.reused, u.codec.Buffered() == 0
		u.release(release() && err == nil)
		if err == nil || r.Headers != nil || fresh || ctx.Err() != nil {
			return r, err // u is another's
		}
		if !unsent(err) && !(reused && silent && broken(err) && idempotent(c.Headers.Value(":method"))) {
			return r, err
		}
	}
}

// exchange sends the request on u and fills r with the response.
func (c *call) exchange(u *upstream, r *filter.CallResponse, start time.Time) error {
	written, err := c.send(u)
	if err != nil {
		return err
	}
	err = c.receive(u, r, start)
	if err != nil || written == nil {
		if written != nil {
			u.abort() // a request that is still being written has nobody to read it
			<-written
		}
		return err
	}
	select {
	case <-written:
	default: // the answer came before the end of the request
		u.abort()
		<-written
	}
	return nil
}

// inlineBody is the size up to which a body is written before the response is
// waited for: the sockets hold that much.
const inlineBody = 32 << 10

// send writes the request. A large body is written beside the wait for the
// response, whose sender may not take it all before; written says when that is
// over, and is nil where it already is.
func (c *call) send(u *upstream) (written chan struct{}, err error) {
	h := c.Headers
	length := 0
	if len(c.Body) > 0 {
		h = &filter.Headers{}
		h.CopyFrom(c.Headers)
		h.Set("content-length", strconv.Itoa(len(c.Body)))
	} else if v, ok := h.Get("content-length"); ok {
		length, _ = strconv.Atoi(v)
	}
	// A filter may pass on a content-length without the body. Then the server
	// waits for it, as it does behind Envoy.
	owing := c.end && length > 0
	if err := u.codec.WriteHeaders(h, c.end && !owing); err != nil {
		return nil, sending(err)
	}
	switch {
	case owing:
		return nil, sending(u.codec.Flush())
	case c.end:
		return nil, nil // sent with the wait for the response
	}
	if len(c.Body) <= inlineBody {
		err := c.sendBody(u)
		if isNetwork(err) {
			err = nil // the response tells
		}
		return nil, sending(err)
	}
	written = make(chan struct{})
	go func() {
		defer close(written)
		if err := c.sendBody(u); err != nil && !isNetwork(err) {
			u.abort()
		}
	}()
	return written, nil
}

func (c *call) sendBody(u *upstream) error {
	trailers := c.Trailers != nil && c.Trailers.Len() > 0
	if len(c.Body) > 0 {
		if err := u.codec.WriteData(c.Body, !trailers); err != nil {
			return err
		}
	}
	if trailers {
		return u.codec.WriteTrailers(c.Trailers)
	}
	return nil
}

// isNetwork reports whether err is a connection or a stream that failed, rather than
// a message that cannot be sent.
func isNetwork(err error) bool {
	var e net.Error
	var reset *http2.Error
	var system syscall.Errno
	return errors.As(err, &e) || errors.As(err, &reset) || errors.As(err, &system) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || err == http1.ErrStale
}

// sending tells what cannot be sent from a connection that fails.
func sending(err error) error {
	if err == nil || isNetwork(err) {
		return err
	}
	return &requestError{err}
}

// receive reads the response; r.Headers is set once it has begun.
func (c *call) receive(u *upstream, r *filter.CallResponse, start time.Time) error {
	var h, trailers filter.Headers
	end, err := u.codec.ReadHeaders(&h)
	if err != nil {
		return err
	}
	r.Headers = clone(&h)
	r.Headers.Set("x-envoy-upstream-service-time", strconv.FormatInt(time.Since(start).Milliseconds(), 10))
	if end {
		return nil
	}
	b := takeBuffer()
	defer b.release()
	for !end {
		var n int
		if n, end, err = u.codec.ReadData(b.all[:]); err != nil {
			return err
		}
		if len(r.Body)+n > maxCallBody {
			return errCallBody
		}
		r.Body = append(r.Body, b.all[:n]...)
	}
	if err := u.codec.ReadTrailers(&trailers); err != nil {
		return err
	}
	if trailers.Len() > 0 {
		r.Trailers = clone(&trailers)
	}
	return nil
}

// clone copies h out of the buffer of its connection.
func clone(h *filter.Headers) *filter.Headers {
	c := &filter.Headers{}
	for i := range h.Len() {
		f := h.At(i)
		c.Add(strings.Clone(f.Name), strings.Clone(f.Value))
	}
	return c
}
