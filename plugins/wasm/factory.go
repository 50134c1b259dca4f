package wasm

import (
	"context"
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

	// By worker, and touched only inside it.
	roots []*host.Root
	gone  []bool
}

func newFactory(m *maker, v *vm, key useKey, u plugins.Use, c *config) *factory {
	f := &factory{
		maker: m, vm: v, key: key, users: 1, name: u.Name, open: c.FailurePolicy == "open",
		roots: make([]*host.Root, len(v.places)), gone: make([]bool, len(v.places)),
	}
	f.log = guestLog{to: m.process.Log.With("plugin", u.Name), dropped: m.metrics.dropped(u.Name)}
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

// root returns the root in a place, or nil where no instance serves.
func (f *factory) root(p *place) *host.Root { return f.roots[p.worker.Index()] }

// linesPerSecond is how many lines of a plugin are logged; the rest is counted.
const linesPerSecond = 10_000

// guestLog writes what guests of a plugin say.
type guestLog struct {
	to      *slog.Logger
	dropped interface{ Inc() }

	mu     sync.Mutex
	second int64
	lines  int
	lost   int
}

var levels = [abi.Levels]slog.Level{slog.LevelDebug, slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError, slog.LevelError}

// line logs one line; text is the guest's memory.
func (g *guestLog) line(l abi.Level, text string) {
	ctx := context.Background()
	if !g.to.Enabled(ctx, levels[l]) {
		return
	}
	now := time.Now().Unix()
	g.mu.Lock()
	lost := 0
	if now != g.second {
		lost = g.lost
		g.second, g.lines, g.lost = now, 0, 0
	}
	g.lines++
	ok := g.lines <= linesPerSecond
	if !ok {
		g.lost++
	}
	g.mu.Unlock()
	if lost > 0 {
		g.to.Warn("lines of the plugin were not logged: too many in a second", "lines", lost)
	}
	if !ok {
		g.dropped.Inc()
		return
	}
	g.to.Log(ctx, levels[l], strings.Clone(text))
}
