package proxy

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/proxy/http2"
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
		BytesReceived: s.received.Load(), BytesSent: s.sent.Load(), Service: s.l.service,
	}
	if v, ok := s.requestProperty([]string{"protocol"}); ok {
		r.Protocol, _ = v.(string)
	}
	switch cause := s.aborted().(type) {
	case *overdue:
		r.Details = cause.details
		s.flag(cause.flag)
	default:
		if s.complete {
			r.Details = "via_upstream"
		} else if e, ok := cause.(*http2.Error); ok && e.Remote {
			r.Details = "http2.remote_reset"
			s.flag("DR")
		} else if cause != nil && cause != errReplied && cause != errPanicked {
			r.Details = "downstream_remote_disconnect"
			s.flag("DC")
		}
	}
	r.Flags = s.flags
	if s.route != nil {
		r.Route = s.route.name
		if s.route.service != "" {
			r.Service = s.route.service
		}
	}
	if s.arm != nil {
		r.Cluster = s.arm.cluster.name
	}
	if s.endpoint != nil {
		r.Upstream = s.endpoint.pool.text
	}
	return r
}

// Property answers by Envoy's attribute names, as Envoy 1.40 has them: what it
// does not know, such as node, is unknown here too. It is called inside
// callbacks.
func (s *stream) Property(path []string) (filter.Value, bool) {
	if len(path) >= 2 {
		switch path[0] {
		case "request":
			return s.requestProperty(path[1:])
		case "response":
			return s.responseProperty(path[1:])
		case "upstream":
			s.resolve()
		case "xds":
			s.resolve() // a filter that asks for the route has it chosen now
			switch path[1] {
			case "route_name":
				if s.route != nil && len(path) == 2 {
					return s.route.name, true
				}
			case "route_metadata":
				return metadata(path, s.route != nil)
			case "virtual_host_name":
				if s.vhost != nil && len(path) == 2 {
					return s.vhost.name, true
				}
			case "virtual_host_metadata":
				return metadata(path, s.vhost != nil)
			}
		}
	}
	return s.peers().property(path)
}

// peers returns what the stream has in common with a tunnel.
func (s *stream) peers() peers {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := peers{l: s.l, arm: s.arm, endpoint: s.endpoint, id: s.d.id, remote: s.d.remote, local: s.d.local, tries: s.tries, sni: s.d.sni}
	c.down, c.unconnected = s.d.nc, s.unconnected
	if s.up != nil {
		c.up = s.up.nc
	}
	if !s.connectedAt.IsZero() {
		c.ready = s.connectedAt.Sub(s.sentAt)
	}
	return c
}

// sizes answers for the attributes about the size of a message: length is of
// its body so far, headers and trailers are those within reach.
func sizes(name string, length uint64, headers, trailers *filter.Headers) (filter.Value, bool) {
	bytes := func(h *filter.Headers) int64 {
		if h == nil {
			return 0
		}
		return int64(h.Bytes())
	}
	switch name {
	case "size":
		return int64(length), true
	case "total_size":
		return int64(length) + bytes(headers) + bytes(trailers), true
	case "headers_bytes":
		return bytes(headers), true
	}
	return nil, false
}

func (s *stream) requestProperty(path []string) (filter.Value, bool) {
	if len(path) > 1 && path[0] != "headers" {
		return nil, false
	}
	h, _ := s.f.chain.Seen(filter.Request)
	switch path[0] {
	case "size", "total_size", "headers_bytes":
		shown, _ := s.f.chain.Shown(filter.Request)
		if shown != nil && path[0] == "size" {
			if length, ok := shown.Get("content-length"); ok {
				n, err := strconv.ParseInt(length, 10, 64)
				return n, err == nil
			}
		}
		return sizes(path[0], s.received.Load(), shown, nil)
	case "protocol":
		return s.d.codec.Protocol(), true
	case "time":
		return s.start, true
	case "duration":
		return s.took, s.took > 0
	}
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
		p, _ := cutQuery(h.Value(":path"))
		return p, true
	case "query":
		_, q, _ := strings.Cut(h.Value(":path"), "?")
		q, _, _ = strings.Cut(q, "#")
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
	}
	return nil, false
}

func (s *stream) responseProperty(path []string) (filter.Value, bool) {
	if len(path) > 1 && path[0] != "headers" && path[0] != "trailers" {
		return nil, false
	}
	h, trailers := s.f.chain.Seen(filter.Response)
	switch path[0] {
	case "flags":
		return int64(s.flagged.Load()), true
	case "code_details":
		if d := s.f.chain.Details(); d != "" {
			return d, true
		}
		if s.took > 0 { // it is over, and how is known
			return s.details, s.details != ""
		}
		return "via_upstream", h != nil
	case "size", "total_size", "headers_bytes":
		headers, trailers := s.f.chain.Shown(filter.Response)
		return sizes(path[0], s.f.chain.Passed(filter.Response), headers, trailers)
	case "trailers":
		if trailers == nil {
			trailers = &filter.Headers{}
		}
		return headerProperty(trailers, path)
	case "backend_latency":
		if s.sentAt.IsZero() || s.answeredAt.IsZero() {
			return nil, false
		}
		return s.answeredAt.Sub(s.sentAt), true
	}
	if h == nil {
		return nil, false
	}
	switch path[0] {
	case "code":
		code, err := strconv.ParseInt(h.Value(":status"), 10, 64)
		return code, err == nil
	case "grpc_status":
		v, ok := h.Get("grpc-status")
		if !ok && trailers != nil {
			v, ok = trailers.Get("grpc-status")
		}
		code, err := strconv.ParseInt(v, 10, 64)
		if !ok || err != nil {
			status, _ := strconv.Atoi(h.Value(":status"))
			code = int64(grpcOf(status))
		}
		return code, true
	case "headers":
		return headerProperty(h, path)
	}
	return nil, false
}

