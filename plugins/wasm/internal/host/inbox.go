package host

import (
	"github.com/meshc/meshc/runtime/filter"
)

// delivery is something for an instance, with the bytes that are kept until then.
type delivery struct {
	held int
	f    func()
}

// Serve makes the instance the worker's: from here on it is touched only
// inside w. It is called inside w. onTrap is called, inside w, when it ends by
// a trap, after its streams were dealt with; it gets the plugin in whose
// callback that was.
func (i *Instance) Serve(w *filter.Worker, onTrap func(*Trap, *Plugin)) {
	i.onTrap = onTrap
	i.inbox.Lock()
	i.inbox.worker = w
	waiting := i.inbox.waiting
	i.inbox.waiting = nil
	i.inbox.Unlock()
	if i.config.Space != nil {
		i.config.Space.take(i)
	}
	for _, d := range waiting {
		i.take(d)
	}
}

// serves reports whether Serve was called.
func (i *Instance) serves() bool {
	i.inbox.Lock()
	defer i.inbox.Unlock()
	return i.inbox.worker != nil
}

// post runs f in the instance's worker, unless the instance has ended. It may
// be called from anywhere and never waits.
func (i *Instance) post(f func()) { i.deliver(0, f) }

// deliver is post for something that was made with bytes of the account: they
// are given back when f has run, or is not to be run any more. It reports
// whether f runs in a worker, now or soon.
func (i *Instance) deliver(held int, f func()) bool {
	d := delivery{held, f}
	i.inbox.Lock()
	w := i.inbox.worker
	ended := w == nil && i.inbox.closed
	if w == nil && !ended {
		i.inbox.waiting = append(i.inbox.waiting, d)
	}
	i.inbox.Unlock()
	switch {
	case w != nil:
		w.Post(func() { i.take(d) })
	case ended:
		i.config.Held.hold(-held)
	}
	return w != nil
}

// take runs what was delivered.
func (i *Instance) take(d delivery) {
	defer i.config.Held.hold(-d.held)
	if i.trap == nil && i.module != nil {
		d.f()
	}
}
