package offline

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/meshc/meshc/plugins"
	"github.com/meshc/meshc/runtime/filter"
)

// Call is a call that the filter made.
type Call struct {
	Service string
	Request *Message
}

// calls answers the calls of a filter as it was told beforehand.
type calls struct {
	mu      sync.Mutex
	answers map[string][]*Message
	made    []Call
}

func (c *calls) answer(service string, m *Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answers == nil {
		c.answers = map[string][]*Message{}
	}
	c.answers[service] = append(c.answers[service], m)
}

func (c *calls) take() []Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	made := c.made
	c.made = nil
	return made
}

// Call is part of filter.Caller. A service that has no answer left is down.
func (c *calls) Call(cluster string, r filter.CallRequest, done func(filter.CallResponse)) (func(), error) {
	request := &Message{Body: append([]byte(nil), r.Body...)}
	clone(&request.Headers, r.Headers)
	if r.Trailers != nil {
		clone(&request.Trailers, r.Trailers)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made = append(c.made, Call{cluster, request})
	answer := down()
	if queue := c.answers[cluster]; len(queue) > 0 {
		answer = queue[0]
		c.answers[cluster] = queue[1:]
	}
	var cancelled struct {
		sync.Mutex
		is bool
	}
	go func() {
		cancelled.Lock()
		defer cancelled.Unlock()
		switch {
		case cancelled.is:
		case answer == nil:
			done(filter.CallResponse{})
		default:
			done(filter.CallResponse{Headers: &answer.Headers, Body: answer.Body, Trailers: &answer.Trailers})
		}
	}()
	return func() {
		if cancelled.TryLock() { // else done is at work, perhaps further up this very stack
			cancelled.is = true
			cancelled.Unlock()
		}
	}, nil
}

// down is the answer of a cluster of which no endpoint answers.
func down() *Message {
	m := &Message{Body: []byte("no healthy upstream")}
	m.Headers.Add(":status", "503")
	m.Headers.Add("content-length", fmt.Sprint(len(m.Body)))
	m.Headers.Add("content-type", "text/plain")
	return m
}

// OpenGRPC is part of filter.Caller: offline no gRPC service answers.
func (c *calls) OpenGRPC(cluster string, r filter.GRPCRequest, events filter.GRPCEvents) (filter.GRPCStream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	request := &Message{}
	request.Headers.Add(":method", "POST")
	request.Headers.Add(":path", "/"+r.Service+"/"+r.Method)
	request.Headers.Add("content-type", "application/grpc")
	c.made = append(c.made, Call{cluster, request})
	go events.Closed(14, "no gRPC service answers offline")
	return deadStream{}, nil
}

type deadStream struct{}

func (deadStream) Send([]byte, bool) {}
func (deadStream) Close()            {}
func (deadStream) Cancel()           {}
func (deadStream) Waiting() int      { return 0 }

// faults collects what a kind reports.
type faults struct {
	mu   sync.Mutex
	list []plugins.Fault
}

func (f *faults) add(fault plugins.Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, fault)
}

func (f *faults) take() []plugins.Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := f.list
	f.list = nil
	return list
}

// logs collects what is logged.
type logs struct {
	mu    sync.Mutex
	lines []string
}

func (l *logs) logger() *slog.Logger { return slog.New(l) }

func (l *logs) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.lines
	l.lines = nil
	return lines
}

// Enabled is part of slog.Handler.
func (l *logs) Enabled(context.Context, slog.Level) bool { return true }

// Handle is part of slog.Handler.
func (l *logs) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, strings.ToLower(r.Level.String())+": "+r.Message)
	return nil
}

// WithAttrs is part of slog.Handler; attributes are the same for all lines.
func (l *logs) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup is part of slog.Handler.
func (l *logs) WithGroup(string) slog.Handler { return l }
