package proxy

import (
	"errors"
	"strings"
	"time"

	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/proxy/http2"
)

// forward chooses where the request goes, sends o, which begins it, and
// delivers the response.
func (s *stream) forward(o filter.Output) {
	end, err := s.exchange(&o)
	if err != nil {
		s.reply(s.failure(err))
		return
	}
	if s.cookie != "" {
		s.response.Add("set-cookie", s.cookie)
	}
	s.route.responseHeaders.apply(&s.response)
	s.deliver(end)
}

// errLocal is an answer in place of an error.
type errLocal struct {
	filter.Reply
	flag string // Envoy's response flag, or ""
}

func (*errLocal) Error() string { return "local reply" }

// exchange sends the request, as often as its route says, and returns with the
// headers of a response in s.response; end says that it has nothing else.
func (s *stream) exchange(o *filter.Output) (end bool, err error) {
	if err = s.settle(o); err == nil {
		for {
			end, err = s.try(o)
			s.judge(err, end)
			if !s.again(o, err) {
				break
			}
			s.endTry(err == nil && end)
			if err = s.pause(s.retries(o)); err != nil {
				break
			}
		}
	}
	if s.f != nil && !s.opened {
		s.f.opened(false, *o)
	}
	if s.spool != nil {
		s.spool.settled()
	}
	return end, err
}

// settle chooses the route and makes the request what that says.
func (s *stream) settle(o *filter.Output) error {
	s.sync(s.fix)
	if s.route == nil {
		return &errLocal{filter.Reply{Status: 404, GRPCStatus: -1, Details: "route_not_found"}, "NR"}
	}
	if s.route.answer.Status != 0 {
		return &errLocal{s.l.answer(s.d.proxy, s.route, &s.request), ""}
	}
	s.limit(s.route)
	if o.End {
		s.requestOver()
	}
	s.sync(s.rewrite)
	return nil
}

// try sends the request to an endpoint and waits for the response headers. A
// connection of the pool that died before the request was sent on it is
// replaced, once; one that died later counts as a try.
func (s *stream) try(o *filter.Output) (end bool, err error) {
	if s.f == nil {
		s.tries++
	} else {
		s.f.chain.Sync(func() { s.tries++ }) // which filters may ask for
	}
	if err := s.choose(); err != nil {
		return false, err
	}
	for fresh := false; ; fresh = true {
		if err := s.connect(o, fresh); err != nil {
			return false, s.inTime(err)
		}
		s.open(o)
		u := s.up
		end, err = u.codec.ReadHeaders(&s.response)
		if err = s.inTime(err); err == nil || fresh || s.aborted() != nil {
			return end, err
		}
		if !unsent(err) || !s.whole(o) {
			return end, err
		}
		s.endTry(false)
	}
}

// choose chooses the endpoint of a try.
func (s *stream) choose() error {
	var e *endpoint
	if s.arm != nil {
		ctx, done := s.cancellable(s.arm.cluster.dns != nil || s.arm.cluster.mayWait())
		e = s.arm.cluster.pick(ctx, s.hash)
		done()
	}
	if e == nil {
		return &errLocal{filter.Reply{
			Status: 503, Body: []byte("no healthy upstream"), GRPCStatus: -1, Details: "no_healthy_upstream",
		}, "UH"}
	}
	if s.f == nil {
		s.endpoint = e
	} else {
		s.f.chain.Sync(func() { s.endpoint, s.sentAt = e, time.Now() })
	}
	return nil
}

// open lets the rest of the request follow, once the first try has a connection.
func (s *stream) open(o *filter.Output) {
	if s.opened {
		return
	}
	s.opened = true
	if s.f != nil {
		s.f.opened(true, filter.Output{End: s.ended})
	} else if !s.ended {
		s.startPump(s.up)
	}
}

