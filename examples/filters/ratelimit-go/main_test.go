package main

import (
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
