package proxy

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshc/meshc/runtime/filter"
)

// tunnel is an accepted TCP connection and the upstream connection behind it.
type tunnel struct {
	proxy  *Proxy
	l      *listener
	nc     net.Conn
	id     uint64
	remote netip.AddrPort
	local  netip.AddrPort
	start  time.Time
	first  []byte // what was read of nc before

	arm      *arm
	endpoint *endpoint
	f        *passage // nil where there are no filters
	received uint64
	sent     uint64
	watch    watch
	// How the connection ended, for the filters: upstreamEnded, the upstream
	// has said all; clientLast, the client ended it after the upstream, or
	// broke off.
	upstreamEnded atomic.Bool
	clientLast    bool
	flags         string // Envoy's response flags, separated by commas

	mu     sync.Mutex // of what kill needs
	up     net.Conn
	done   func()        // to be called when up has ended
	ready  time.Duration // from the choice of the endpoint to its connection
	chain  *filter.Chain
	ctx    context.Context
	cancel context.CancelFunc
	timer  *time.Timer // of watch
	ended  bool
}

// newTunnel takes over the reference to l's generation.
func newTunnel(s *socket, l *listener, nc net.Conn) *tunnel {
	t := &tunnel{
		proxy: s.proxy, l: l, nc: nc, id: s.proxy.lastID.Add(1), start: time.Now(),
		remote: addressOf(nc.RemoteAddr()), local: addressOf(nc.LocalAddr()),
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t
}

func (t *tunnel) drain() {} // a TCP connection ends when its ends do

func (t *tunnel) check(int64) {}

func (t *tunnel) from() net.Conn { return t.nc }

// look ends the connection if nothing has moved on it for too long, and is
// called again when that may be.
func (t *tunnel) look() {
	idle := cmp.Or(t.l.idleTimeout, t.proxy.cfg.TCPIdleTimeout)
	t.mu.Lock()
	stalled := t.watch.stalled(now(), idle)
	if !stalled && !t.ended {
		t.timer.Reset(idle / watchParts)
	}
	t.mu.Unlock()
	if stalled {
		t.kill()
	}
}

// watched has look called from now on.
func (t *tunnel) watched() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watch.begin(now())
	t.timer = time.AfterFunc(cmp.Or(t.l.idleTimeout, t.proxy.cfg.TCPIdleTimeout)/watchParts, t.look)
}

func (t *tunnel) kill() {
	t.Abandon()
	t.mu.Lock()
	c := t.chain
	t.mu.Unlock()
	if c != nil {
		c.Reset() // a feeder may be waiting for a filter
	}
}

// Abandon is part of filter.Host: it closes both sides.
func (t *tunnel) Abandon() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	if t.timer != nil {
		t.timer.Stop()
	}
	t.cancel()
	hangUp(t.nc)
	if t.up != nil {
		hangUp(t.up)
	}
}

func (t *tunnel) serve() {
	defer func() {
		if v := recover(); v != nil {
			t.Panicked(v, debug.Stack())
		}
		t.Abandon()
		if t.done != nil {
			t.done()
		}
		if t.f != nil {
			t.f.join()
		}
		took := time.Since(t.start)
		meter := t.l.meter
		if t.arm != nil {
			meter = t.arm.meter
		}
		meter.done(0, took, t.received, t.sent)
		if t.f != nil {
			t.f.chain.Closed(filter.Request, t.clientLast)
			t.f.chain.End(t.record(took))
		}
		t.l.gen.release()
	}()
	t.watched()
	if len(t.l.factories) > 0 {
		f := newPassage(t)
		if f.chain = filter.NewConnChain(f, t.proxy.filters.Pick(), t.proxy.cfg.BufferLimit, t.l.factories); f.chain != nil {
			t.f = f
			t.mu.Lock()
			t.chain = f.chain
			t.mu.Unlock()
			t.filtered()
			return
		}
	}
	if t.connect() {
		t.received, t.sent = splice(t.nc, t.up, t.first, nil, &t.watch)
	}
}