// endTry ends a try that another follows. With reuse, its response has come to
// its end.
func (s *stream) endTry(reuse bool) {
	s.endUpload()
	if u := s.detach(); u != nil {
		u.release(reuse && (s.spool == nil || s.requestSent.Load()))
	}
	s.requestSent.Store(false)
	s.response.Reset()
}

// rewrite makes the request what the route says its target gets, in Envoy's
// order: the host is made of the path as it was. Then it sets s.hash.
func (s *stream) rewrite() {
	h, r := &s.request, s.route
	target := h.Value(":path")
	r.requestHeaders.apply(h)
	if host, ok := r.host.apply(h.Value(":path")); ok {
		h.Set(":authority", host)
	}
	if r.rewrite.regex != nil {
		h.Set(":path", r.rewrite.apply(h.Value(":path")))
	}
	if s.hash = s.d.client; len(r.hash) > 0 {
		s.hash = s.hashOf(target)
	}
}

func (s *stream) setHost() { s.request.Set(":authority", s.endpoint.hostname) }

// fix chooses route and target for good: a filter may still call back, from anywhere.
func (s *stream) fix() {
	s.resolve()
	s.fixed = true
}

// resolve chooses route and target, unless a filter has already had that done
// by asking for them.
func (s *stream) resolve() {
	if s.route != nil || s.fixed {
		return
	}
	if _, ok := s.request.Get("x-forwarded-proto"); !ok {
		return // a filter has taken it out; Envoy has no route then
	}
	s.vhost = s.l.host(s.request.Value(":authority"))
	if s.vhost == nil || s.request.Value(":method") == "CONNECT" {
		return
	}
	if s.route = s.vhost.match(&s.request, s.d.asked); s.route != nil {
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
	if s.route.hostFromEndpoint && s.endpoint.hostname != "" {
		s.sync(s.setHost)
	}
	if _, ok := s.request.Get(":method"); !ok { // a filter has taken it out
		return &errLocal{filter.Reply{
			Status: 503, Body: []byte("missing required header: :method"), GRPCStatus: -1,
			Details: "filter_removed_required_request_headers",
		}, ""}
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
			if o.End {
				s.requestOver()
			}
		}
	}
	u.interim = s.d.interim
	if p := s.d.codec.Upgrade(); strings.EqualFold(p, "websocket") {
		u.codec.SetUpgrade(p)
	}
	if !s.opened {
		s.ended = o.End
	}
	if s.route.retry != nil && s.spool == nil && !s.kept(o) {
		s.spool = newSpool(s.d.proxy.cfg.BufferLimit)
		s.spool.put(*o)
		o.Data, o.Trailers, o.End = nil, nil, false
	}
	var err error
	if s.spool != nil {
		err = s.upload(u, o.Headers)
	} else {
		// Without more to come, the headers leave with the wait for the response;
		// with more at hand, together with it. Here nobody else reads the request yet.
		hold := o.End || s.f == nil && s.d.codec.Buffered() > 0
		err = write(u.codec, *o, hold)
	}
	if err != nil && !fresh && unsent(err) && s.aborted() == nil && (s.spool == nil || s.spool.whole()) {
		s.detach()
		u.release(false)
		return s.connect(o, true)
	}
	if err != nil && answered(err) {
		return nil
	}
	if err != nil && !isNetwork(err) {
		s.tellUnsendable(err)
	}
	return err
}

// answered reports whether err, met in sending a request, is a server that
// wants no more of it: it may have answered, and reading tells.
func answered(err error) bool {
	var e *http2.Error
	return errors.As(err, &e) && e.Remote && !e.Unprocessed
}

// kept reports whether o is all of the request, in memory that stays.
func (s *stream) kept(o *filter.Output) bool {
	return o.End && (len(o.Data) == 0 && o.Trailers == nil || s.body != nil)
}

// whole reports whether the request that begins with o can be sent again.
func (s *stream) whole(o *filter.Output) bool {
	if s.spool != nil {
		return s.spool.whole()
	}
	return s.kept(o)
}

func idempotent(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}
