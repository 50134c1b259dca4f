//go:build linux

package behaviour

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// newH2Client begins a connection of HTTP/2 as one who knows that the server
// speaks it (RFC 9113, 3.3).
func newH2Client(c net.Conn) (*h2conn, error) {
	h, err := newH2(c, true, nil)
	if err == nil {
		go h.serve() // until c is closed
	}
	return h, err
}

// wait waits for the end of the answer.
func (s *h2stream) wait() (*Message, error) {
	if err := s.conn.await(func() bool { return s.ended }); err != nil {
		return nil, err
	}
	m := s.m
	m.Body = m.Body[s.shown:]
	return &m, nil
}

// once sends a request on a stream of its own and returns the whole answer.
func (h *h2conn) once(ops []operation) (*Message, error) {
	s, err := h.open()
	if err != nil {
		return nil, err
	}
	if err := s.play(ops, nil); err != nil {
		return nil, err
	}
	return s.wait()
}

// stepHTTP2 is step on a connection of HTTP/2; false is for steps that have
// nothing to do with the connection.
func (t *transcript) stepHTTP2(s step) (bool, error) {
	switch s.verb {
	case "send":
		return true, t.sendHTTP2(s)
	case "half-close":
		return true, t.latest.play([]operation{{}}, nil)
	case "answer":
		return true, t.answerHTTP2(s)
	case "body":
		return true, t.bodyHTTP2(s)
	case "read":
		return true, errors.New("there are only streams to read from")
	case "closed":
		err := t.h2.await(func() bool { return t.h2.ended })
		t.hangUp()
		return true, err
	}
	return false, nil
}

// sendHTTP2 opens a stream when the section begins with a request line, and
// goes on with the one before otherwise.
func (t *transcript) sendHTTP2(s step) error {
	ops, err := parseWire(s.text)
	if err != nil || len(ops) == 0 {
		return err
	}
	if ops[0].line {
		if t.latest, err = t.h2.open(); err != nil {
			return err
		}
		t.unanswered = append(t.unanswered, t.latest)
	} else if t.latest == nil {
		return errors.New("no stream is open")
	}
	if last := ops[len(ops)-1]; last.directive == "reset" {
		t.unanswered = t.unanswered[:len(t.unanswered)-1]
	}
	// The other side may have ended the stream; what it answered is the next
	// step's to judge.
	if err := t.latest.play(ops, nil); err != nil && t.latest.conn.await(func() bool { return t.latest.ended }) != nil {
		return err
	}
	return nil
}

// answerHTTP2 wants the answer to the oldest request that has none yet.
func (t *transcript) answerHTTP2(s step) error {
	if len(t.unanswered) == 0 {
		return errors.New("every request was answered")
	}
	stream := t.unanswered[0]
	interim := ""
	if err := stream.conn.await(func() bool { return stream.head || stream.ended }); err != nil {
		return err
	}
	t.h2.mu.Lock()
	for _, m := range stream.interim {
		interim += t.rules.answer(m) + "\n"
	}
	stream.interim = nil
	head := stream.m
	head.Body, head.Trailer, head.Reset = nil, nil, ""
	t.h2.mu.Unlock()
	if len(s.args) == 1 {
		t.compare(s, interim+t.rules.answer(&head))
		return nil
	}
	m, err := stream.wait()
	if err != nil {
		return err
	}
	t.unanswered = t.unanswered[1:]
	t.compare(s, interim+t.rules.answer(m))
	return nil
}

// bodyHTTP2 wants these bytes next in the body of the oldest answer.
func (t *transcript) bodyHTTP2(s step) error {
	want, err := wireBytes(s.text)
	if err != nil {
		return err
	}
	if len(t.unanswered) == 0 {
		return errors.New("every request was answered")
	}
	stream := t.unanswered[0]
	t.h2.await(func() bool { return stream.ended || len(stream.m.Body)-stream.shown >= len(want) }) //nolint:errcheck // what came tells
	t.h2.mu.Lock()
	defer t.h2.mu.Unlock()
	got := stream.m.Body[stream.shown:]
	got = got[:min(len(got), len(want))]
	if !bytes.Equal(got, want) {
		return fmt.Errorf("want %d bytes, got %d that begin with %q: %w", len(want), len(got), clip(got), io.ErrUnexpectedEOF)
	}
	stream.shown += len(got)
	return nil
}

// repeatHTTP2 is repeat on a connection of HTTP/2: one after the other, each on
// a connection of its own, or all at once on streams of one; answered is called
// after each answer.
func (t *transcript) repeatHTTP2(times int, how string, ops []operation, answered func()) error {
	served, errs := make([]string, times), make([]error, times)
	send := func(i int) {
		m, err := t.h2.once(ops)
		if errs[i] = err; err == nil {
			served[i] = m.who()
		}
		answered()
	}
	var done sync.WaitGroup
	for i := range times {
		switch how {
		case "together":
			done.Go(func() { send(i) })
			continue
		case "fresh":
			if err := t.connect(t.opened...); err != nil {
				return err
			}
		}
		if send(i); errs[i] != nil {
			return fmt.Errorf("time %d: %w", i+1, errs[i])
		}
	}
	done.Wait()
	for _, who := range served {
		t.counts[who]++
	}
	return errors.Join(errs...)
}

// exchange sends a request on the open connection and reads its answer.
func (t *transcript) exchange(text string) (*Message, error) {
	ops, err := parseWire(text)
	if err != nil {
		return nil, err
	}
	if t.h2 != nil {
		return t.h2.once(ops)
	}
	data, err := wireBytes(text)
	if err != nil {
		return nil, err
	}
	return exchange(t.conn, t.r, data)
}
