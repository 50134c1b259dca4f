package proxy

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// betweenLines is how often a listener or cluster tells of failures of one sort.
const betweenLines = time.Second

// failures counts what failed at a listener, or with the endpoints of a cluster: TLS
// handshakes, or requests that cannot be sent. It logs those that it may without filling
// the log.
type failures struct {
	failed atomic.Uint64
	told   atomic.Int64  // when the last line was written, in Unix nanoseconds
	untold atomic.Uint64 // failures since
}

// fail counts one, and says why it failed if no other was told of a moment ago.
func (f *failures) fail(log *slog.Logger, message string, attrs ...slog.Attr) {
	f.failed.Add(1)
	now, last := time.Now().UnixNano(), f.told.Load()
	if last != 0 && now-last < int64(betweenLines) || !f.told.CompareAndSwap(last, now) {
		f.untold.Add(1)
		return
	}
	if n := f.untold.Swap(0); n > 0 {
		attrs = append(attrs, slog.Uint64("others since the last line", n))
	}
	log.LogAttrs(context.Background(), slog.LevelWarn, message, attrs...)
}
