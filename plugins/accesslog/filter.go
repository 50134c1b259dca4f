package accesslog

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meshc/meshc/plugins"
	"github.com/meshc/meshc/runtime/filter"
)

// maker is the kind in one process.
type maker struct {
	sinks   *sinks
	hangups chan os.Signal
}

// open starts the kind. Files are opened anew at SIGHUP.
func open(p plugins.Process) *maker {
	m := &maker{sinks: newSinks("proxy", p.Log), hangups: make(chan os.Signal, 1)}
	signal.Notify(m.hangups, syscall.SIGHUP)
	go func() {
		for range m.hangups {
			m.sinks.reopen()
		}
	}()
	return m
}

// New is part of plugins.Maker.
func (m *maker) New(_ context.Context, u plugins.Use) (filter.Factory, error) {
	c, f, err := parseConfig(u.Config)
	if err != nil {
		return nil, err
	}
	s, err := m.sinks.of(c)
	if err != nil {
		return nil, err
	}
	return &factory{constants: c.constants, format: f, sink: s, leave: sync.OnceFunc(func() { m.sinks.leave(s) })}, nil
}

// Metrics is part of plugins.Maker.
func (m *maker) Metrics() prometheus.Collector { return m.sinks }

// Close is part of plugins.Maker.
func (m *maker) Close() {
	signal.Stop(m.hangups)
	close(m.hangups)
	m.sinks.close()
}

type factory struct {
	constants
	format format
	sink   *sink
	leave  func()
}

// HTTP is part of filter.Factory.
func (f *factory) HTTP(s filter.Stream) filter.HTTP { return &logger{factory: f, of: s} }

// TCP is part of filter.Factory.
func (f *factory) TCP(c filter.Conn) filter.TCP { return &logger{factory: f, of: c, tcp: true} }

// Close is part of filter.Factory.
func (f *factory) Close() { f.leave() }

// logger is the filter of one stream or connection.
type logger struct {
	filter.PassThrough
	*factory
	of  filter.Properties
	tcp bool
}

// Log is part of filter.HTTP and filter.TCP.
func (l *logger) Log(r *filter.Record) {
	l.sink.put(l.format.line(&entry{Record: r, Properties: l.of, constants: l.constants, tcp: l.tcp}))
}
