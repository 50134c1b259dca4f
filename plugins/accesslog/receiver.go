package accesslog

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"time"

	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meshc/meshc/runtime/filter"
)

// flushInterval is how long Envoy keeps entries before it sends them.
const flushInterval = 200 * time.Millisecond

// nothing is the record of what is told in another way.
var nothing = &filter.Record{}

// Receiver writes the lines of Envoys to TCP.
type Receiver struct {
	sinks *sinks

	mu      sync.Mutex
	allowed map[string]*allowed // by address
}

// allowed is an address that the configuration names.
type allowed struct{ sink *sink }

// NewReceiver returns a Receiver that takes nothing yet.
func NewReceiver(log *slog.Logger) *Receiver {
	return &Receiver{sinks: newSinks("envoy", log), allowed: map[string]*allowed{}}
}

// Allow says the configurations of the uses that serve. Lines are written only
// to addresses that one of them names, whatever a client of the log service says.
func (r *Receiver) Allow(configs []string) {
	next := map[string]*allowed{}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, text := range configs {
		c, _, err := parseConfig(text)
		if err != nil || c.TCP == "" || next[c.TCP] != nil {
			continue
		}
		if next[c.TCP] = r.allowed[c.TCP]; next[c.TCP] == nil {
			next[c.TCP] = &allowed{}
		}
	}
	for address, a := range r.allowed {
		if next[address] == nil && a.sink != nil {
			r.sinks.leave(a.sink)
		}
	}
	r.allowed = next
}

// Receive takes entries that a client sent under a log name, which is the
// configuration of a use. While too many lines wait, it waits, until ctx ends:
// the client then keeps what it has. An error says that nothing is taken under
// that name.
func (r *Receiver) Receive(ctx context.Context, name string, m *alsv3.StreamAccessLogsMessage) error {
	c, f, err := parseConfig(name)
	if err != nil {
		return errors.New("the log name is none that meshc has given")
	}
	s, err := r.sink(c)
	if err != nil {
		return err
	}
	for _, e := range m.GetHttpLogs().GetLogEntry() {
		s.putWaiting(ctx, f.received(e.GetCommonProperties()))
	}
	for _, e := range m.GetTcpLogs().GetLogEntry() {
		s.putWaiting(ctx, f.received(e.GetCommonProperties()))
	}
	return nil
}

func (r *Receiver) sink(c config) (*sink, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.allowed[c.TCP]
	if a == nil || c.TCP == "" {
		return nil, errors.New("no logging backend has this address")
	}
	if a.sink == nil {
		s, err := r.sinks.of(config{TCP: c.TCP})
		if err != nil {
			return nil, err
		}
		a.sink = s
	}
	return a.sink, nil
}

// received renders an entry of Envoy's, which has the value of each command as
// a tag: those that are absent have none.
func (f format) received(e *datav3.AccessLogCommon) []byte {
	out := make([]byte, 0, 256)
	for i, p := range f {
		v := p.text
		if p.command != "" {
			if v = e.GetCustomTags()[strconv.Itoa(i)]; v == "" {
				v = absent
			}
		}
		out = append(out, v...)
	}
	return append(out, '\n')
}

// Describe is part of prometheus.Collector.
func (r *Receiver) Describe(out chan<- *prometheus.Desc) { r.sinks.Describe(out) }

// Collect is part of prometheus.Collector.
func (r *Receiver) Collect(out chan<- prometheus.Metric) { r.sinks.Collect(out) }

// Close writes what was received, for a short while at most.
func (r *Receiver) Close() { r.sinks.close() }
