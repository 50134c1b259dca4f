package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meshc/meshc/runtime/filter"
)

// transport carries what the proxy's own codec does not: calls over HTTP/2,
// and gRPC, which a cluster of HTTP/1.1 gets as that.
type transport struct{ http1, http2 *http.Transport }

type dialKey struct{}

// dialing says, in the context of a request, whom a connection is for.
type dialing struct {
	cluster  *cluster
	endpoint *endpoint
}

func newTransport(p *Proxy) transport {
	make := func(set func(*http.Protocols)) *http.Transport {
		t := &http.Transport{
			DisableCompression: true, IdleConnTimeout: p.cfg.UpstreamIdleTimeout,
			MaxResponseHeaderBytes: 60 << 10, Protocols: new(http.Protocols),
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				d := ctx.Value(dialKey{}).(dialing)
				nc, err := d.endpoint.pool.reach(ctx, d.cluster)
				if err != nil {
					return nil, &connectError{err}
				}
				return nc, nil
			},
		}
		set(t.Protocols)
		return t
	}
	return transport{
		http1: make(func(p *http.Protocols) { p.SetHTTP1(true) }),
		http2: make(func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }),
	}
}

func (t *transport) close() {
	t.http1.CloseIdleConnections()
	t.http2.CloseIdleConnections()
}

// roundTrip sends a request to e, and returns once the response has begun. The
// end of ctx ends all of it.
func (t *transport) roundTrip(ctx context.Context, c *cluster, e *endpoint, h *filter.Headers, body io.ReadCloser, trailers *filter.Headers) (*http.Response, error) {
	u, err := url.ParseRequestURI(h.Value(":path"))
	if err != nil {
		return nil, &requestError{err}
	}
	u.Scheme, u.Host = "http", e.pool.origin()
	r := &http.Request{
		Method: h.Value(":method"), URL: u, Host: h.Value(":authority"), Body: body, ContentLength: -1,
		Header: http.Header{"User-Agent": nil}, // which keeps Go from adding its own
	}
	for i := range h.Len() {
		f := h.At(i)
		switch {
		case strings.HasPrefix(f.Name, ":"), f.Name == "host", f.Name == "connection", f.Name == "transfer-encoding", f.Name == "upgrade":
		case f.Name == "content-length":
			if n, err := strconv.ParseInt(f.Value, 10, 64); err == nil && n >= 0 {
				r.ContentLength = n
			}
		default:
			r.Header.Add(f.Name, f.Value)
		}
	}
	if body == nil {
		r.ContentLength = 0
	}
	if trailers != nil && trailers.Len() > 0 {
		r.Trailer = http.Header{}
		for i := range trailers.Len() {
			r.Trailer.Add(trailers.At(i).Name, trailers.At(i).Value)
		}
	}
	with := t.http1
	if c.http2 {
		with = t.http2
	}
	response, err := with.RoundTrip(r.WithContext(context.WithValue(ctx, dialKey{}, dialing{c, e})))
	if err != nil {
		return nil, err
	}
	// Once the response has begun, the transport does not look at ctx while the
	// server takes no more of the request.
	context.AfterFunc(ctx, func() { response.Body.Close() })
	return response, nil
}

// call makes a filter's call over HTTP/2; the results are those of call.http1.
func (t *transport) call(ctx context.Context, c *call, e *endpoint, start time.Time) (r filter.CallResponse, err error) {
	var body io.ReadCloser
	h := c.Headers
	if !c.end {
		body = io.NopCloser(bytes.NewReader(c.Body))
	}
	if len(c.Body) > 0 {
		h = clone(h)
		h.Set("content-length", strconv.Itoa(len(c.Body)))
	}
	response, err := t.roundTrip(ctx, c.cluster, e, h, body, c.Trailers)
	if err != nil {
		return r, err
	}
	defer response.Body.Close()
	r.Headers = headersOf(response)
	r.Headers.Set("x-envoy-upstream-service-time", strconv.FormatInt(time.Since(start).Milliseconds(), 10))
	if r.Body, err = io.ReadAll(io.LimitReader(response.Body, maxCallBody+1)); err != nil {
		return r, err
	}
	if len(r.Body) > maxCallBody {
		return r, errCallBody
	}
	if len(response.Trailer) > 0 {
		r.Trailers = fieldsOf(response.Trailer)
	}
	return r, nil
}

// headersOf returns the headers of a response, :status first.
func headersOf(r *http.Response) *filter.Headers {
	h := &filter.Headers{}
	h.Add(":status", strconv.Itoa(r.StatusCode))
	appendFields(h, r.Header)
	return h
}

func fieldsOf(m http.Header) *filter.Headers {
	h := &filter.Headers{}
	appendFields(h, m)
	return h
}

// appendFields adds the fields of m by name, for their order was not kept.
func appendFields(h *filter.Headers, m http.Header) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		for _, v := range m[name] {
			h.Add(name, v)
		}
	}
}

// isNetwork reports whether err is a connection that failed.
func isNetwork(err error) bool {
	var e net.Error
	return errors.As(err, &e) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF)
}
