package proxy

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/proxy/http2"
)

// shared is an upstream connection of HTTP/2, which carries many requests.
type shared struct {
	nc    net.Conn
	conn  *http2.ClientConn
	terms terms
}

// opening is a shared connection that is being opened. Those who come
// meanwhile wait for it.
type opening struct {
	done chan struct{}
	err  error // valid when done is closed
}

// ofStreams are upstreams that are one stream each, with their storage.
var ofStreams = sync.Pool{New: func() any {
	u := &upstream{shared: true}
	u.inform = func(h *filter.Headers) {
		if u.interim != nil {
			u.interim(h)
		}
	}
	return u
}}

// stream returns a place on a shared connection, or nil. The one opened first is filled
// first, so that the others can grow old. p.mu is held.
func (p *pool) stream(on terms) *upstream {
	for _, c := range p.shared {
		if c.terms != on {
			continue
		}
		if s, reused := c.conn.Open(); s != nil {
			u := ofStreams.Get().(*upstream)
			u.pool, u.nc, u.codec, u.reused = p, c.nc, s, reused
			s.Informational = u.inform
			return u
		}
	}
	return nil
}

// obtainStream returns a stream on a shared connection, a new one where all
// are full. Where c may open no more, it waits for a place.
func (p *pool) obtainStream(ctx context.Context, c *cluster) (*upstream, error) {
	for {
		on := p.terms()
		p.mu.Lock()
		u, d := p.stream(on), p.opening
		if u == nil && d == nil {
			d = &opening{done: make(chan struct{})}
			p.opening = d
			p.mu.Unlock()
			if u, err := p.dialShared(ctx, c, d); u != nil || err != nil {
				return u, err
			}
			continue
		}
		p.mu.Unlock()
		if u != nil {
			return u, nil
		}
		select {
		case <-d.done:
			if d.err != nil {
				return nil, d.err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// dialShared opens a shared connection, which d stands for, and returns a
// stream on it; neither that nor an error where there may be a place by now.
func (p *pool) dialShared(ctx context.Context, c *cluster, d *opening) (u *upstream, err error) {
	var nc net.Conn
	w := p.slot(c)
	if w == nil {
		if nc, err = p.reach(ctx, c); err != nil {
			p.gone()
		}
	}
	on := p.terms()
	p.mu.Lock()
	p.opening = nil
	if err != nil && ctx.Err() == nil {
		d.err = err // and not that of a request that was given up
	}
	close(d.done)
	if nc != nil {
		u = p.share(nc)
	}
	if w != nil {
		u = p.stream(on) // a place that came before w could be told of it
	}
	p.mu.Unlock()
	switch {
	case w == nil:
		return u, err
	case u != nil:
		p.renounce(w)
		return u, nil
	}
	if other, err := p.await(ctx, w); err != nil {
		return nil, err
	} else if other != nil {
		p.put(other) // of the time before the cluster spoke HTTP/2
	}
	return nil, nil
}

// share makes nc a shared connection and returns its first stream; p.mu is held.
func (p *pool) share(nc net.Conn) *upstream {
	c := &shared{nc, http2.NewClientConn(nc, http2Limits(p.proxy.cfg.Limits)), termsOf(nc)}
	p.shared = append(p.shared, c)
	u := p.stream(c.terms)
	if p.closed {
		c.conn.Drain()
	}
	p.proxy.upstreams.Go(func() {
		c.conn.Serve()
		p.mu.Lock()
		p.shared = slices.DeleteFunc(p.shared, func(other *shared) bool { return other == c })
		p.mu.Unlock()
		p.gone()
	})
	return u
}

// getStream returns a stream on a shared connection for a request of c, or nil
// where there is no place. The error is errOverflow.
func (p *pool) getStream(c *cluster) (*upstream, error) {
	on := p.terms()
	p.mu.Lock()
	u := p.stream(on)
	p.mu.Unlock()
	if u == nil {
		return nil, nil
	}
	if !p.enter(c) {
		u.end(false)
		return nil, errOverflow
	}
	c.report(p.standing, connected)
	return u, nil
}

// end ends u, a stream, whose exchange was whole or not.
func (u *upstream) end(whole bool) {
	u.ending.Lock()
	u.ended = true
	u.ending.Unlock()
	if whole {
		u.codec.Next()
	} else {
		u.codec.Close()
	}
	p := u.pool
	p.mu.Lock()
	if w := p.first(); w != nil {
		w <- nil // there is a place
	}
	p.mu.Unlock()
	if whole { // else somebody may be about to abort it
		u.pool, u.nc, u.codec, u.interim, u.ended = nil, nil, nil, nil, false
		ofStreams.Put(u)
	}
}

// tick is sweep for shared connections.
func (p *pool) tick(now int64, idle time.Duration) {
	p.mu.Lock()
	all := slices.Clone(p.shared)
	p.mu.Unlock()
	if len(all) == 0 {
		return
	}
	on := p.terms()
	for _, c := range all {
		if c.terms != on {
			c.conn.Drain()
		}
		c.conn.Tick(now, idle, p.proxy.cfg.StreamIdleTimeout)
	}
}
