package tracing

import (
	"context"
	stdlog "log"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/openzipkin/zipkin-go/model"
	"github.com/openzipkin/zipkin-go/proto/zipkin_proto3"
	"github.com/openzipkin/zipkin-go/reporter"
	zipkinhttp "github.com/openzipkin/zipkin-go/reporter/http"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meshc/meshc/plugins"
	"github.com/meshc/meshc/runtime/filter"
)

// Bounds of what is kept for a collector and sent to it.
const (
	batchSize    = 100
	batchTime    = time.Second
	maxBacklog   = 10_000 // spans; the oldest are dropped
	reportPeriod = 5 * time.Second
)

// collector is where spans go.
type collector struct {
	url   string
	proto bool
}

type collectorUse struct {
	reporter.Reporter
	users int
}

// maker is the kind in one process. Uses of one collector share a reporter.
type maker struct {
	process plugins.Process

	mu        sync.Mutex
	reporters map[collector]*collectorUse
	closing   sync.WaitGroup
}

func newMaker(p plugins.Process) *maker {
	return &maker{process: p, reporters: map[collector]*collectorUse{}}
}

// New is part of plugins.Maker.
func (m *maker) New(_ context.Context, u plugins.Use) (filter.Factory, error) {
	c, _, err := parse(u.Config)
	if err != nil {
		return nil, err
	}
	key := collector{c.URL, c.Proto}
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.reporters[key]
	if r == nil {
		options := []zipkinhttp.ReporterOption{
			zipkinhttp.BatchSize(batchSize), zipkinhttp.BatchInterval(batchTime), zipkinhttp.MaxBacklog(maxBacklog), zipkinhttp.Timeout(reportPeriod),
			zipkinhttp.Logger(stdlog.New(complaints{m.process.Log}, "", 0)),
		}
		if c.Proto {
			options = append(options, zipkinhttp.Serializer(zipkin_proto3.SpanSerializer{}))
		}
		r = &collectorUse{Reporter: zipkinhttp.NewReporter(c.URL, options...)}
		m.reporters[key] = r
	}
	r.users++
	return &factory{config: c, send: r.Send, leave: sync.OnceFunc(func() { m.leave(key, r) })}, nil
}

// complaints takes what a reporter logs.
type complaints struct{ log *slog.Logger }

func (c complaints) Write(line []byte) (int, error) {
	c.log.Warn("spans are not delivered", "error", string(line[:max(len(line)-1, 0)]))
	return len(line), nil
}

// leave ends a use of r. What the last one left is sent beside what serves.
func (m *maker) leave(key collector, r *collectorUse) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.users--; r.users == 0 {
		delete(m.reporters, key)
		m.closing.Go(func() { _ = r.Close() }) // it has logged why
	}
}

// Metrics is part of plugins.Maker.
func (m *maker) Metrics() prometheus.Collector { return nil }

// Close is part of plugins.Maker.
func (m *maker) Close() { m.closing.Wait() }

type factory struct {
	config
	send  func(model.SpanModel)
	leave func()
}

// HTTP is part of filter.Factory.
func (f *factory) HTTP(s filter.Stream) filter.HTTP { return &tracer{factory: f, stream: s} }

// TCP is part of filter.Factory.
func (*factory) TCP(filter.Conn) filter.TCP { return nil }

// Close is part of filter.Factory.
func (f *factory) Close() { f.leave() }

// tracer is the filter of one stream.
type tracer struct {
	filter.PassThrough
	*factory
	stream filter.Stream
	begun  bool
	span   model.SpanContext
	shared bool // the span is also that of the caller
}

// RequestHeaders is part of filter.HTTP.
func (t *tracer) RequestHeaders(h *filter.Headers, _ bool) filter.HeadersStatus {
	t.begin(h)
	inject(t.span, h)
	return filter.HeadersContinue
}

// begin makes the span of a request: one that joins the trace that it came
// with, or begins another.
func (t *tracer) begin(h *filter.Headers) {
	t.begun = true
	came, ok := extract(h)
	switch {
	case !ok:
		id := newID()
		t.span = model.SpanContext{TraceID: model.TraceID{Low: uint64(id)}, ID: id, Sampled: sampledOf(h)}
		if t.Long {
			t.span.TraceID.High = uint64(newID())
		}
	case t.Server && t.Shared:
		t.span, t.shared = came, true
	default:
		parent := came.ID
		t.span = model.SpanContext{TraceID: came.TraceID, ID: newID(), ParentID: &parent, Sampled: came.Sampled, Debug: came.Debug}
	}
	if t.span.Debug {
		t.span.Sampled = new(true)
	}
	if t.span.Sampled == nil {
		t.span.Sampled = new(rand.Uint32N(whole) < t.PerMillion)
	}
}

// Log is part of filter.HTTP.
func (t *tracer) Log(r *filter.Record) {
	if !t.begun {
		if r.Request == nil {
			return
		}
		t.begin(r.Request) // another filter has answered before
	}
	if !*t.span.Sampled {
		return
	}
	s := model.SpanModel{
		SpanContext: t.span, Kind: model.Client, Timestamp: r.Start, Duration: max(r.Duration, time.Microsecond), Shared: t.shared,
		LocalEndpoint: &model.Endpoint{ServiceName: t.Service}, Tags: tags(r, t.stream),
	}
	if t.Server {
		s.Kind = model.Server
	}
	for name, v := range s.Tags {
		if v == "" {
			delete(s.Tags, name)
		} else {
			s.Tags[name] = string([]byte(v)) // headers last as long as the stream alone
		}
	}
	s.Name = string([]byte(r.Request.Value(":authority")))
	t.send(s)
}
