package proxy

import (
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
)

// httpDate is the value of a date header, made once a second.
type httpDate struct {
	second int64
	text   string
}

var lastDate atomic.Pointer[httpDate]

// date returns the time for a date header (RFC 9110, 5.6.7).
func (p *Proxy) date() string {
	second := p.clock.Load() / int64(time.Second)
	d := lastDate.Load()
	if d == nil || d.second != second {
		const layout = "Mon, 02 Jan 2006 15:04:05 GMT"
		d = &httpDate{second, time.Unix(second, 0).UTC().Format(layout)}
		lastDate.Store(d)
	}
	return d.text
}

// Panicked is part of filter.Host.
func (s *stream) Panicked(v any, stack []byte) {
	s.d.proxy.log.Error("panic while serving a request", "listener", s.l.name, "panic", v, "stack", string(stack))
}

// ClearRoute is part of filter.Host. Once the request has been sent, there is
// nothing to choose any more.
func (s *stream) ClearRoute() {
	if s.endpoint == nil {
		s.vhost, s.route, s.arm = nil, nil, nil
	}
}

// record describes the stream for the access log.
func (s *stream) record(took time.Duration) *filter.Record {
	r := &filter.Record{
		Status: s.status, Details: s.details, Start: s.start, Duration: took,
		BytesReceived: s.received, BytesSent: s.sent,
	}
	if s.complete {
		r.Details = "via_upstream"
	}
	if s.route != nil {
		r.Route = s.route.name
	}
	if s.arm != nil {
		r.Cluster = s.arm.cluster.name
	}
	if s.endpoint != nil {
		r.Upstream = s.endpoint.pool.text
	}
	return r
}

// Property answers by Envoy's attribute names. It is called inside callbacks.
func (s *stream) Property(path []string) (filter.Value, bool) {
	if len(path) < 2 {
		return nil, false
	}
	switch path[0] {
	case "request":
		return s.requestProperty(path[1:])
	case "response":
		return s.responseProperty(path[1:])
	case "xds":
		s.resolve() // a filter that asks for the route has it chosen now
		switch path[1] {
		case "route_name":
			if s.route != nil {
				return s.route.name, true
			}
		case "virtual_host_name":
			if s.vhost != nil {
				return s.vhost.name, true
			}
		}
	}
	return connProperty(path, s.l, s.arm, s.endpoint, s.d.id, s.d.remote, s.d.local)
}

func (s *stream) requestProperty(path []string) (filter.Value, bool) {
	h, _ := s.f.chain.Seen(filter.Request)
	if h == nil {
		return nil, false
	}
	header := func(name string) (filter.Value, bool) {
		v, ok := h.Get(name)
		return v, ok
	}
	switch path[0] {
	case "path":
		return header(":path")
	case "url_path":
		p, _, _ := strings.Cut(h.Value(":path"), "?")
		return p, true
	case "query":
		_, q, _ := strings.Cut(h.Value(":path"), "?")
		return q, true
	case "host":
		return header(":authority")
	case "scheme", "method":
		return header(":" + path[0])
	case "referer":
		return header("referer")
	case "useragent":
		return header("user-agent")
	case "id":
		return header("x-request-id")
	case "headers":
		return headerProperty(h, path)
	case "protocol":
		return "HTTP/1.1", true
	case "time":
		return s.start, true
	case "duration":
		return time.Since(s.start), true
	case "size":
		n, err := strconv.ParseInt(h.Value("content-length"), 10, 64)
		if err != nil {
			n = 0
		}
		return n, true
	case "total_size":
		return int64(h.Bytes()), true
	}
	return nil, false
}

func (s *stream) responseProperty(path []string) (filter.Value, bool) {
	h, trailers := s.f.chain.Seen(filter.Response)
	switch path[0] {
	case "flags":
		return int64(0), true
	case "size", "total_size":
		n := 0
		if h != nil && path[0] == "total_size" {
			n = h.Bytes()
		}
		return int64(n), true
	case "trailers":
		if trailers == nil {
			trailers = &filter.Headers{}
		}
		return headerProperty(trailers, path)
	}
	if h == nil {
		return nil, false
	}
	switch path[0] {
	case "code":
		code, err := strconv.ParseInt(h.Value(":status"), 10, 64)
		return code, err == nil
	case "code_details":
		if d := s.f.chain.Details(); d != "" {
			return d, true
		}
		return "via_upstream", true
	case "grpc_status":
		v, ok := h.Get("grpc-status")
		if !ok && trailers != nil {
			v, ok = trailers.Get("grpc-status")
		}
		code, err := strconv.ParseInt(v, 10, 64)
		return code, ok && err == nil
	case "headers":
		return headerProperty(h, path)
	}
	return nil, false
}

func headerProperty(h *filter.Headers, path []string) (filter.Value, bool) {
	if len(path) == 1 {
		return h, true
	}
	v, ok := h.Get(strings.ToLower(path[1]))
	return v, ok
}

// Property answers for a TCP connection.
func (t *tunnel) Property(path []string) (filter.Value, bool) {
	if len(path) < 2 {
		return nil, false
	}
	return connProperty(path, t.l, t.arm, t.endpoint, t.id, t.remote, t.local)
}

// connProperty answers for what HTTP and TCP have in common.
func connProperty(path []string, l *listener, a *arm, e *endpoint, id uint64, remote, local netip.AddrPort) (filter.Value, bool) {
	switch path[0] + "." + path[1] {
	case "source.address":
		return remote.String(), true
	case "source.port":
		return int64(remote.Port()), true
	case "destination.address":
		return local.String(), true
	case "destination.port":
		return int64(local.Port()), true
	case "connection.id":
		return id, true
	case "connection.mtls":
		return false, true
	case "upstream.address":
		if e != nil {
			return e.pool.text, true
		}
	case "upstream.port":
		if e != nil {
			return int64(e.pool.address.Port()), true
		}
	case "xds.cluster_name":
		if a != nil {
			return a.cluster.name, true
		}
	case "xds.listener_direction":
		// envoy.config.core.v3.TrafficDirection
		switch l.direction {
		case snapshot.Inbound:
			return int64(1), true
		case snapshot.Outbound:
			return int64(2), true
		}
		return int64(0), true
	}
	return nil, false
}
