package wasm

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/meshc/meshc/plugins/wasm/internal/host"
)

// startTimeout is maker.startTimeout. Nothing waits for a start but a reload, a
// replacement, and streams that would be refused otherwise.
const startTimeout = 5 * time.Second

// vm is a module with one configuration of its VM: an instance in each worker,
// and a root in each instance for each use.
type vm struct {
	maker  *maker
	key    vmKey
	module *sharedModule
	space  *host.Space
	config *host.Config
	places []*place // by worker

	users int // guarded by maker.mu: its factories, and those being built

	mu      sync.Mutex
	serving []*factory // those committed that new streams may be for, in the order of their roots
	next    *crew      // prepared, and not in service everywhere

	busy sync.WaitGroup // replacements being started, or waiting for their time
	gone sync.Once
	open sync.WaitGroup // places that are not closed
}

// newVM makes a VM that runs nowhere yet.
func newVM(m *maker, key vmKey, module *sharedModule, mesh string, c *config) *vm {
	v := &vm{maker: m, key: key, module: module, space: m.spaces.Open(mesh, c.VMID), users: 1}
	v.config = &host.Config{
		VMID: c.VMID, Configuration: c.VMConfiguration, Env: c.environment(),
		CallTimeout: time.Duration(c.CallTimeout), StartTimeout: max(m.startTimeout, time.Duration(c.CallTimeout)),
		Space: v.space, Held: host.NewAccount(c.Memory, m.process.Workers.Len()), Metrics: m.guests, Caller: m.process.Caller,
		Logs: func(l slog.Level) bool { return m.process.Log.Enabled(context.Background(), l) },
	}
	workers := m.process.Workers
	for n := range workers.Len() {
		v.places = append(v.places, &place{vm: v, worker: workers.At(n)})
		v.open.Add(1)
	}
	return v
}

// prepare makes the instances that will serve f, beside those that serve and
// without a touch on them: with the roots of the uses that are there, and f's
// as the last. What this snapshot has prepared already is used, since it serves
// nobody. A use of the same name is being replaced: its instance stays as long
// as it is in use.
func (v *vm) prepare(ctx context.Context, f *factory) error {
	v.mu.Lock()
	used := v.next != nil && v.next.used
	v.mu.Unlock()
	if used {
		v.commit()
	}
	replaced := func(u *factory) bool { return u.name == f.name && slices.Contains(v.serving, u) }
	v.mu.Lock()
	c, uses := v.next, v.serving
	v.next = nil // nobody takes from what is being altered
	if c != nil {
		uses = c.uses
	}
	if c == nil || slices.ContainsFunc(uses, replaced) {
		if c != nil {
			c.close()
		}
		c = &crew{vm: v, instances: make([]*instance, len(v.places))}
		c.uses = slices.DeleteFunc(slices.Clone(uses), replaced)
	}
	v.mu.Unlock()
	if err := c.add(ctx, f); err != nil {
		v.discard(c)
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	c.uses = slices.DeleteFunc(c.uses, func(u *factory) bool { return u.removed })
	v.next = c
	return nil
}

// discard gives up a crew that failed, and with it the uses that have no other:
// those of a snapshot that is refused.
func (v *vm) discard(c *crew) {
	c.close()
	v.mu.Lock()
	lost := slices.DeleteFunc(c.uses, func(u *factory) bool { return slices.Contains(v.serving, u) })
	v.mu.Unlock()
	m := v.maker
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, u := range lost {
		if m.factories[u.key] == u {
			delete(m.factories, u.key)
		}
	}
}

// commit takes into service what was prepared.
func (v *vm) commit() {
	for n, p := range v.places {
		v.mu.Lock()
		waits := v.next != nil && v.next.instances[n] != nil
		v.mu.Unlock()
		if waits {
			p.worker.Do(func() { p.succeed(nil) })
		}
	}
}

// take returns the instance that is prepared for place n, or nil where there is
// none; with a use, only if it is that use's turn to have it.
func (v *vm) take(n int, f *factory) *instance {
	v.mu.Lock()
	defer v.mu.Unlock()
	c := v.next
	if c == nil || c.instances[n] == nil ||
		f != nil && (!slices.Contains(c.uses, f) || !c.used && slices.Contains(v.serving, f)) {
		return nil
	}
	x := c.instances[n]
	c.instances[n], c.used = nil, true
	v.serving = slices.Clone(c.uses)
	if !slices.ContainsFunc(c.instances, func(x *instance) bool { return x != nil }) {
		v.next = nil
	}
	return x
}

// remove takes f's roots out of every instance; with last, the VM goes too.
func (v *vm) remove(f *factory, last bool) {
	is := func(u *factory) bool { return u == f }
	v.mu.Lock()
	f.removed = true
	v.serving = slices.DeleteFunc(v.serving, is)
	c := v.next
	if c != nil {
		c.uses = slices.DeleteFunc(c.uses, is)
		aborted := !c.used && !slices.ContainsFunc(c.uses, func(u *factory) bool { return !slices.Contains(v.serving, u) })
		if last || aborted {
			v.next = nil
		} else {
			c = nil
		}
	}
	v.mu.Unlock()
	if c != nil {
		c.close()
	}
	for _, p := range v.places {
		p.worker.Post(func() { p.removeRoot(f, last) })
	}
	if last {
		go v.finish()
	}
}

// finish waits for all places to close, and lets go of what they shared.
func (v *vm) finish() {
	v.open.Wait()
	v.busy.Wait()
	v.gone.Do(func() {
		v.space.Close()
		v.maker.release(v.module)
		v.maker.mu.Lock()
		delete(v.maker.ending, v)
		v.maker.mu.Unlock()
	})
}

// end closes all at once, whatever the guests say.
func (v *vm) end() {
	v.mu.Lock()
	c := v.next
	v.next = nil
	v.mu.Unlock()
	if c != nil {
		c.close()
	}
	for _, p := range v.places {
		p.worker.Do(p.close)
	}
	v.finish()
}
