// Package proxy is the built-in data plane: it serves the listeners of a
// snapshot on sockets of its own.
//
// A Proxy is a publish.Consumer. Each snapshot becomes a generation, built
// beside the one that serves; to commit is to swap one pointer for each
// socket. A request belongs to the generation that was current when it began,
// a TCP connection to that of its start, and a generation goes when its last
// user has left. What must outlive generations is kept apart, by name: the
// sockets, the connection pools, the balancing positions, the metrics.
package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
)

// Proxy serves snapshots. It is a publish.Consumer, and the filter.Caller of
// the filters in it.
type Proxy struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	names   *names
	calls   *calls
	filters *filter.Workers

	// clock is the time, in nanoseconds since 1970, as of the last tick: good
	// enough for what is measured in seconds.
	clock  atomic.Int64
	lastID atomic.Uint64 // of connections

	mu       sync.Mutex
	stopped  bool
	current  *generation
	sockets  map[string]*socket // by listener key
	draining map[*socket]bool

	stop    chan struct{}
	workers sync.WaitGroup // janitor, accept loops
	// upstreams are the connections of HTTP/2 to endpoints.
	upstreams sync.WaitGroup
	checks    sync.WaitGroup // of endpoints, under way

	readmitting sync.Mutex // held by readmit

	// Where calls of filters find their clusters: what serves, and what is
	// being prepared, whose filters may call already.
	serving, preparing atomic.Pointer[generation]
}

// New returns a Proxy that serves nothing until a snapshot is published to
// it. It runs until Shutdown.
func New(cfg Config) *Proxy {
	cfg = cfg.withDefaults()
	p := &Proxy{
		cfg: cfg, log: cfg.Log, metrics: newMetrics(),
		sockets: map[string]*socket{}, draining: map[*socket]bool{},
		stop: make(chan struct{}),
	}
	p.names = newNames(p)
	p.calls = newCalls()
	p.filters = filter.NewWorkers(cfg.Workers)
	p.filters.OnPanic(func(v any, stack []byte) {
		p.log.Error("panic in a filter", "panic", v, "stack", string(stack))
	})
	p.clock.Store(time.Now().UnixNano())
	p.workers.Go(p.janitor)
	return p
}

// Workers returns the workers that the filters run in.
func (p *Proxy) Workers() *filter.Workers { return p.filters }

// Name returns "proxy".
func (p *Proxy) Name() string { return "proxy" }

var errStopped = errors.New("the proxy has been shut down")

// Prepare builds the generation for next, which is sealed, and opens the
// sockets that it needs and that are not open yet. An error names the listener
// or filter it is about, and where that was written, as next.Origins has it.
// One publication at a time; see publish.Consumer.
func (p *Proxy) Prepare(ctx context.Context, next snapshot.Snapshot) (commit, abort func(), err error) {
	gen, err := p.build(ctx, next)
	if err != nil {
		return nil, nil, err
	}
	opened, err := p.open(ctx, gen, next.Origins)
	undo := func() {
		for _, s := range opened {
			s.door.ln.Close()
		}
		p.abandon(gen)
	}
	if err != nil {
		undo()
		return nil, nil, err
	}
	return func() {
		if !p.commit(gen, opened) {
			undo()
		}
	}, undo, nil
}

// open opens what gen needs beyond the sockets that are there. Its sockets do
// not accept yet.
func (p *Proxy) open(ctx context.Context, gen *generation, origins snapshot.List[snapshot.Origin]) ([]*socket, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return nil, errStopped
	}
	var opened, leaving []*socket
	for key, s := range p.sockets {
		if gen.byKey[key] == nil {
			leaving = append(leaving, s)
		}
	}
	var errs []error
	for _, l := range gen.listeners {
		if err := ctx.Err(); err != nil {
			return opened, err
		}
		if p.sockets[l.key] != nil {
			continue
		}
		s, err := p.listen(ctx, l, leaving)
		if err != nil {
			errs = append(errs, l.taken(err, origins))
			continue
		}
		opened = append(opened, s)
	}
	return opened, errors.Join(errs...)
}

// commit makes gen serve. It reports false when the proxy has been shut down.
func (p *Proxy) commit(gen *generation, opened []*socket) bool {
	// Without p.mu, as below.
	for _, f := range gen.factories {
		if c, ok := f.(filter.Committer); ok {
			c.Commit()
		}
	}
	old, ok := p.install(gen, opened)
	if old != nil {
		// Without p.mu: filters that end may wait for callbacks, whose goroutines
		// may want it.
		old.release()
	}
	return ok
}

// install puts gen in the place of old, which is nil before the first.
func (p *Proxy) install(gen *generation, opened []*socket) (old *generation, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return nil, false
	}
	for _, s := range opened {
		p.sockets[s.key] = s
	}
	for key, s := range p.sockets {
		l := gen.byKey[key]
		switch {
		case l == nil:
			delete(p.sockets, key)
			s.close()
			p.drain(s)
		case !l.continues(s.serving.Load()):
			p.sockets[key] = s.succeed(l)
			p.drain(s)
		default:
			s.serving.Store(l)
		}
	}
	for _, s := range opened {
		p.workers.Go(s.door.accept)
	}
	if old := p.current; old != nil { // else nobody is inside
		p.workers.Go(p.readmit)
	}
	old = p.current
	p.current = gen
	p.serving.Store(gen)
	p.preparing.Store(nil)
	p.metrics.keep(gen)
	if old == nil {
		adopt(nil, gen.clusters)
		return nil, true
	}
	adopt(old.clusters, gen.clusters)
	return old, true
}

// abandon gives up a generation that was not installed.
func (p *Proxy) abandon(gen *generation) {
	p.preparing.CompareAndSwap(gen, nil)
	gen.release()
	// Calls of its filters may have pooled connections.
	for _, c := range gen.made {
		c.discard()
	}
}

// drain lets what goes on on s, to which nothing is added, finish. Its last
// listener stays for the requests that are still to come on its connections.
// p.mu is held.
func (p *Proxy) drain(s *socket) {
	p.draining[s] = true
	l := s.serving.Load()
	if l != nil && !l.gen.acquire() {
		panic("proxy: socket without generation") // p.current holds it
	}
	s.drain()
	p.workers.Go(func() {
		<-s.accepted
		s.conns.Wait()
		close(s.ended)
		if l != nil {
			l.gen.release()
		}
		p.mu.Lock()
		delete(p.draining, s)
		p.mu.Unlock()
	})
}

// Addresses returns the bound address of each open listener by its name;
// the gateway's is "gateway".
func (p *Proxy) Addresses() map[string]net.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	addresses := make(map[string]net.Addr, len(p.sockets))
	for _, s := range p.sockets {
		addresses[s.serving.Load().name] = s.door.ln.Addr()
	}
	return addresses
}
