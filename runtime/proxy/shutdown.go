package proxy

import (
	"context"
	"fmt"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// Shutdown stops accepting and lets what goes on finish: requests get
// connection: close, idle connections are closed. Inbound listeners stay open
// for what goes on at the others, half of the time at most. After DrainTimeout, or
// when ctx ends, the rest is cut off, and the error says how many connections that
// were.
func (p *Proxy) Shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.DrainTimeout)
	defer cancel()
	p.mu.Lock()
	if p.stopped {
		p.mu.Unlock()
		return errStopped
	}
	p.stopped = true
	p.mu.Unlock()

	cut := p.drainAll(ctx)
	close(p.stop)
	p.workers.Wait()
	p.calls.stop()
	p.names.wait()
	p.mu.Lock()
	last := p.current
	p.current = nil
	p.mu.Unlock()
	if last != nil {
		adopt(last.clusters, nil)
		last.release()
	}
	p.checks.Wait()
	ended := make(chan struct{})
	go func() {
		p.upstreams.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done(): // a server that reads nothing must not keep the process
		p.log.Warn("connections to endpoints were left open at shutdown")
	}
	if cut > 0 {
		return fmt.Errorf("%d connections were cut off", cut)
	}
	return nil
}

// drainAll closes all sockets and waits for their connections until ctx, which has
// a deadline, ends; then it cuts off the rest and returns how many those were.
// p.stopped is set.
func (p *Proxy) drainAll(ctx context.Context) (cut int) {
	deadline, _ := ctx.Deadline()
	half, cancel := context.WithTimeout(ctx, time.Until(deadline)/2)
	defer cancel()
	for _, s := range p.shut(func(s *socket) bool { return !s.inbound() }) {
		s.wait(half)
	}
	for _, s := range p.shut(func(*socket) bool { return true }) {
		if !s.wait(ctx) {
			cut += s.cut()
		}
	}
	return cut
}

// shut closes the sockets that which is true of, and returns all such that drain by
// then, those of earlier snapshots included.
func (p *Proxy) shut(which func(*socket) bool) (all []*socket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, s := range p.sockets {
		if which(s) {
			delete(p.sockets, key)
			s.close()
			p.drain(s)
		}
	}
	for s := range p.draining {
		if which(s) {
			all = append(all, s)
		}
	}
	return all
}

// inbound reports whether s takes what comes to the services beside the proxy,
// which may come from this proxy's other listeners.
func (s *socket) inbound() bool { return s.serving.Load().direction == snapshot.Inbound }

// wait waits for the connections of a socket that drains, until ctx ends. It
// reports whether they have ended.
func (s *socket) wait(ctx context.Context) (ended bool) {
	select {
	case <-s.ended:
		return true
	case <-ctx.Done():
		return false
	}
}

// cut cuts off the connections of a socket that drains, and returns how many
// those were.
func (s *socket) cut() (n int) {
	<-s.accepted
	n = s.each(connection.kill)
	<-s.ended
	return n
}
