package proxy

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// betweenLines is how often a listener or cluster tells of failed handshakes.
const betweenLines = time.Second

// handshakes counts the TLS handshakes that failed at a listener, or with the
// endpoints of a cluster. It logs those that it may without filling the log.
type handshakes struct {
	failed atomic.Uint64
	told   atomic.Int64  // when the last line was written, in Unix nanoseconds
	untold atomic.Uint64 // failures since
}

// fail counts a handshake, and says why it failed if no other was told of a
// moment ago.
func (h *handshakes) fail(log *slog.Logger, message string, attrs ...slog.Attr) {
	h.failed.Add(1)
	now, last := time.Now().UnixNano(), h.told.Load()
	if last != 0 && now-last < int64(betweenLines) || !h.told.CompareAndSwap(last, now) {
		h.untold.Add(1)
		return
	}
	if n := h.untold.Swap(0); n > 0 {
		attrs = append(attrs, slog.Uint64("others since the last line", n))
	}
	log.LogAttrs(context.Background(), slog.LevelWarn, message, attrs...)
}
