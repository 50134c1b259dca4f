package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/meshc/meshc/runtime/filter"
)

// gRPC status codes that the proxy itself gives.
const (
	grpcUnknown           = 2
	grpcResourceExhausted = 8
	grpcUnimplemented     = 12
	grpcInternal          = 13
	grpcUnavailable       = 14
)

// farewell is how long a stream whose server has said all takes to end its own side in
// order, which is at once unless the server takes nothing.
const farewell = 100 * time.Millisecond

// grpcStream is a gRPC stream of a filter's own (gRPC over HTTP/2, PROTOCOL-HTTP2).
type grpcStream struct {
	proxy   *Proxy
	cluster *cluster
	request filter.GRPCRequest
	events  filter.GRPCEvents
	stop    context.CancelFunc
	deaf    atomic.Bool // no event is wanted any more
	out     outbox
}

// OpenGRPC is part of filter.Caller.
func (p *Proxy) OpenGRPC(cluster string, r filter.GRPCRequest, events filter.GRPCEvents) (filter.GRPCStream, error) {
	s := &grpcStream{proxy: p, cluster: p.callable(cluster, r.Proxy), request: r, events: events}
	if s.cluster == nil {
		return nil, filter.ErrNoCluster
	}
	if strings.Contains(r.Service+r.Method, "/") || r.Timeout < 0 {
		return nil, errors.New("a gRPC call needs a service and a method without slashes, and no timeout below zero")
	}
	s.out.more.L = &s.out.mu
	ctx, stop := p.calls.context(r.Timeout)
	s.stop = stop
	// The transport looks at ctx only between two reads of the request's body.
	context.AfterFunc(ctx, func() { s.out.Close() })
	run := func() {
		defer stop()
		status, message := s.run(ctx)
		if !s.deaf.Swap(true) {
			events.Closed(status, message)
		}
	}
	if !p.calls.start(run) {
		stop()
		return nil, errStopped
	}
	return s, nil
}

// Send is part of filter.GRPCStream.
func (s *grpcStream) Send(message []byte, end bool) {
	if !s.out.put(message, end) {
		s.stop() // run tells why
	}
}

// Close is part of filter.GRPCStream.
func (s *grpcStream) Close() { s.out.finish() }

// Waiting is part of filter.GRPCStream.
func (s *grpcStream) Waiting() int { return s.out.waiting() }

// Cancel is part of filter.GRPCStream.
func (s *grpcStream) Cancel() {
	s.deaf.Store(true)
	s.stop()
}

// run carries the stream to its end and returns its status.
func (s *grpcStream) run(ctx context.Context) (status int, message string) {
	e := s.cluster.pick(ctx, caller)
	if e == nil {
		if ctx.Err() != nil {
			return s.broken(ctx, ctx.Err(), grpcUnavailable)
		}
		return s.local("no healthy upstream", "no_healthy_upstream")
	}
	h := &filter.Headers{}
	h.Add(":method", "POST")
	h.Add(":path", "/"+s.request.Service+"/"+s.request.Method)
	h.Add(":authority", s.cluster.name)
	h.Add("te", "trailers")
	if s.request.Timeout > 0 {
		h.Add("grpc-timeout", strconv.FormatInt(max(1, s.request.Timeout.Milliseconds()), 10)+"m")
	}
	h.Add("content-type", "application/grpc")
	if m := s.request.Metadata; m != nil {
		for i := range m.Len() {
			if f := m.At(i); !strings.HasPrefix(f.Name, ":") {
				h.Add(f.Name, f.Value)
			}
		}
	}
	u, err := s.begin(ctx, e, h)
	if err != nil {
		return s.broken(ctx, err, grpcUnavailable)
	}
	release := context.AfterFunc(ctx, u.abort)
	sent := make(chan bool, 1)
	go func() { sent <- s.upload(u) }()
	status, message, whole := s.receive(ctx, u)
	if !whole {
		u.abort()
	}
	s.out.Close()
	uploaded := false
	select {
	case uploaded = <-sent:
	case <-time.After(farewell): // the server takes no more, for its answer is over
		u.abort()
		<-sent
	}
	u.release(release() && whole && uploaded)
	return status, message
}

// begin sends the headers on a connection of e's pool.
func (s *grpcStream) begin(ctx context.Context, e *endpoint, h *filter.Headers) (*upstream, error) {
	for fresh := false; ; fresh = true {
		var u *upstream
		var err error
		if !fresh {
			if u, err = e.pool.get(s.cluster, true); err != nil {
				return nil, err
			}
		}
		if u == nil {
			if u, err = e.pool.dial(ctx, s.cluster); err != nil {
				return nil, &connectError{err}
			}
		}
		if err = u.codec.WriteHeaders(h, false); err == nil {
			err = u.codec.Flush()
		}
		if err == nil {
			return u, nil
		}
		u.release(false)
		if fresh || !unsent(err) {
			return nil, err
		}
	}
}

