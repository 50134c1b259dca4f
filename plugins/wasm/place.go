package wasm

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/meshc/meshc/plugins"
	"github.com/meshc/meshc/plugins/wasm/internal/host"
	"github.com/meshc/meshc/runtime/filter"
)

// place is what a VM has in one worker: an instance that takes new streams, or
// none while a replacement is on its way, and those that others have succeeded.
// It is touched only inside the worker.
type place struct {
	vm       *vm
	worker   *filter.Worker
	instance *instance
	retired  []*instance

	replaced []*factory  // whom the replacement is for
	attempt  int         // numbers replacements, so that one that comes too late is known
	starting bool        // a replacement is being started now
	timer    *time.Timer // or will be, then
	ending   bool        // the last use is gone: the place closes when its roots are
	closed   bool
	backoff  backoff
	waiting  []waiter

	streams []*stream // free ones
}

// waiter is a stream or connection that waits for the replacement.
type waiter interface {
	// start is called with the use's root in the new instance.
	start(*seat)
	// fail is called when there will be none for now.
	fail()
	user() *factory
}

// succeed takes what was prepared for the place into service, if there is
// something; with a use, only if it is that use's turn.
func (p *place) succeed(f *factory) {
	if x := p.vm.take(p.worker.Index(), f); x != nil {
		p.install(x)
	}
}

// install puts an instance into service. The one before stays for what began
// in it.
func (p *place) install(x *instance) {
	if p.closed {
		x.Close()
		return
	}
	n := p.worker.Index()
	old := p.instance
	p.forgetReplacement()
	p.instance, x.place = x, p
	p.vm.maker.metrics.instances.Add(1)
	for _, s := range x.roots {
		if !s.use.gone[n] {
			s.use.seats[n] = s
		}
	}
	x.Serve(p.worker, func(t *host.Trap, in *host.Plugin) { p.trapped(x, t, in) })
	for _, s := range slices.Clone(x.roots) {
		if s.use.gone[n] { // while the instance was started
			x.dismiss(s)
		}
	}
	if p.instance == x { // not ended by what had waited for it
		waiting := p.waiting
		p.waiting = nil
		for _, w := range waiting {
			if s := w.user().seats[n]; s != nil {
				w.start(s)
			} else {
				w.fail()
			}
		}
	}
	if old != nil {
		old.retire()
	}
}

// removeRoot ends the root of a use; with last, the place closes after it.
func (p *place) removeRoot(f *factory, last bool) {
	n := p.worker.Index()
	f.gone[n] = true
	p.ending = p.ending || last
	s := f.seats[n]
	f.seats[n] = nil
	if s != nil {
		s.in.dismiss(s)
		s.in.rest()
	}
	p.settle()
}

// settle closes the place when it is ending and its last root is gone.
func (p *place) settle() {
	if p.ending && len(p.retired) == 0 && (p.instance == nil || len(p.instance.roots) == 0) {
		p.close()
	}
}

// close ends the place.
func (p *place) close() {
	if p.closed {
		return
	}
	p.closed = true
	p.forgetReplacement()
	all := slices.Clone(p.retired)
	if p.instance != nil {
		all = append(all, p.instance)
	}
	for _, x := range all {
		x.leave()
		x.Close()
	}
	p.refuse()
	p.vm.open.Done()
}

// refuse tells those who wait that there is nothing to wait for.
func (p *place) refuse() {
	waiting := p.waiting
	p.waiting = nil
	for _, w := range waiting {
		w.fail()
	}
}

// trapped follows the end of an instance by a trap. One that is retired is not
// replaced.
func (p *place) trapped(x *instance, t *host.Trap, in *host.Plugin) {
	serves := p.instance == x
	if serves {
		p.replaced = nil
		for _, s := range x.roots {
			p.replaced = append(p.replaced, s.use)
		}
	}
	x.leave()
	if serves {
		p.replace(t.Reason, detail(t), in.Name)
		return
	}
	p.vm.maker.fault(plugins.Fault{Time: time.Now(), Use: in.Name, Reason: t.Reason, Detail: detail(t)})
	p.settle()
}

// replace reports a fault and sees to a replacement.
func (p *place) replace(reason, detail, use string) {
	now := time.Now()
	fault := plugins.Fault{Time: now, Use: use, Reason: reason, Detail: detail}
	p.settle()
	if !p.closed {
		wait := p.backoff.next(now)
		fault.Restart = now.Add(wait)
		p.vm.busy.Add(1)
		p.attempt++
		attempt := p.attempt
		if wait == 0 {
			p.start()
		} else {
			p.refuse()
			p.timer = time.AfterFunc(wait, func() {
				p.worker.Post(func() {
					if p.attempt != attempt {
						p.vm.busy.Done()
						return
					}
					p.timer = nil
					p.start()
				})
			})
		}
	}
	p.vm.maker.fault(fault)
}

// start has the replacement made, outside of the worker.
func (p *place) start() {
	attempt, n := p.attempt, p.worker.Index()
	p.replaced = slices.DeleteFunc(p.replaced, func(f *factory) bool { return f.gone[n] })
	if len(p.replaced) == 0 { // a successor has been prepared, or all are going
		p.refuse()
		p.vm.busy.Done()
		return
	}
	p.starting = true
	uses := slices.Clone(p.replaced)
	go func() {
		x, failed, err := p.vm.start(uses)
		p.worker.Post(func() {
			defer p.vm.busy.Done()
			if p.attempt != attempt {
				if err == nil {
					x.Close()
				}
				return
			}
			p.starting = false
			if err != nil {
				p.refuse()
				p.replace("start", err.Error(), failed.name)
				return
			}
			p.install(x)
		})
	}()
}

// forgetReplacement gives up one that is on its way: it is too late.
func (p *place) forgetReplacement() {
	p.attempt++
	p.starting = false
	if p.timer != nil {
		if p.timer.Stop() {
			p.vm.busy.Done()
		}
		p.timer = nil
	}
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
