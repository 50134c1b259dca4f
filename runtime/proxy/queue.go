package proxy

import (
	"context"
	"slices"
)

// slot counts a connection of c that is about to be opened, until gone. Where
// c has MaxConnections it returns a place in the queue for one of p's instead;
// a pool without any may open one in any case, as in Envoy.
func (p *pool) slot(c *cluster) (wait chan *upstream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	connections := &p.state.load.connections
	if !connections.take(c.thresholds.MaxConnections) {
		if p.open > 0 {
			wait = make(chan *upstream, 1)
			p.waiting = append(p.waiting, wait)
			return wait
		}
		connections.take(0)
	}
	p.open++
	return nil
}

// gone uncounts a connection: it is closed, or could not be opened.
func (p *pool) gone() {
	p.state.load.connections.give()
	p.mu.Lock()
	p.open--
	if w := p.first(); w != nil {
		w <- nil
	}
	p.mu.Unlock()
}

// await waits in the queue.
func (p *pool) await(ctx context.Context, w chan *upstream) (*upstream, error) {
	select {
	case u := <-w:
		return u, nil
	case <-ctx.Done():
		p.renounce(w)
		return nil, ctx.Err()
	}
}

// renounce leaves the queue.
func (p *pool) renounce(w chan *upstream) {
	p.mu.Lock()
	i := slices.Index(p.waiting, w)
	if i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
	}
	p.mu.Unlock()
	if i < 0 { // its turn had come: to the next
		if u := <-w; u != nil {
			p.put(u)
		} else {
			p.mu.Lock()
			if next := p.first(); next != nil {
				next <- nil
			}
			p.mu.Unlock()
		}
	}
}

// first takes the first of those who wait; nil where nobody does. p.mu is held.
func (p *pool) first() chan *upstream {
	if len(p.waiting) == 0 {
		return nil
	}
	w := p.waiting[0]
	p.waiting = slices.Delete(p.waiting, 0, 1)
	return w
}
