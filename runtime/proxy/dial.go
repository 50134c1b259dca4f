package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net"

	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/proxy/http1"
)

// dial returns a connection for a request of c: a new one, or, where c may
// open no more, the first one that another request is done with. The error is
// errOverflow where c has too much in flight.
func (p *pool) dial(ctx context.Context, c *cluster) (*upstream, error) {
	if !p.state.load.pending.take(c.thresholds.MaxPendingRequests) {
		return nil, errOverflow
	}
	u, err := p.obtain(ctx, c)
	p.state.load.pending.give()
	if err != nil {
		if ctx.Err() == nil {
			c.report(p.standing, broke)
		}
		return nil, err
	}
	c.report(p.standing, connected)
	if !p.enter(c) {
		p.put(u)
		return nil, errOverflow
	}
	return u, nil
}

func (p *pool) obtain(ctx context.Context, c *cluster) (*upstream, error) {
	if c.http2 {
		return p.obtainStream(ctx, c)
	}
	for {
		w := p.slot(c)
		if w == nil {
			break
		}
		u, err := p.await(ctx, w)
		if err != nil {
			return nil, err
		}
		if u != nil && (p.outdated(u) || u.writeTimeout != c.writeTimeout) {
			u.close()
			continue
		}
		if u != nil {
			u.reused = true
			return u, nil
		}
	}
	nc, err := p.reach(ctx, c)
	if err != nil {
		p.gone()
		return nil, err
	}
	codec := http1.NewClientConn(nc, p.proxy.cfg.Limits)
	u := &upstream{pool: p, nc: nc, codec: codec, terms: termsOf(nc), writeTimeout: c.writeTimeout}
	codec.Informational = func(h *filter.Headers) {
		if u.interim != nil {
			u.interim(h)
		}
	}
	return u, nil
}

// tcp opens a connection of c that carries one connection from downstream;
// done is to be called when that has ended. The error is errOverflow where c
// has too much in flight.
func (p *pool) tcp(ctx context.Context, c *cluster) (nc net.Conn, done func(), err error) {
	l := &p.state.load
	if !l.connections.take(c.thresholds.MaxConnections) {
		return nil, nil, errOverflow
	}
	if !l.pending.take(c.thresholds.MaxPendingRequests) {
		l.connections.give()
		return nil, nil, errOverflow
	}
	nc, err = p.reach(ctx, c)
	l.pending.give()
	if err != nil {
		l.connections.give()
		switch {
		case ctx.Err() != nil:
		case isTimeout(err):
			c.report(p.standing, late)
		default:
			c.report(p.standing, broke)
		}
		return nil, nil, err
	}
	c.report(p.standing, carried)
	p.standing.active.Add(1)
	return nc, func() {
		p.standing.active.Add(-1)
		l.connections.give()
	}, nil
}

// reach opens a connection for traffic.
func (p *pool) reach(ctx context.Context, c *cluster) (net.Conn, error) {
	p.state.meter.connects.Add(1)
	nc, err := p.connect(ctx, c)
	if err != nil {
		p.state.meter.failures.Add(1)
	}
	return nc, err
}

// connect opens a connection, its TLS handshake included, within the cluster's
// connect timeout.
func (p *pool) connect(ctx context.Context, c *cluster) (net.Conn, error) {
	if p.secured != nil {
		ctx, done := context.WithTimeout(ctx, c.connectTimeout)
		defer done()
		nc, err := p.bare(ctx, c)
		if err != nil {
			return nil, err
		}
		nc, err = p.secured.shake(ctx, nc)
		if failed, ok := errors.AsType[*tlsError](err); ok {
			p.state.handshakes.fail(p.proxy.log, "TLS handshake with an endpoint failed", slog.String("cluster", c.name),
				slog.String("endpoint", p.text), slog.Any("error", failed.err))
		}
		return nc, err
	}
	return p.bare(ctx, c)
}

// bare opens a connection without TLS within the cluster's connect timeout.
func (p *pool) bare(ctx context.Context, c *cluster) (net.Conn, error) {
	d := net.Dialer{Timeout: c.connectTimeout, Control: limitWrites(c.writeTimeout)}
	network := "tcp"
	if c.udp {
		network = "udp"
	}
	return d.DialContext(ctx, network, p.text)
}
