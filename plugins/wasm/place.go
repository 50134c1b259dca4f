package wasm

import (
	"math/rand/v2"
	"time"

	"github.com/meshc/meshc/plugins"
	"github.com/meshc/meshc/plugins/wasm/internal/host"
	"github.com/meshc/meshc/runtime/filter"
)

// place is what a VM has in one worker: an instance, or none while a
// replacement is on its way. It is touched only inside the worker.
type place struct {
	vm       *vm
	worker   *filter.Worker
	instance *host.Instance
	starting bool        // a replacement is being started now
	timer    *time.Timer // or will be, then
	ending   bool        // the last use is gone: the place closes when its root is
	closed   bool
	backoff  backoff
	waiting  []waiter

	streams []*stream // free ones
	conns   []*conn
}

// waiter is a stream or connection that waits for the replacement.
type waiter interface {
	// start is called with the root in the new instance.
	start(*host.Root)
	// fail is called when there will be none for now.
	fail()
	user() *factory
}

// install puts an instance into service; factories are those whose roots it has.
func (p *place) install(i *host.Instance, factories []*factory, roots []*host.Root) {
	if p.closed {
		i.Close()
		return
	}
	p.instance = i
	p.vm.maker.metrics.instances.Add(1)
	i.Serve(p.worker, p.trapped)
	n := p.worker.Index()
	for k, f := range factories {
		if p.instance == nil {
			return // ended by what had waited for it
		}
		if f.gone[n] {
			roots[k].Remove(func() {})
		} else {
			f.roots[n] = roots[k]
		}
	}
	for _, f := range p.vm.uses() {
		if f.roots[n] == nil {
			p.addRoot(f) // attached meanwhile
		}
	}
	waiting := p.waiting
	p.waiting = nil
	for _, w := range waiting {
		if r := w.user().roots[n]; r != nil {
			w.start(r)
		} else {
			w.fail()
		}
	}
}

// addRoot makes the root of a use in the instance that serves. The check has
// passed it, so a guest that refuses now is a guest that fails.
func (p *place) addRoot(f *factory) {
	i := p.instance
	if i == nil || p.closed || f.roots[p.worker.Index()] != nil {
		return // the replacement will have it
	}
	r, err := i.AddRoot(f.plugin)
	if err != nil {
		i.Fail(r, err)
		return
	}
	f.roots[p.worker.Index()] = r
}

// patience is how long a guest whose on_done said "later" has to say when.
const patience = 5 * time.Second

// removeRoot ends the root of a use; with last, the place closes after it.
func (p *place) removeRoot(f *factory, last bool) {
	n := p.worker.Index()
	f.gone[n] = true
	p.ending = p.ending || last
	r := f.roots[n]
	f.roots[n] = nil
	if p.closed {
		return
	}
	if r == nil || p.instance == nil {
		if p.ending {
			p.close()
		}
		return
	}
	gone := false
	var timer *time.Timer
	r.Remove(func() {
		gone = true
		if timer != nil {
			timer.Stop()
		}
		if p.ending {
			p.close()
		}
	})
	if !gone {
		timer = time.AfterFunc(patience, func() { p.worker.Post(r.Delete) })
	}
}

// close ends the place.
func (p *place) close() {
	if p.closed {
		return
	}
	p.closed = true
	if p.timer != nil && p.timer.Stop() {
		p.vm.busy.Done()
	}
	if p.instance != nil {
		p.instance.Close()
		p.leave()
	}
	p.refuse()
	p.vm.open.Done()
}

// leave takes the instance out of service.
func (p *place) leave() {
	p.instance = nil
	p.vm.maker.metrics.instances.Add(-1)
	for _, f := range p.vm.uses() {
		f.roots[p.worker.Index()] = nil
	}
}

// refuse tells those who wait that there is nothing to wait for.
func (p *place) refuse() {
	waiting := p.waiting
	p.waiting = nil
	for _, w := range waiting {
		w.fail()
	}
}

// trapped follows the end of the instance by a trap.
func (p *place) trapped(t *host.Trap, in *host.Plugin) {
	p.leave()
	p.replace(t.Reason, detail(t), in.Name)
}

// replace reports a fault and sees to a replacement.
func (p *place) replace(reason, detail, use string) {
	now := time.Now()
	fault := plugins.Fault{Time: now, Use: use, Reason: reason, Detail: detail}
	if p.ending {
		p.close()
	} else {
		wait := p.backoff.next(now)
		fault.Restart = now.Add(wait)
		p.vm.busy.Add(1)
		if wait == 0 {
			p.starting = true
			go p.start()
		} else {
			p.refuse()
			p.timer = time.AfterFunc(wait, func() {
				p.worker.Post(func() { p.timer, p.starting = nil, !p.closed })
				p.start()
			})
		}
	}
	p.vm.maker.fault(fault)
}

// start makes the replacement, outside of the worker.
func (p *place) start() {
	defer p.vm.busy.Done()
	factories := p.vm.uses()
	i, roots, err := p.vm.start(factories)
	p.worker.Post(func() {
		p.starting = false
		switch {
		case err == nil:
			p.install(i, factories, roots)
		case !p.closed:
			p.refuse()
			use := ""
			if len(factories) > 0 {
				use = factories[0].name
			}
			p.replace("start", err.Error(), use)
		}
	})
}

// backoff says when an instance that failed is replaced: the first time at
// once, then after 1 s, 2 s … 60 s, at most budget times in a minute. A good
// minute makes it forget.
type backoff struct {
	failures int
	last     time.Time
	starts   [budget]time.Time // of the last replacements, a ring
	at       int               // the oldest of them
}

const (
	budget     = 5
	budgetTime = time.Minute
	firstWait  = time.Second
	longWait   = time.Minute
)

// next returns how long to wait before the next replacement.
func (b *backoff) next(now time.Time) time.Duration {
	if now.Sub(b.last) > budgetTime {
		b.failures = 0
	}
	b.failures++
	wait := time.Duration(0)
	if b.failures > 1 {
		wait = min(firstWait<<min(b.failures-2, 10), longWait)
		wait = wait*3/4 + rand.N(wait/2) // ± a quarter, so that workers do not march in step
	}
	oldest := b.starts[b.at]
	if free := oldest.Add(budgetTime).Sub(now); !oldest.IsZero() && free > wait {
		wait = free
	}
	b.last = now.Add(wait)
	b.starts[b.at] = b.last
	b.at = (b.at + 1) % budget
	return wait
}