// connect chooses an endpoint and connects to it, and if that fails to another,
// as often as the listener says. A listener without target,
// or a target without endpoint, closes what it accepts.
func (t *tunnel) connect() bool {
	t.sync(func() { t.arm = t.l.split.pick() })
	if t.arm == nil {
		t.flags = "UH"
		return false
	}
	var (
		e      *endpoint
		up     net.Conn
		done   func()
		chosen time.Time
	)
	for attempt := uint32(1); up == nil; attempt++ {
		if e = t.arm.cluster.pick(t.ctx, clientHash(t.remote.Addr())); e == nil {
			t.flags = "UH"
			return false
		}
		chosen = time.Now()
		var err error
		if up, done, err = e.pool.tcp(t.ctx, t.arm.cluster); err != nil {
			t.proxy.log.Debug("upstream not connected", "listener", t.l.name, "upstream", e.pool.text, "attempt", attempt, "error", err)
			switch {
			case t.ctx.Err() != nil:
				return false
			case errors.Is(err, errOverflow):
				t.flags = "UO"
			case attempt < t.l.connectAttempts:
				continue
			default:
				t.flags = "UF,URX"
			}
			t.sync(func() { t.endpoint = e })
			return false
		}
	}
	t.sync(func() { t.endpoint = e })
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		up.Close()
		done()
		return false
	}
	t.up, t.done, t.ready = up, done, time.Since(chosen)
	return true
}

// sourceEnded notes that the side that is the source of direction d has ended. The
// filters hear of the upstream's end at once, and of the client's when all is
// over, as in Envoy.
func (t *tunnel) sourceEnded(d filter.Direction, err error) {
	broke := err != io.EOF && !errors.Is(err, net.ErrClosed)
	switch {
	case d == filter.Request:
		t.clientLast = broke || t.upstreamEnded.Load()
	case err == io.EOF:
		t.f.chain.Closed(filter.Response, true)
		t.upstreamEnded.Store(true)
	}
}

func (t *tunnel) sync(f func()) {
	if t.f == nil {
		f()
		return
	}
	t.f.chain.Sync(f)
}

// filtered carries the bytes through the filters. The client is read from once
// there is an upstream connection, as in Envoy; and where a filter does not let
// it connect yet, so that its end is noticed.
func (t *tunnel) filtered() {
	c := t.f.chain
	c.Headers(filter.Request, nil, false)
	received := make(chan uint64, 1)
	read := func() { received <- t.feed(filter.Request, t.nc) }
	o, ok := t.f.ready()
	held := !ok
	if held {
		go read()
		o, ok = t.f.await()
	}
	if ok {
		ok = t.connect() && t.write(filter.Request, o) == nil
		t.f.opened(ok, o)
		if ok {
			if !held {
				go read()
			}
			t.feed(filter.Response, t.up)
			t.received = <-received
			return
		}
	}
	c.Reset()
	if held {
		t.received = <-received
	}
}

// feed reads one side into the chain until it ends, and waits until that end
// has come through.
func (t *tunnel) feed(d filter.Direction, src net.Conn) (n uint64) {
	b := takeBuffer()
	defer b.release()
	for {
		k, err := src.Read(b.all[:])
		n += uint64(k)
		t.watch.flows[d].moved.Add(uint64(k))
		if k > 0 {
			t.f.chain.Data(d, b.all[:k], false)
			if !t.f.settle(d) {
				return n
			}
		}
		switch {
		case err == io.EOF:
			t.f.chain.Data(d, nil, true)
			t.sourceEnded(d, err)
			t.f.drain(d)
			return n
		case err != nil:
			t.sourceEnded(d, err)
			t.f.chain.Reset()
			return n
		}
	}
}

// write sends what has passed the filters.
func (t *tunnel) write(d filter.Direction, o filter.Output) error {
	dst := t.up
	if d == filter.Response {
		dst = t.nc
		t.sent += uint64(len(o.Data))
	}
	if len(o.Data) > 0 {
		if _, err := dst.Write(o.Data); err != nil {
			t.Abandon()
			return err
		}
	}
	if o.End {
		closeWrite(dst)
	}
	return nil
}

// Panicked is part of filter.Host.
func (t *tunnel) Panicked(v any, stack []byte) {
	t.proxy.log.Error("panic while serving a connection", "listener", t.l.name, "panic", v, "stack", string(stack))
}

// ClearRoute is part of filter.Host; a connection's target is chosen once.
func (t *tunnel) ClearRoute() {}

func (t *tunnel) record(took time.Duration) *filter.Record {
	r := &filter.Record{
		Start: t.start, Duration: took, BytesReceived: t.received, BytesSent: t.sent, Service: t.l.service,
		Flags: t.flags,
	}
	if t.arm != nil {
		r.Cluster = t.arm.cluster.name
	}
	if t.endpoint != nil {
		r.Upstream = t.endpoint.pool.text
	}
	return r
}
