package wasm

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/meshc/meshc/plugins/wasm/internal/abi"
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

	users   int  // guarded by maker.mu: its factories, and those being built
	running bool // it has instances; of whoever builds

	mu        sync.Mutex
	factories []*factory

	busy sync.WaitGroup // replacements being started, or waiting for their time
	gone sync.Once
	open sync.WaitGroup // places that are not closed
}

// newVM makes a VM that runs nowhere yet.
func newVM(m *maker, key vmKey, module *sharedModule, c *config) *vm {
	v := &vm{maker: m, key: key, module: module, space: m.spaces.Open(c.VMID), users: 1}
	v.config = &host.Config{
		VMID: c.VMID, Configuration: c.VMConfiguration, Env: c.environment(),
		CallTimeout: time.Duration(c.CallTimeout), StartTimeout: max(m.startTimeout, time.Duration(c.CallTimeout)),
		Space: v.space, Metrics: m.guests, Caller: m.process.Caller,
		Logs: func(l slog.Level) bool { return m.process.Log.Enabled(context.Background(), l) },
	}
	workers := m.process.Workers
	for n := range workers.Len() {
		v.places = append(v.places, &place{vm: v, worker: workers.At(n)})
		v.open.Add(1)
	}
	return v
}

// try starts and configures a guest that serves nobody, to see whether it will.
func (v *vm) try(f *factory) error {
	var said lastLines
	plugin := *f.plugin
	plugin.Log = said.add
	i, err := v.module.Start(v.config, true, said.add)
	if err == nil {
		_, err = i.AddRoot(&plugin)
		i.Close()
	}
	if err != nil {
		return said.explain(plain(err))
	}
	return nil
}

// add makes f's root in every worker's instance, and the instances themselves
// where there are none yet.
func (v *vm) add(ctx context.Context, f *factory) error {
	if v.running {
		v.mu.Lock()
		v.factories = append(v.factories, f)
		v.mu.Unlock()
		for _, p := range v.places {
			p.worker.Do(func() { p.addRoot(f) })
		}
		return nil
	}
	made := make([]*host.Instance, 0, len(v.places))
	roots := make([]*host.Root, 0, len(v.places))
	for range v.places {
		i, r, err := v.start([]*factory{f})
		if err == nil {
			made, roots = append(made, i), append(roots, r[0])
			err = ctx.Err()
		}
		if err != nil {
			for _, i := range made {
				i.Close()
			}
			return err
		}
	}
	v.running = true
	v.mu.Lock()
	v.factories = []*factory{f}
	v.mu.Unlock()
	for n, p := range v.places {
		p.worker.Do(func() { p.install(made[n], []*factory{f}, roots[n:n+1]) })
	}
	return nil
}

// start makes an instance with the roots of some factories.
func (v *vm) start(factories []*factory) (*host.Instance, []*host.Root, error) {
	begin := time.Now()
	i, err := v.module.Start(v.config, false, func(l abi.Level, text string) {
		if len(factories) > 0 {
			factories[0].plugin.Log(l, text)
		}
	})
	if err != nil {
		return nil, nil, plain(err)
	}
	roots := make([]*host.Root, 0, len(factories))
	for _, f := range factories {
		r, err := i.AddRoot(f.plugin)
		if err != nil {
			i.Close()
			return nil, nil, fmt.Errorf("%s: %w", f.name, plain(err))
		}
		roots = append(roots, r)
	}
	v.maker.metrics.started(time.Since(begin))
	return i, roots, nil
}

// uses returns the factories that have roots, or are to have them.
func (v *vm) uses() []*factory {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]*factory(nil), v.factories...)
}

// remove takes f's roots out of every instance; with last, the VM goes too.
func (v *vm) remove(f *factory, last bool) {
	v.mu.Lock()
	for n, other := range v.factories {
		if other == f {
			v.factories = append(v.factories[:n:n], v.factories[n+1:]...)
			break
		}
	}
	v.mu.Unlock()
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
	for _, p := range v.places {
		p.worker.Do(p.close)
	}
	v.finish()
}
