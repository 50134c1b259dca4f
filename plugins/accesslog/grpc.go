package accesslog

import (
	"strconv"

	"github.com/meshc/meshc/runtime/filter"
)

var grpcNames = []string{
	"OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists", "PermissionDenied", "ResourceExhausted",
	"FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented", "Internal", "Unavailable", "DataLoss", "Unauthenticated",
}

// grpcStatus names the status of a gRPC call.
func grpcStatus(e *entry) (string, bool) {
	n, ok := grpcCode(e)
	if ok && n >= 0 && n < len(grpcNames) {
		return grpcNames[n], true
	}
	return strconv.Itoa(n), ok
}

func grpcStatusNumber(e *entry) (string, bool) {
	n, ok := grpcCode(e)
	return strconv.Itoa(n), ok
}

// grpcCode returns the status of a gRPC call: that of its trailers or headers,
// -1 for one that is no number, and where there is none what HTTP's stands for.
func grpcCode(e *entry) (code int, ok bool) {
	if e.Request == nil || !filter.IsGRPC(e.Request.Value("content-type")) {
		return 0, false
	}
	for _, h := range []*filter.Headers{e.ResponseTrailers, e.Response} {
		if h == nil {
			continue
		}
		if v := h.Value("grpc-status"); v != "" {
			n, err := strconv.ParseUint(v, 10, 31)
			if err != nil {
				return -1, true
			}
			return int(n), true
		}
	}
	if e.Status == 0 {
		return 0, false
	}
	return filter.GRPCStatus(e.Status), true
}
