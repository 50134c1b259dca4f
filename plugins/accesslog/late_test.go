package accesslog

import (
	"log/slog"
	"path/filepath"
	"testing"
)

// An Envoy may send lines to a sink that is being closed: they are counted where that goes.
func TestLineForClosedSink(t *testing.T) {
	s := newSinks("envoy", slog.New(slog.DiscardHandler))
	k, err := s.of(config{File: filepath.Join(t.TempDir(), "log")})
	if err != nil {
		t.Fatal(err)
	}
	s.leave(k)
	<-k.ended
	k.put([]byte("late\n"))
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dropped != 1 {
		t.Errorf("%d lines are dropped", k.dropped)
	}
}
