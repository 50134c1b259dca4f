package main

import (
	"errors"
	"testing"
	"time"
)

func TestTake(t *testing.T) {
	l := &limiter{config: config{Rate: 2, Burst: 3}}
	now := time.Unix(1000, 0)
	var bucket []byte
	for i, step := range []struct {
		after time.Duration
		wait  time.Duration
	}{
		{0, 0}, {0, 0}, {0, 0}, // the burst
		{0, 500 * time.Millisecond},
		{250 * time.Millisecond, 250 * time.Millisecond},
		{250 * time.Millisecond, 0},
		{-time.Minute, 500 * time.Millisecond}, // the clock of another thread
		{time.Hour, 0}, {0, 0}, {0, 0},         // no more than the burst
		{0, 500 * time.Millisecond},
	} {
		now = now.Add(step.after)
		var wait time.Duration
		bucket, wait = l.take(bucket, now)
		if wait != step.wait {
			t.Errorf("step %d: wait %v, want %v", i, wait, step.wait)
		}
		if step.after < 0 {
			now = now.Add(-step.after)
		}
	}
	if _, wait := l.take([]byte("damaged"), now); wait != 0 {
		t.Error("a damaged bucket is not a new one")
	}
}

// TestFull: callers whose bucket does not fit share one, and are limited too.
func TestFull(t *testing.T) {
	data := map[string][]byte{}
	const room = 2
	now := time.Unix(1000, 0)
	l := &limiter{config: config{Rate: 1, Burst: 2}, now: func() time.Time { return now }}
	l.update = func(key string, change func([]byte) []byte) error {
		old, ok := data[key]
		b := change(old)
		if b == nil {
			return nil
		}
		if !ok && len(data) == room {
			return errors.New("full")
		}
		data[key] = b
		return nil
	}
	for range 2 { // in each thread
		if err := l.reserve(); err != nil {
			t.Fatal(err)
		}
	}
	for i, step := range []struct {
		caller string
		passes bool
	}{
		{"a", true}, {"a", true}, {"a", false}, // has its own
		{"b", true}, {"c", true}, {"d", false}, {"b", false}, {"e", false},
	} {
		if wait := l.charge(step.caller); (wait == 0) != step.passes {
			t.Errorf("step %d: %s waits %v", i, step.caller, wait)
		}
	}
	if len(data) != room {
		t.Errorf("%d buckets", len(data))
	}
	now = now.Add(time.Second)
	if l.charge("f") != 0 || l.charge("g") == 0 {
		t.Error("the tokens of the others do not come back one a second")
	}
	l.update = func(string, func([]byte) []byte) error { return errors.New("gone") }
	if l.charge("a") == 0 {
		t.Error("without shared data, everybody passes")
	}
}

func TestParse(t *testing.T) {
	c, err := parse([]byte(`{"rate": 5}`))
	if err != nil || c.Burst != 5 {
		t.Errorf("got %+v, %v; want a burst of 5", c, err)
	}
	for _, bad := range []string{``, `{}`, `{"rate": -1}`, `{"rate": 1, "burst": 0.5}`, `[]`} {
		if _, err := parse([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
