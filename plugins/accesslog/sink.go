package accesslog

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// maxWaiting bounds the lines that wait to be written, in bytes.
	maxWaiting = 1 << 20
	// drainTime is how long lines are still written once nobody logs any more.
	drainTime = 2 * time.Second
	// maxPause is the longest wait between attempts to reach what is away.
	maxPause = 5 * time.Second
)

// sink is where lines go: they wait in memory until its goroutine has written
// them, so that nobody who logs ever waits. What does not fit is dropped and counted.
type sink struct {
	name   string // "file:PATH" or "tcp:HOST:PORT"
	target target
	log    *slog.Logger

	mu      sync.Mutex
	lines   [][]byte
	size    int  // of lines, in bytes
	closed  bool // no more lines come
	dropped uint64
	written uint64
	users   int // guarded by sinks.mu

	wake    chan struct{} // of capacity 1
	reopen  atomic.Bool
	failing bool // the writer's own: the last attempt failed
	ended   chan struct{}
	giveUp  chan struct{} // closed when there is no more time
}

// target writes lines somewhere. It is used by one goroutine.
type target interface {
	// open makes ready to write, if it is not.
	open(giveUp <-chan struct{}) error
	// write writes one line. An error means that it was not written, or may not have been.
	write(line []byte) error
	// renew has open begin anew.
	renew()
}

func newSink(name string, t target, log *slog.Logger) *sink {
	s := &sink{name: name, target: t, log: log, wake: make(chan struct{}, 1), ended: make(chan struct{}), giveUp: make(chan struct{})}
	go s.run()
	return s
}

// put takes a line to be written. It never waits.
func (s *sink) put(line []byte) {
	if !s.take(line) {
		s.mu.Lock()
		s.dropped++
		s.mu.Unlock()
	}
}

// putWaiting is put for those that may wait until there is room, or ctx ends.
func (s *sink) putWaiting(ctx context.Context, line []byte) {
	const look = 20 * time.Millisecond
	for !s.take(line) {
		select {
		case <-time.After(look):
		case <-s.ended:
			s.put(line)
			return
		case <-ctx.Done():
			s.put(line)
			return
		}
	}
}

// take takes a line if there is room for it.
func (s *sink) take(line []byte) bool {
	s.mu.Lock()
	if s.size+len(line) > maxWaiting && s.size > 0 || s.closed {
		s.mu.Unlock()
		return false
	}
	s.lines, s.size = append(s.lines, line), s.size+len(line)
	first := len(s.lines) == 1
	s.mu.Unlock()
	if first {
		s.poke()
	}
	return true
}

func (s *sink) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// close has what waits written, for drainTime at most, and ends the sink. It
// does not wait for that; ended is closed then.
func (s *sink) close() {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	s.mu.Unlock()
	if again {
		return
	}
	s.poke()
	time.AfterFunc(drainTime, func() { close(s.giveUp) })
}

// run writes what comes until the sink is closed.
func (s *sink) run() {
	defer close(s.ended)
	defer s.target.renew()
	for range s.wake {
		if s.reopen.Swap(false) {
			s.target.renew()
		}
		s.mu.Lock()
		lines, closed := s.lines, s.closed
		s.lines = nil // what is written now still counts in size
		s.mu.Unlock()
		for i, line := range lines {
			ok := s.deliver(line)
			s.mu.Lock()
			s.size -= len(line)
			if ok {
				s.written++
			} else {
				s.dropped += uint64(len(lines) - i + len(s.lines))
			}
			s.mu.Unlock()
			if !ok {
				return // there is no more time
			}
		}
		if closed {
			return
		}
	}
}

