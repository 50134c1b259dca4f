package proxy

import (
	"errors"
	"strconv"

	"github.com/meshc/meshc/runtime/filter"
)

// judge tells outlier detection how a try went that ended with err or, where
// that is nil, has the headers of its response, once there was a connection.
func (s *stream) judge(err error, end bool) {
	if err != nil {
		s.judgeFailure(err)
		return
	}
	if s.unjudged = !end && s.isGRPC(); !s.unjudged {
		s.judgeAnswer(&s.response)
	}
}

func (s *stream) judgeFailure(err error) {
	var connect *connectError
	var local *errLocal
	cause := s.aborted()
	tryLate, _ := err.(*overdue)
	switch {
	case s.endpoint == nil, errors.As(err, &local), errors.As(err, &connect), errors.Is(err, errOverflow):
	case tryLate != nil, cause == errLate:
		s.arm.cluster.report(s.endpoint.standing, late)
	case cause == nil:
		s.arm.cluster.report(s.endpoint.standing, broke)
	}
}

// judgeAnswer tells it of the response, of whose headers or trailers h are the last.
func (s *stream) judgeAnswer(h *filter.Headers) {
	s.unjudged = false
	status, _ := strconv.Atoi(s.response.Value(":status"))
	if grpc, ok := h.Get("grpc-status"); ok && s.isGRPC() {
		status = httpOf(grpc)
	}
	s.arm.cluster.report(s.endpoint.standing, outcome(status))
}

func (s *stream) isGRPC() bool {
	return filter.IsGRPC(s.request.Value("content-type"))
}

// judgeBroken tells it of a response that broke off.
func (s *stream) judgeBroken() {
	if s.aborted() == nil {
		s.arm.cluster.report(s.endpoint.standing, broke)
	}
}

// httpOf maps a status of gRPC to that of HTTP as Envoy does.
func httpOf(grpc string) int {
	switch grpc {
	case "0":
		return 200
	case "1":
		return 499
	case "3", "9", "11":
		return 400
	case "4":
		return 504
	case "5":
		return 404
	case "6", "10":
		return 409
	case "7":
		return 403
	case "8":
		return 429
	case "12":
		return 501
	case "14":
		return 503
	case "16":
		return 401
	}
	return 500
}
