package wasm

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/meshc/meshc/plugins"
	"github.com/meshc/meshc/plugins/wasm/internal/abi"
	"github.com/meshc/meshc/plugins/wasm/internal/host"
	"github.com/meshc/meshc/runtime/filter"
)

// factory is one use of a VM.
type factory struct {
	maker  *maker
	vm     *vm
	key    useKey
	users  int // guarded by maker.mu
	name   string
	open   bool // failurePolicy
	plugin *host.Plugin
	log    guestLog

	removed bool // guarded by vm.mu

	// By worker, and touched only inside it. A use has one root that new streams
	// begin at, in whichever instance.
	seats []*seat
	gone  []bool
}

func newFactory(m *maker, v *vm, key useKey, u plugins.Use, c *config) *factory {
	f := &factory{
		maker: m, vm: v, key: key, users: 1, name: u.Name, open: c.FailurePolicy == "open",
		seats: make([]*seat, len(v.places)), gone: make([]bool, len(v.places)),
	}
	f.log.to, f.log.dropped = m.process.Log.With("plugin", u.Name), m.metrics.dropped(u.Name)
	f.plugin = &host.Plugin{
		Name: u.Name, RootID: c.RootID, Configuration: c.Configuration,
		Clusters: make(map[string]bool, len(u.Clusters)), Log: f.log.line,
	}
	for _, name := range u.Clusters {
		f.plugin.Clusters[name] = true
	}
	return f
}

// place returns that of a worker. A stream in a worker that is none of the
// process's would be in two places at once.
func (f *factory) place(w *filter.Worker) *place {
	p := f.vm.places[w.Index()]
	if p.worker != w {
		panic("wasm: the stream is in a worker of another process")
	}
	return p
}

// HTTP is part of filter.Factory.
func (f *factory) HTTP(s filter.Stream) filter.HTTP {
	p := f.place(s.Worker())
	var x *stream
	if n := len(p.streams); n > 0 {
		x = p.streams[n-1]
		p.streams = p.streams[:n-1]
	} else {
		x = new(stream)
	}
	x.Open, x.factory, x.place, x.stream = f.open, f, p, s
	return x
}

// TCP is part of filter.Factory.
func (f *factory) TCP(c filter.Conn) filter.TCP {
	x := &conn{factory: f, place: f.place(c.Worker()), conn: c}
	x.Open = f.open
	return x
}

// Close is part of filter.Factory.
func (f *factory) Close() {
	m := f.maker
	m.mu.Lock()
	f.users--
	last := f.users == 0
	if last && m.factories[f.key] == f {
		delete(m.factories, f.key)
	}
	m.mu.Unlock()
	if last {
		f.vm.remove(f, m.leave(f.vm))
	}
}

// Commit is part of filter.Committer.
func (f *factory) Commit() { f.vm.commit() }

// seat returns the use's root in a place, or nil where no instance serves. With
// the first stream of a use its instance begins to serve, if nobody has said
// before that it is committed.
func (f *factory) seat(p *place) *seat {
	n := p.worker.Index()
	if f.seats[n] == nil {
		p.succeed(f)
	}
	return f.seats[n]
}

// Bounds on what is logged of a plugin: lines in a second, bytes in a second on
// average and at once, and bytes of one line. What is over is counted.
const (
	linesPerSecond = 10_000
	bytesPerSecond = 1 << 20
	burstBytes     = 4 << 20
	lineBytes      = 16 << 10
)

// guestLog writes what guests of a plugin say.
type guestLog struct {
	to      *slog.Logger
	dropped interface{ Inc() }

	mu     sync.Mutex
	second int64 // in which lines and lost are counted
	lines  int
	lost   int
	used   int       // of burstBytes, at the time
	at     time.Time // of the last line
}

// take reports whether a line of n bytes may be logged now, and how many were
// lost in the second that has ended with it.
func (g *guestLog) take(n int, now time.Time) (ok bool, lost int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := now.Unix(); s != g.second {
		lost = g.lost
		g.second, g.lines, g.lost = s, 0, 0
	}
	since := min(max(now.Sub(g.at), 0), time.Minute)
	g.used = max(g.used-int(since*bytesPerSecond/time.Second), 0)
	g.at = now
	if g.lines >= linesPerSecond || g.used+n > burstBytes {
		g.lost++
		return false, lost
	}
	g.lines++
	g.used += n
	return true, lost
}

var levels = [abi.Levels]slog.Level{slog.LevelDebug, slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError, slog.LevelError}

// line logs one line; text is the guest's memory.
func (g *guestLog) line(l abi.Level, text string) {
	ctx := context.Background()
	if !g.to.Enabled(ctx, levels[l]) {
		return
	}
	kept := text[:min(len(text), lineBytes)]
	ok, lost := g.take(len(kept), time.Now())
	if lost > 0 {
		g.to.Warn("lines of the plugin were not logged: too many in a second", "lines", lost)
	}
	if !ok {
		g.dropped.Inc()
		return
	}
	kept = strings.Clone(kept)
	if rest := len(text) - len(kept); rest > 0 {
		kept += fmt.Sprintf(" … (%d bytes more)", rest)
	}
	g.to.Log(ctx, levels[l], kept)
}
