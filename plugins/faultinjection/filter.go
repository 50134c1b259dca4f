package faultinjection

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meshc/meshc/plugins"
	"github.com/meshc/meshc/runtime/filter"
)

// maker is the kind in one process; it has nothing to keep.
type maker struct{}

// New is part of plugins.Maker.
func (maker) New(_ context.Context, u plugins.Use) (filter.Factory, error) {
	c, err := parse(u.Config)
	if err != nil {
		return nil, err
	}
	return &factory{config: c, dice: rand.Uint32N}, nil
}

// Metrics is part of plugins.Maker.
func (maker) Metrics() prometheus.Collector { return nil }

// Close is part of plugins.Maker.
func (maker) Close() {}

type factory struct {
	config
	dice func(n uint32) uint32 // a number below n
}

// HTTP is part of filter.Factory.
func (f *factory) HTTP(s filter.Stream) filter.HTTP { return &fault{factory: f, stream: s} }

// TCP is part of filter.Factory.
func (*factory) TCP(filter.Conn) filter.TCP { return nil }

// Close is part of filter.Factory.
func (*factory) Close() {}

// hits reports whether a request is one of the share.
func (f *factory) hits(s share) bool { return s > 0 && share(f.dice(uint32(whole))) < s }

// fault is the filter of one stream, as Envoy's envoy.filters.http.fault: first
// the delay, then the abort; a response that is let through may be slowed down.
type fault struct {
	filter.PassThrough
	*factory
	stream  filter.Stream
	timer   *time.Timer
	limiter *limiter // nil where the response is not slowed down
	waiting bool     // send will be called
}

// RequestHeaders is part of filter.HTTP.
func (f *fault) RequestHeaders(*filter.Headers, bool) filter.HeadersStatus {
	if f.Cluster != "" {
		// Asking has the route chosen, which the request then keeps.
		if chosen, ok := f.stream.Property("xds", "cluster_name"); !ok || chosen != f.Cluster {
			return filter.HeadersContinue
		}
	}
	if f.hits(f.Limit.Share) {
		f.limiter = newLimiter(f.Limit.Speed, time.Now())
	}
	if f.hits(f.Delay.Share) {
		f.flag("DI")
		f.timer = time.AfterFunc(f.Delay.time, func() { f.stream.Post(f.delayed) })
		return filter.HeadersStopAll
	}
	if f.aborts() {
		return filter.HeadersStopAll
	}
	return filter.HeadersContinue
}

// delayed is called once the delay is over.
func (f *fault) delayed() {
	if !f.aborts() {
		f.stream.Continue(filter.Request)
	}
}

// aborts answers the request if it is one of those to abort.
func (f *fault) aborts() bool {
	if !f.hits(f.Abort.Share) {
		return false
	}
	f.limiter = nil
	f.flag("FI")
	f.stream.Reply(filter.Reply{Status: f.Abort.Status, Body: []byte("fault filter abort"), GRPCStatus: -1, Details: "fault_filter_abort"})
	return true
}

// flag adds a response flag for access logs.
func (f *fault) flag(name string) {
	flags, _ := f.stream.Property(plugins.FlagsProperty)
	if have, ok := flags.([]byte); ok && len(have) > 0 {
		name = string(have) + "," + name
	}
	f.stream.SetProperty(plugins.FlagsProperty, []byte(name))
}

// ResponseData is part of filter.HTTP.
func (f *fault) ResponseData(b *filter.Buffer, end bool) filter.DataStatus {
	switch {
	case f.limiter == nil || b.Len() == 0:
		return filter.DataContinue
	case f.limiter.takeAll(b.Len(), time.Now()):
		return filter.DataContinue
	}
	f.wait()
	return filter.DataStopAndWatermark
}

// ResponseTrailers is part of filter.HTTP.
func (f *fault) ResponseTrailers(*filter.Headers) filter.TrailersStatus {
	if held := f.stream.Held(filter.Response); f.limiter == nil || held == nil || held.Len() == 0 {
		return filter.TrailersContinue
	}
	return filter.TrailersStop
}

// wait has more of the response sent after a while.
func (f *fault) wait() {
	if !f.waiting {
		f.waiting = true
		f.timer = time.AfterFunc(interval, func() { f.stream.Post(f.send) })
	}
}

// send passes on as much of the response as may be by now.
func (f *fault) send() {
	f.waiting = false
	held := f.stream.Held(filter.Response)
	if held == nil {
		return
	}
	n := f.limiter.take(held.Len(), time.Now())
	if n == held.Len() {
		f.stream.Continue(filter.Response)
		return
	}
	f.stream.Pass(filter.Response, n)
	f.wait()
}

// Done is part of filter.HTTP.
func (f *fault) Done() {
	if f.timer != nil {
		f.timer.Stop()
	}
}
