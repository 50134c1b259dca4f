package tracing

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/meshc/meshc/runtime/filter"
)

// tags are those that Envoy gives the span of a request
// (HttpTracerUtility::finalizeDownstreamSpan); one without a value is left out.
func tags(r *filter.Record, s filter.Stream) map[string]string {
	h := r.Request
	host := h.Value(":authority")
	t := map[string]string{
		"component": "proxy", "http.method": h.Value(":method"), "http.protocol": r.Protocol,
		"http.url":     h.Value("x-forwarded-proto") + "://" + host + h.Value(":path"),
		"request_size": strconv.FormatUint(r.BytesReceived, 10), "response_size": strconv.FormatUint(r.BytesSent, 10),
		"response_flags": cmp.Or(r.Flags, "-"), "http.status_code": strconv.Itoa(r.Status), "guid:x-request-id": h.Value("x-request-id"),
		"upstream_cluster": r.Cluster, "upstream_cluster.name": r.Cluster,
		"user_agent": cmp.Or(h.Value("user-agent"), "-"), "downstream_cluster": cmp.Or(h.Value("x-envoy-downstream-service-cluster"), "-"),
	}
	if v, ok := s.Property("xds", "node", "id"); ok {
		t["node_id"] = fmt.Sprint(v)
	}
	if v, _ := s.Property("source", "address"); v != nil {
		if address, err := netip.ParseAddrPort(fmt.Sprint(v)); err == nil {
			t["peer.address"] = address.Addr().String()
		}
	}
	if r.Status == 0 || r.Status >= 500 {
		t["error"] = "true"
	}
	if kind := h.Value("content-type"); kind == "application/grpc" || strings.HasPrefix(kind, "application/grpc+") {
		grpcTags(t, r)
	}
	return t
}

// grpcTags adds what there is to say of a call of gRPC.
func grpcTags(t map[string]string, r *filter.Record) {
	t["grpc.path"], t["grpc.authority"] = r.Request.Value(":path"), r.Request.Value(":authority")
	t["grpc.content_type"], t["grpc.timeout"] = r.Request.Value("content-type"), r.Request.Value("grpc-timeout")
	for _, h := range []*filter.Headers{r.ResponseTrailers, r.Response} {
		if h == nil || h.Value("grpc-status") == "" {
			continue
		}
		t["grpc.status_code"], t["grpc.message"] = h.Value("grpc-status"), h.Value("grpc-message")
		switch t["grpc.status_code"] {
		case "2", "4", "8", "12", "13", "14", "15": // not the caller's own doing
			t["error"] = "true"
		}
		return
	}
}
