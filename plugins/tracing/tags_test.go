package tracing

import (
	"testing"

	"github.com/meshc/meshc/runtime/filter"
)

// A call that failed by the server's doing is an error; one that it refused is not.
func TestTagsOfGRPC(t *testing.T) {
	call := headersOf(":method", "POST", ":path", "/s/M", ":authority", "rpc", "content-type", "application/grpc+proto", "grpc-timeout", "1S")
	for code, failed := range map[string]bool{"0": false, "5": false, "14": true, "13": true} {
		for _, r := range []*filter.Record{
			{Request: call, Status: 200, Response: headersOf(":status", "200"), ResponseTrailers: headersOf("grpc-status", code, "grpc-message", "why")},
			{Request: call, Status: 200, Response: headersOf("grpc-status", code, "grpc-message", "why")},
		} {
			got := tags(r, stream{})
			if got["grpc.status_code"] != code || got["grpc.message"] != "why" || (got["error"] == "true") != failed ||
				got["grpc.path"] != "/s/M" || got["grpc.timeout"] != "1S" || got["grpc.content_type"] != "application/grpc+proto" {
				t.Errorf("%s: %v", code, got)
			}
		}
	}
	web := tags(&filter.Record{Request: headersOf("content-type", "application/grpc-web"), Status: 200}, stream{})
	if _, there := web["grpc.path"]; there || web["user_agent"] != "-" {
		t.Errorf("gRPC-Web: %v", web)
	}
}
