package main

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/meshc/meshc/compiler/snapshot"
)

// TestWarnExposedOnce: the warning comes when keys begin to stand open, and
// not at every reload after that.
func TestWarnExposedOnce(t *testing.T) {
	var log bytes.Buffer
	r := &reloader{server: &server{log: slog.New(slog.NewTextHandler(&log, nil)), xdsAddr: &net.TCPAddr{IP: net.IPv6zero, Port: 5678}}}
	keys := snapshot.Snapshot{Secrets: snapshot.ListOf(snapshot.Secret{ID: "default/key"})}
	for i, load := range []struct {
		of    snapshot.Snapshot
		warns int
	}{{snapshot.Snapshot{}, 0}, {keys, 1}, {keys, 0}, {snapshot.Snapshot{}, 0}, {keys, 1}} {
		log.Reset()
		r.serving = load.of
		r.warnExposed()
		if got := strings.Count(log.String(), "ANYBODY"); got != load.warns {
			t.Errorf("load %d: %d warnings, want %d", i, got, load.warns)
		}
	}
}
