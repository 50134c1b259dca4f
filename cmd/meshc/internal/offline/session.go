// Package offline drives a filter through requests without a server: what a
// proxy would receive is given to it, and what it lets out is collected. It is
// behind meshc plugin run and meshc plugin test.
package offline

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meshc/meshc/plugins"
	"github.com/meshc/meshc/runtime/filter"
)

// Patience is how long a request may take, as it does when a filter holds it
// and nothing lets it go.
const Patience = 5 * time.Second

// Session is a filter that serves requests one after another, as one instance
// with one state.
type Session struct {
	maker   plugins.Maker
	factory filter.Factory
	worker  *filter.Worker
	tcp     bool
	log     *logs
	calls   *calls
	faults  *faults
}

// Open starts a use of a kind. An error is what the author of the document
// would be told: a module that cannot run, a configuration that it refuses, and
// what the filter has logged of that.
func Open(ctx context.Context, kind plugins.Kind, use plugins.Use) (*Session, error) {
	s := &Session{tcp: use.TCP, log: &logs{}, calls: &calls{}, faults: &faults{}}
	workers := filter.NewWorkers(1)
	s.worker = workers.At(0)
	var err error
	s.maker, err = kind.Open(plugins.Process{Log: s.log.logger(), Workers: workers, Caller: s.calls, Report: s.faults.add})
	if err != nil {
		return nil, err
	}
	if s.factory, err = s.maker.New(ctx, use); err != nil {
		s.maker.Close()
		return nil, s.said(err)
	}
	if c, ok := s.factory.(filter.Committer); ok {
		c.Commit()
	}
	return s, nil
}

// said adds what was logged last to err.
func (s *Session) said(err error) error {
	const most = 20
	lines := s.log.take()
	if len(lines) == 0 {
		return err
	}
	return fmt.Errorf("%w\nIt logged:\n  %s", err, strings.Join(lines[max(len(lines)-most, 0):], "\n  "))
}

// Close ends the filter as a proxy does that no longer needs it.
func (s *Session) Close() {
	s.factory.Close()
	s.maker.Close()
}

// Answer has the next unanswered call to a service answered by m; a nil m is a
// call that is reset.
func (s *Session) Answer(service string, m *Message) { s.calls.answer(service, m) }

// Outcome is what came of a request.
type Outcome struct {
	Upstream *Message // what the upstream got; nil for nothing
	Response *Message // what the client got; nil for nothing
	// Reset says that the stream was ended without an answer, or without the
	// rest of it. Held says that the filter still held it when Patience ended.
	Reset, Held bool
	Calls       []Call
	Faults      []plugins.Fault // since the request before
}

// Log returns the lines that were logged since the last call of Log, each with
// its level: "info: text".
func (s *Session) Log() []string { return s.log.take() }

// Do serves one request, to which the upstream answers with answer.
func (s *Session) Do(ctx context.Context, request, answer *Message) Outcome {
	h := &host{start: time.Now(), woken: make(chan struct{}, 1)}
	h.chain = filter.NewChain(h, s.worker, 0, []filter.Factory{s.factory})
	var o Outcome
	if h.chain == nil {
		o.Upstream, o.Response = request, answer // the filter takes no part
		return o
	}
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	h.feed(filter.Request, request)
	o.Upstream, o.Response, o.Held = h.serve(ctx, func() { h.feed(filter.Response, answer) })
	o.Reset = h.chain.WasReset()
	h.chain.End(h.record(o))
	o.Calls, o.Faults = s.calls.take(), s.faults.take()
	return o
}

// guestMetrics is how the names of what a filter measures begin; the others are
// about the host that runs it.
const guestMetrics = "wasmcustom_"

// Metric is one value that a filter measures.
type Metric struct {
	Name  string
	Value float64 // of a histogram: how many values it has seen
}

// Metrics returns the filter's metrics by name.
func (s *Session) Metrics() ([]Metric, error) {
	collector := s.maker.Metrics()
	if collector == nil {
		return nil, nil
	}
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(collector); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	families, err := registry.Gather()
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	var out []Metric
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), guestMetrics) {
			continue
		}
		for _, m := range f.GetMetric() {
			metric := Metric{Name: f.GetName()}
			switch {
			case m.GetCounter() != nil:
				metric.Value = m.GetCounter().GetValue()
			case m.GetGauge() != nil:
				metric.Value = m.GetGauge().GetValue()
			case m.GetHistogram() != nil:
				metric.Value = float64(m.GetHistogram().GetSampleCount())
			case m.GetUntyped() != nil:
				metric.Value = m.GetUntyped().GetValue()
			}
			out = append(out, metric)
		}
	}
	slices.SortFunc(out, func(a, b Metric) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}
