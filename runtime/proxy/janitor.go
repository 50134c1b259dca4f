package proxy

import (
	"context"
	"net"
	"syscall"
	"time"
)

// janitor keeps the clock and looks after whatever may have waited too long.
// One goroutine for all is what makes it free for a request: no timer is
// started and no deadline is set on the way.
func (p *Proxy) janitor() {
	ticker := time.NewTicker(p.cfg.tick)
	defer ticker.Stop()
	for {
		select {
		case <-p.stop:
			return
		case t := <-ticker.C:
			p.sweep(t.UnixNano())
		}
	}
}

// ended is a context that waits for nothing.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

func (p *Proxy) sweep(now int64) {
	p.clock.Store(now)
	p.mu.Lock()
	sockets := make([]*socket, 0, len(p.sockets)+len(p.draining))
	for _, s := range p.sockets {
		sockets = append(sockets, s)
	}
	for s := range p.draining {
		sockets = append(sockets, s)
	}
	var clusters []*cluster
	if p.current != nil {
		clusters = p.current.clusters
	}
	p.mu.Unlock()
	p.readmit()
	for _, s := range sockets {
		s.each(func(c connection) { c.check(now) })
		for _, c := range s.overdue(now) {
			c.kill()
		}
	}
	var pools []*pool
	for _, c := range clusters {
		pools = c.state.appendPools(pools[:0])
		for _, pl := range pools {
			pl.sweep(now, c.idleTimeout)
		}
		if c.dns == nil {
			continue
		}
		if len(c.checks) > 0 { // others are resolved when they are wanted
			c.dns.resolve(ended)
		}
		if last := c.dns.last.Load(); last != nil {
			c.state.forget(last.endpoints, now-int64(c.idleTimeout))
		}
	}
}

// peek looks at a socket without reading from it: gone says that the peer has
// closed its side and everything it sent was read, waiting that there are
// bytes to read.
func peek(c any) (gone, waiting bool) {
	if nc, ok := c.(net.Conn); ok {
		c = bare(nc)
	}
	sc, ok := c.(syscall.Conn)
	if !ok {
		return false, false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return true, false
	}
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case n > 0:
			waiting = true
		case err == nil:
			gone = true
		case err != syscall.EAGAIN && err != syscall.EINTR:
			gone = true
		}
	})
	return gone || err != nil, waiting
}