// headerProperty returns h, or, where path names a header, its values,
// separated by commas.
func headerProperty(h *filter.Headers, path []string) (filter.Value, bool) {
	if len(path) != 2 {
		return h, len(path) == 1
	}
	name := strings.ToLower(path[1])
	v, ok := h.Get(name)
	if !ok {
		return nil, false
	}
	n := 0
	for i := range h.Len() {
		if f := h.At(i); f.Name == name {
			if n++; n > 1 {
				v += "," + f.Value
			}
		}
	}
	return v, true
}

// metadata answers for an envoy.config.core.v3.Metadata, which is always empty
// here, where there is something that it could be about.
func metadata(path []string, there bool) (filter.Value, bool) {
	switch {
	case !there:
	case len(path) == 2:
		return []byte{}, true
	case len(path) == 3 && path[2] == "filter_metadata":
		return &filter.Headers{}, true
	}
	return nil, false
}

// Property answers for a TCP connection.
func (t *tunnel) Property(path []string) (filter.Value, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(path) == 2 {
		switch path[0] + "." + path[1] {
		case "request.time":
			return t.start, true
		case "request.headers", "response.headers", "response.trailers":
			return &filter.Headers{}, true
		case "response.flags":
			return int64(0), true
		case "upstream.transport_failure_reason":
			return "", true
		case "request.size", "request.total_size":
			return sizes(path[1], t.watch.flows[filter.Request].moved.Load(), nil, nil)
		case "response.size", "response.total_size":
			return sizes(path[1], t.f.chain.Passed(filter.Response), nil, nil)
		}
	}
	c := peers{l: t.l, endpoint: t.endpoint, id: t.id, remote: t.remote, local: t.local, down: t.nc, up: t.up, ready: t.ready}
	if t.endpoint != nil {
		c.arm = t.arm
	}
	return c.property(path)
}

// peers are what is known of a stream's or tunnel's connections.
type peers struct {
	l             *listener
	arm           *arm
	endpoint      *endpoint
	id            uint64
	remote, local netip.AddrPort
	down          net.Conn
	up            net.Conn      // nil without one
	ready         time.Duration // from the choice of endpoint to its connection, or to knowing that there is none
	unconnected   string        // why there is none
	tries         int           // of a stream
	sni           string        // likewise
}

func (c peers) property(path []string) (filter.Value, bool) {
	if len(path) == 0 {
		return nil, false
	}
	if len(path) == 1 {
		switch path[0] {
		case "connection_id":
			return c.id, true
		case "metadata": // no filter here sets any
			return []byte{}, true
		case "upstream_filter_state":
			return filter.Object{}, c.up != nil
		}
		return nil, false
	}
	name := path[0] + "." + path[1]
	if len(path) > 2 && name != "xds.node" && !strings.HasSuffix(name, "metadata") {
		return nil, false
	}
	switch name {
	case "metadata.filter_metadata":
		return &filter.Headers{}, len(path) == 2
	case "source.address":
		return c.remote.String(), true
	case "source.port":
		return int64(c.remote.Port()), true
	case "destination.address":
		return c.local.String(), true
	case "destination.port":
		return int64(c.local.Port()), true
	case "connection.id":
		return c.id, true
	case "connection.mtls":
		_, ok := tlsProperty(c.down, "sha256_peer_certificate_digest")
		return ok, true
	case "connection.requested_server_name":
		if c.l.chains == nil {
			return "", true // Envoy knows it from its inspector, which only those listeners have
		}
		return c.sni, true
	case "upstream.address":
		if c.endpoint != nil {
			return c.endpoint.pool.text, true
		}
	case "upstream.port":
		if c.endpoint != nil {
			return int64(c.endpoint.pool.address.Port()), true
		}
	case "upstream.local_address":
		if c.up != nil {
			return addressOf(c.up.LocalAddr()).String(), true
		}
	case "upstream.transport_failure_reason":
		return c.unconnected, c.endpoint != nil
	case "upstream.locality":
		return "", c.endpoint != nil
	case "upstream.num_endpoints":
		if c.arm != nil {
			return uint64(len(c.arm.cluster.known())), true
		}
	case "upstream.request_attempt_count":
		if c.tries == 0 && c.endpoint != nil {
			return uint64(1), true // of a tunnel
		}
		return uint64(c.tries), true // one that found no endpoint counts
	case "upstream.cx_pool_ready_duration":
		return c.ready, c.up != nil || c.ready > 0
	case "xds.node":
		if len(path) == 3 && path[2] == "id" {
			return c.l.proxy, true
		}
	case "xds.cluster_name":
		if c.arm != nil {
			return c.arm.cluster.name, true
		}
	case "xds.cluster_metadata":
		return metadata(path, c.arm != nil)
	case "xds.upstream_host_metadata", "xds.upstream_host_locality_metadata":
		return filter.Object{}, c.endpoint != nil && len(path) == 2
	case "xds.listener_metadata":
		return metadata(path, true)
	case "xds.filter_chain_name":
		return "", true
	case "xds.listener_direction":
		// envoy.config.core.v3.TrafficDirection
		switch c.l.direction {
		case snapshot.Inbound:
			return int64(1), true
		case snapshot.Outbound:
			return int64(2), true
		}
		return int64(0), true
	}
	switch {
	case len(path) > 2:
	case path[0] == "connection":
		return tlsProperty(c.down, path[1])
	case path[0] == "upstream":
		return tlsProperty(c.up, path[1])
	}
	return nil, false
}
