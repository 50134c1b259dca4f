package proxy

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/proxy/http2"
)

// retryOn are conditions for another try, Envoy's retry_on.
type retryOn uint16

const (
	on5xx retryOn = 1 << iota
	onGatewayError
	onConnectFailure
	onRefusedStream
	onReset
	onStatuses
	onGRPC // one of the statuses in grpc
)

var retryWords = map[string]retryOn{
	"5xx": on5xx, "gateway-error": onGatewayError, "connect-failure": onConnectFailure,
	"refused-stream": onRefusedStream, "reset": onReset, "retriable-status-codes": onStatuses,
}

// grpcRetryWords are Envoy's retry_grpc_on, as statuses of gRPC.
var grpcRetryWords = map[string]string{
	"cancelled": "1", "deadline-exceeded": "4", "resource-exhausted": "8", "internal": "13", "unavailable": "14",
}

// retries says when a request is sent again, and how often.
type retries struct {
	on        retryOn
	grpc      []string // as in grpc-status
	statuses  []uint32
	most      int           // tries after the first
	perTry    time.Duration // 0 for no bound
	base, max time.Duration // of the back-off
}

// newRetries returns nil where there are none.
func newRetries(spec snapshot.Retry, timeout snapshot.Duration) (*retries, error) {
	if spec.On.Len() == 0 {
		return nil, nil
	}
	r := &retries{
		statuses: spec.Statuses.Slice(), most: int(spec.Attempts), perTry: time.Duration(spec.PerTryTimeout),
		// Envoy's own back-off where none is set.
		base: cmp.Or(time.Duration(spec.BackOffBase), 25*time.Millisecond),
	}
	r.max = max(cmp.Or(time.Duration(spec.BackOffMax), 10*r.base), r.base)
	if timeout > 0 && spec.PerTryTimeout >= timeout {
		r.perTry = 0
	}
	for _, word := range spec.On.All() {
		status, grpc := grpcRetryWords[word]
		switch {
		case grpc:
			r.on |= onGRPC
			r.grpc = append(r.grpc, status)
		case retryWords[word] != 0:
			r.on |= retryWords[word]
		default:
			return nil, fmt.Errorf("retry on %q is not known", word)
		}
	}
	return r, nil
}

// answered reports whether a response with the headers h is tried again.
func (r *retries) answered(h *filter.Headers) bool {
	if _, limited := h.Get("x-envoy-ratelimited"); limited {
		return false // as in Envoy, whose word it is
	}
	status, _ := strconv.Atoi(h.Value(":status"))
	switch {
	case r.on&on5xx != 0 && status >= 500 && status < 600,
		r.on&onGatewayError != 0 && status >= 502 && status <= 504,
		r.on&onStatuses != 0 && slices.Contains(r.statuses, uint32(status)):
		return true
	case r.on&onGRPC == 0:
		return false
	}
	grpc, ok := h.Get("grpc-status")
	return ok && slices.Contains(r.grpc, grpc)
}

// failed reports whether a try that ended with err, without a response, is made
// again.
func (r *retries) failed(err error) bool {
	var local *errLocal
	var connect *connectError
	late, _ := err.(*overdue)
	switch {
	case errors.As(err, &local), errors.Is(err, errOverflow):
		return false
	case r.on&(on5xx|onGatewayError|onReset) != 0:
		return true
	case late == errTryLate, late == errTrySilent:
		return r.on&onStatuses != 0 && slices.Contains(r.statuses, 504)
	case errors.As(err, &connect):
		return r.on&onConnectFailure != 0
	}
	return r.on&onRefusedStream != 0 && refused(err)
}

// backOff returns how long to wait before retry n, which counts from 1: at
// random, up to a bound that doubles from one to the next.
func (r *retries) backOff(n int) time.Duration {
	bound := r.base
	for range n - 1 {
		if bound >= r.max/2 {
			bound = r.max
			break
		}
		bound *= 2
	}
	return rand.N(bound)
}

// once is for a route without retries: a request whose method is idempotent
// (RFC 9110, 9.2.2) is sent again where its connection ended without an answer,
// or there was none. The xDS server tells Envoy the same (retryOnce).
var once = &retries{on: onReset, most: 1, base: 25 * time.Millisecond, max: 250 * time.Millisecond}

// retries returns those of the request that begins with o, or nil. Before
// anything of it was sent, all of it is still here.
func (s *stream) retries(o *filter.Output) *retries {
	switch {
	case s.route.retry != nil:
		return s.route.retry
	case idempotent(o.Headers.Value(":method")) && (!s.opened || s.kept(o)):
		return once
	}
	return nil
}

// again decides whether another try follows one that ended with err or, where
// that is nil, with the response in s.response. It counts the retry.
func (s *stream) again(o *filter.Output, err error) bool {
	r := s.retries(o)
	if r == nil || s.arm == nil || s.aborted() != nil {
		return false
	}
	c, m := s.arm.cluster, s.arm.meter
	want := err == nil && r.answered(&s.response) || err != nil && r.failed(err)
	if s.retrying {
		c.retryEnd()
		if s.retrying = false; !want && err == nil {
			m.retrySuccesses.Add(1)
		}
	}
	switch {
	case !want || s.spool != nil && !s.spool.whole():
		return false
	case s.tries > r.most:
		s.flag("URX")
		return false
	case !c.retryBegin():
		m.retryOverflows.Add(1)
		s.flag("UO")
		return false
	}
	s.retrying = true
	m.retries.Add(1)
	return true
}

// pause waits before the next try of r, and returns why there is none.
func (s *stream) pause(r *retries) error {
	timer := time.NewTimer(r.backOff(s.tries))
	defer timer.Stop()
	s.mu.Lock()
	if s.interrupted == nil {
		s.interrupted = make(chan struct{}, 1)
	}
	select { // of a stream before
	case <-s.interrupted:
	default:
	}
	cause, interrupted := s.cause, s.interrupted
	s.mu.Unlock()
	if cause != nil {
		return cause
	}
	select {
	case <-timer.C:
	case <-interrupted:
		return s.aborted()
	}
	if s.spool != nil && !s.spool.whole() {
		return &errLocal{filter.Reply{
			Status: 507, Body: []byte("exceeded request buffer limit while retrying upstream"), GRPCStatus: -1,
			Details: "request_payload_exceeded_retry_buffer_limit",
		}, ""}
	}
	return nil
}

// refused reports whether err is a stream that the server did not take on.
func refused(err error) bool {
	var e *http2.Error
	return errors.As(err, &e) && e.Remote && e.Code == http2.CodeRefusedStream
}
