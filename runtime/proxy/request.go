package proxy

import (
	"strings"
	"time"

	"github.com/meshc/meshc/runtime/filter"
)

// forward chooses where the request goes, sends o, which begins it, and
// delivers the response.
func (s *stream) forward(o filter.Output) {
	err := s.send(&o)
	if s.f != nil {
		s.f.opened(err == nil, o)
	} else if err == nil && !o.End {
		s.startPump(s.up)
	}
	var end bool
	if err == nil {
		end, err = s.receive(o)
	}
	if err != nil {
		s.reply(s.failure(err))
		return
	}
	s.route.responseHeaders.apply(&s.response)
	s.deliver(end)
}

// errLocal is an answer in place of an error.
type errLocal struct{ filter.Reply }

func (*errLocal) Error() string { return "local reply" }

// send chooses an endpoint, connects and sends what there is of the request.
// To that it adds the small body that the filters are shown by then.
func (s *stream) send(o *filter.Output) error {
	s.sync(s.resolve)
	if s.route == nil {
		return &errLocal{filter.Reply{Status: 404, GRPCStatus: -1, Details: "route_not_found"}}
	}
	if a := s.route.answer; a.Status != 0 {
		return &errLocal{directResponse(a)}
	}
	s.limit(s.route)
	if o.End {
		s.requestOver()
	}
	var e *endpoint
	if s.arm != nil {
		ctx, done := s.cancellable(s.arm.cluster.dns != nil || s.arm.cluster.mayWait())
		e = s.arm.cluster.pick(ctx, s.d.client)
		done()
	}
	if e == nil {
		return &errLocal{filter.Reply{
			Status: 503, Body: []byte("no healthy upstream"), GRPCStatus: -1, Details: "no_healthy_upstream",
		}}
	}
	if s.f == nil {
		s.endpoint = e
	} else {
		s.f.chain.Sync(func() { s.endpoint, s.sentAt = e, time.Now() })
	}
	if s.route.hostFromEndpoint && e.hostname != "" {
		s.sync(s.setHost)
	}
	s.sync(s.rewrite)
	if _, ok := s.request.Get(":method"); !ok { // a filter has taken it out
		return &errLocal{filter.Reply{
			Status: 503, Body: []byte("missing required header: :method"), GRPCStatus: -1,
			Details: "filter_removed_required_request_headers",
		}}
	}
	return s.connect(o, false)
}

// rewrite makes the request what the route says its target gets, in Envoy's
// order: the host is made of the path as it was.
func (s *stream) rewrite() {
	h, r := &s.request, s.route
	r.requestHeaders.apply(h)
	if host, ok := r.host.apply(h.Value(":path")); ok {
		h.Set(":authority", host)
	}
	if r.rewrite.regex != nil {
		h.Set(":path", r.rewrite.apply(h.Value(":path")))
	}
}

func (s *stream) setHost() { s.request.Set(":authority", s.endpoint.hostname) }

// resolve chooses route and target, unless a filter has already had that done
// by asking for them.
func (s *stream) resolve() {
	if s.route != nil {
		return
	}
	if _, ok := s.request.Get("x-forwarded-proto"); !ok {
		return // a filter has taken it out; Envoy has no route then
	}
	s.vhost = s.l.host(s.request.Value(":authority"))
	if s.vhost == nil || s.request.Value(":method") == "CONNECT" {
		return
	}
	if s.route = s.vhost.match(&s.request); s.route != nil {
		s.arm = s.route.split.pick()
	}
}

// connect sends o to the endpoint, on a connection of the pool or, with
// fresh, on a new one.
func (s *stream) connect(o *filter.Output, fresh bool) error {
	var u *upstream
	if !fresh {
		// A request that leaves with the wait for its response is not sent to a
		// server that has closed or said something; others have to ask before.
		var err error
		u, err = s.endpoint.pool.get(s.arm.cluster, !o.End || len(o.Data) > 0 || o.Trailers != nil)
		if err != nil {
			return err
		}
	}
	if u == nil {
		ctx, done := s.cancellable(true)
		var err error
		u, err = s.endpoint.pool.dial(ctx, s.arm.cluster)
		done()
		if err != nil {
			return &connectError{err}
		}
	}
	if err := s.attach(u); err != nil {
		return err
	}
	if s.f != nil && !s.fed {
		s.feedRequest()
		if s.f.chain.Replied() {
			return errReplied
		}
		if s.body != nil {
			if more, ok := s.f.chain.Take(filter.Request); ok {
				o.Data, o.Trailers, o.End = more.Data, more.Trailers, more.End
			}
		}
	}
	u.interim = s.d.interim
	if p := s.d.codec.Upgrade(); strings.EqualFold(p, "websocket") {
		u.codec.SetUpgrade(p)
	}
	// Without more to come, the headers leave with the wait for the response;
	// with more at hand, together with it.
	hold := o.End || s.f == nil && s.d.codec.Buffered() > 0
	err := write(u.codec, *o, hold)
	if err != nil && !fresh && unsent(err) && s.aborted() == nil {
		s.detach()
		u.release(false)
		return s.connect(o, true)
	}
	return err
}

// replayable reports whether the request may be sent twice: all of it is here,
// and its method is idempotent (RFC 9110, 9.2.2).
func (s *stream) replayable(o filter.Output) bool {
	return s.whole(o) && idempotent(o.Headers.Value(":method"))
}

// whole reports whether all of the request is here.
func (s *stream) whole(o filter.Output) bool {
	return o.End && (len(o.Data) == 0 || s.body != nil)
}

func idempotent(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

// receive waits for the response headers. A connection of the pool that died
// before the first byte of a response is replaced, once: for any request that
// was not sent on it, and for one that may be sent twice.
func (s *stream) receive(o filter.Output) (end bool, err error) {
	u := s.up
	end, err = u.codec.ReadHeaders(&s.response)
	if err == nil || s.aborted() != nil {
		return end, err
	}
	again := u.reused && u.codec.Buffered() == 0 && broken(err) && s.replayable(o)
	if !again && !(unsent(err) && s.whole(o)) {
		return end, err
	}
	s.detach()
	u.release(false)
	if err := s.connect(&o, true); err != nil {
		return false, err
	}
	return s.up.codec.ReadHeaders(&s.response)
}
