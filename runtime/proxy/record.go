package proxy

import (
	"time"

	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/proxy/http2"
)

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