// upload sends what is put in, and reports whether that came to its end.
func (s *grpcStream) upload(u *upstream) bool {
	b := takeBuffer()
	defer b.release()
	for {
		n, err := s.out.Read(b.all[:])
		switch {
		case err == io.EOF:
			return u.codec.WriteData(nil, true) == nil
		case err != nil || u.codec.WriteData(b.all[:n], false) != nil:
			return false // the response tells why, if that is not over
		}
	}
}

// receive reads the response and returns its status. whole says that the
// response came to its end.
func (s *grpcStream) receive(ctx context.Context, u *upstream) (status int, message string, whole bool) {
	var response filter.Headers
	end, err := u.codec.ReadHeaders(&response)
	if err != nil {
		status, message = s.broken(ctx, err, grpcUnavailable)
		return status, message, false
	}
	headers := clone(&response)
	_, statusOnly := headers.Get("grpc-status")
	if statusOnly {
		s.event(func() { s.events.InitialMetadata(&filter.Headers{}) })
	} else {
		s.event(func() { s.events.InitialMetadata(headers) })
	}
	switch {
	case statusOnly:
		status, message = s.trailers(headers)
		return status, message, end
	case headers.Value(":status") != "200":
		code, _ := strconv.Atoi(headers.Value(":status"))
		return filter.GRPCStatus(code), fmt.Sprintf("HTTP status %d", code), end
	}
	body := &bodyReader{u.codec, end}
	for {
		m, err := readMessage(body)
		var bad *messageError
		switch {
		case err == io.EOF:
			var trailers filter.Headers
			if err := u.codec.ReadTrailers(&trailers); err != nil {
				status, message = s.broken(ctx, err, grpcInternal)
				return status, message, false
			}
			status, message = s.trailers(clone(&trailers))
			return status, message, true
		case errors.As(err, &bad):
			return bad.status, bad.text, false
		case err != nil:
			status, message = s.broken(ctx, err, grpcInternal)
			return status, message, false
		}
		s.event(func() { s.events.Message(m) })
	}
}

func (s *grpcStream) event(f func()) {
	if !s.deaf.Load() {
		f()
	}
}

// trailers returns what t says of the end.
func (s *grpcStream) trailers(t *filter.Headers) (status int, message string) {
	s.event(func() { s.events.TrailingMetadata(t) })
	status, err := strconv.Atoi(t.Value("grpc-status"))
	if err != nil || status < 0 {
		status = grpcUnknown
	}
	return status, detailed(t.Value("grpc-message"), "via_upstream")
}

// detailed is a status message as Envoy hands it to filters: grpc-message as it
// came, and where the status is from.
func detailed(message, details string) string {
	if message == "" {
		return details
	}
	return message + "{" + details + "}"
}

// local ends a stream without a response. As in Envoy, it is as if the server
// had answered with trailers alone.
func (s *grpcStream) local(message, details string) (int, string) {
	t := &filter.Headers{}
	t.Add(":status", "200")
	t.Add("content-type", "application/grpc")
	t.Add("grpc-status", strconv.Itoa(grpcUnavailable))
	t.Add("grpc-message", message)
	s.event(func() { s.events.InitialMetadata(&filter.Headers{}) })
	s.event(func() { s.events.TrailingMetadata(t) })
	return grpcUnavailable, detailed(message, details)
}

// broken returns the status for a stream that ended by err; otherwise is the
// one for a server that broke it off.
func (s *grpcStream) broken(ctx context.Context, err error, otherwise int) (status int, message string) {
	switch {
	case s.out.overflown():
		return grpcResourceExhausted, "the server does not take what is sent to it"
	case errors.Is(ctx.Err(), context.DeadlineExceeded) && otherwise == grpcInternal:
		return grpcUnavailable, detailed("upstream request timeout", "response_timeout")
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		// Envoy's router answers 504, and that is no DEADLINE_EXCEEDED.
		return s.local("upstream request timeout", "response_timeout")
	case ctx.Err() != nil:
		return grpcUnavailable, "the proxy shuts down"
	case otherwise == grpcInternal:
		return grpcInternal, ""
	}
	why := resetOf(err)
	return s.local(why.text(false), why.details())
}