// deliver writes one line, however often that takes, while there is time.
func (s *sink) deliver(line []byte) bool {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, maxPause) {
		err := s.target.open(s.giveUp)
		if err == nil {
			err = s.target.write(line)
		}
		if err == nil {
			if s.failing {
				s.failing = false
				s.log.Info("the access log is written again", "to", s.name)
			}
			return true
		}
		s.target.renew()
		if !s.failing {
			s.failing = true
			s.log.Warn("the access log cannot be written", "to", s.name, "error", err)
		}
		select {
		case <-time.After(pause):
		case <-s.giveUp:
			return false
		}
	}
}

// sinks are those of one process, by name.
type sinks struct {
	log              *slog.Logger
	written, dropped *prometheus.Desc

	mu     sync.Mutex
	byName map[string]*sink
	ending map[*sink]bool // closed, and not yet ended
	gone   map[string][2]uint64
}

// newSinks returns the sinks of what plane, "proxy" or "envoy", logs.
func newSinks(plane string, log *slog.Logger) *sinks {
	from := prometheus.Labels{"plane": plane}
	return &sinks{
		log:     log,
		written: prometheus.NewDesc("meshc_accesslog_lines_total", "Lines written, by where they went.", []string{"to"}, from),
		dropped: prometheus.NewDesc("meshc_accesslog_lines_dropped_total", "Lines dropped because too many waited to be written.", []string{"to"}, from),
		byName:  map[string]*sink{}, ending: map[*sink]bool{}, gone: map[string][2]uint64{},
	}
}

// of returns the sink of c, for one more user, who calls leave.
func (s *sinks) of(c config) (*sink, error) {
	name := "tcp:" + c.TCP
	if c.File != "" {
		name = "file:" + c.File
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.byName[name]
	if k == nil {
		var t target = &connection{address: c.TCP}
		if c.File != "" {
			f := &logFile{path: c.File}
			if err := f.open(nil); err != nil {
				return nil, err
			}
			t = f
		}
		k = newSink(name, t, s.log)
		s.byName[name] = k
	}
	k.users++
	return k, nil
}

// leave says that a user of k will log no more.
func (s *sinks) leave(k *sink) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.users--; k.users > 0 {
		return
	}
	delete(s.byName, k.name)
	s.ending[k] = true
	k.close()
	go func() {
		<-k.ended
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.ending, k)
		n := s.gone[k.name]
		k.mu.Lock() // who found it before it was closed may still put lines
		defer k.mu.Unlock()
		s.gone[k.name] = [2]uint64{n[0] + k.written, n[1] + k.dropped}
	}()
}

// reopen has all files opened anew.
func (s *sinks) reopen() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.byName {
		if k.name[0] == 'f' {
			k.reopen.Store(true)
			k.poke()
		}
	}
}

// close waits until what was logged is written, for drainTime at most.
func (s *sinks) close() {
	s.mu.Lock()
	var open []*sink
	for _, k := range s.byName {
		open = append(open, k)
		k.close()
	}
	clear(s.byName)
	for k := range s.ending {
		open = append(open, k)
	}
	s.mu.Unlock()
	for _, k := range open {
		<-k.ended
	}
}

// Describe is part of prometheus.Collector.
func (s *sinks) Describe(out chan<- *prometheus.Desc) { out <- s.written; out <- s.dropped }

// Collect is part of prometheus.Collector.
func (s *sinks) Collect(out chan<- prometheus.Metric) {
	s.mu.Lock()
	sums := map[string][2]uint64{}
	for name, n := range s.gone {
		sums[name] = n
	}
	add := func(k *sink) {
		k.mu.Lock()
		defer k.mu.Unlock()
		n := sums[k.name]
		sums[k.name] = [2]uint64{n[0] + k.written, n[1] + k.dropped}
	}
	for _, k := range s.byName {
		add(k)
	}
	for k := range s.ending {
		add(k)
	}
	s.mu.Unlock()
	for name, n := range sums {
		out <- prometheus.MustNewConstMetric(s.written, prometheus.CounterValue, float64(n[0]), name)
		out <- prometheus.MustNewConstMetric(s.dropped, prometheus.CounterValue, float64(n[1]), name)
	}
}
