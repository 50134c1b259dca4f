package proxy

import (
	"strconv"
	"strings"

	"github.com/meshc/meshc/runtime/filter"
)

// Panicked is part of filter.Host.
func (s *stream) Panicked(v any, stack []byte) {
	s.d.proxy.log.Error("panic while serving a request", "listener", s.l.name, "panic", v, "stack", string(stack))
}

// ClearRoute is part of filter.Host. Once the request is on its way, there is
// nothing to choose any more.
func (s *stream) ClearRoute() {
	if !s.fixed {
		s.vhost, s.route, s.arm = nil, nil, nil
	}
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
			code = int64(filter.GRPCStatus(status))
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
