package wasm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meshc/meshc/plugins"
	"github.com/meshc/meshc/plugins/wasm/internal/host"
	"github.com/meshc/meshc/runtime/filter"
)

// maker is the kind in one process. Its lock is never held while a worker is
// entered.
type maker struct {
	process plugins.Process
	engine  *host.Engine
	spaces  *host.Spaces
	guests  *host.Metrics
	metrics *metrics
	// startTimeout bounds each step of starting a guest.
	startTimeout time.Duration

	// building is held by whoever makes a factory that is not there yet: one
	// at a time, since each may take a processor for seconds.
	building chan struct{}

	mu        sync.Mutex
	factories map[useKey]*factory
	vms       map[vmKey]*vm
	modules   map[moduleKey]*sharedModule
	ending    map[*vm]bool // those without a use that are not gone yet
}

// useKey tells uses apart.
type useKey struct {
	name, digest, config, clusters string
	tcp                            bool
}

// moduleKey tells compiled modules apart: the limit is compiled in.
type moduleKey struct {
	digest string
	memory uint64
}

type sharedModule struct {
	*host.Module
	key   moduleKey
	users int
}

func open(p plugins.Process) (*maker, error) {
	engine, err := host.NewEngine(p.StateDir)
	if err != nil {
		p.Log.Warn("compiled modules are not kept over restarts", "error", err)
		engine, _ = host.NewEngine("") // without a folder it cannot fail
	}
	m := &maker{
		process: p, engine: engine, spaces: host.NewSpaces(), guests: host.NewMetrics(),
		startTimeout: startTimeout,
		building:     make(chan struct{}, 1),
		factories:    map[useKey]*factory{}, vms: map[vmKey]*vm{}, modules: map[moduleKey]*sharedModule{}, ending: map[*vm]bool{},
	}
	m.metrics = newMetrics(m)
	return m, nil
}

// Metrics is part of plugins.Maker.
func (m *maker) Metrics() prometheus.Collector { return m.metrics }

// New is part of plugins.Maker.
func (m *maker) New(ctx context.Context, u plugins.Use) (filter.Factory, error) {
	key := useKey{u.Name, u.Digest, u.Config, strings.Join(u.Clusters, "\x00"), u.TCP}
	if f := m.known(key); f != nil {
		return f, nil
	}
	select {
	case m.building <- struct{}{}:
		defer func() { <-m.building }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if f := m.known(key); f != nil {
		return f, nil
	}
	f, err := m.build(ctx, key, u)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// known returns the factory that an equal use has, for one more user.
func (m *maker) known(key useKey) *factory {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.factories[key]
	if f != nil {
		f.users++
	}
	return f
}

// build makes the factory of a use: the module compiled, and started with its
// configuration for every worker.
func (m *maker) build(ctx context.Context, key useKey, u plugins.Use) (*factory, error) {
	c, err := parseConfig(u.Config)
	if err != nil {
		return nil, err
	}
	mesh, _, _ := strings.Cut(u.Name, "/")
	vmKey := c.vmKey(mesh, u.Digest)
	m.mu.Lock()
	v := m.vms[vmKey]
	if v != nil {
		v.users++
	}
	m.mu.Unlock()
	if v == nil {
		module, err := m.compile(ctx, moduleKey{u.Digest, c.Memory}, u.Blob)
		if err != nil {
			return nil, err
		}
		v = newVM(m, vmKey, module, mesh, &c)
	}
	f := newFactory(m, v, key, u, &c)
	if err = v.prepare(ctx, f); err != nil {
		if m.leave(v) {
			v.end()
		}
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.vms[vmKey] = v
	m.factories[key] = f
	return f, nil
}

// leave ends a use of a VM and reports whether it was the last.
func (m *maker) leave(v *vm) (last bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v.users--
	if v.users > 0 {
		return false
	}
	if m.vms[v.key] == v {
		delete(m.vms, v.key)
	}
	m.ending[v] = true
	return true
}

// compile returns the compiled module, for one more user.
func (m *maker) compile(ctx context.Context, key moduleKey, code string) (*sharedModule, error) {
	m.mu.Lock()
	s := m.modules[key]
	if s != nil {
		s.users++
	}
	m.mu.Unlock()
	if s != nil {
		return s, nil
	}
	compiled, err := m.engine.Compile(ctx, code, key.memory)
	if err != nil {
		return nil, err
	}
	s = &sharedModule{compiled, key, 1}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.modules[key] = s
	return s, nil
}

// release ends a use of a module.
func (m *maker) release(s *sharedModule) {
	m.mu.Lock()
	s.users--
	last := s.users == 0
	if last {
		delete(m.modules, s.key)
	}
	m.mu.Unlock()
	if last {
		s.Close()
	}
}

// Close is part of plugins.Maker. What still waits for its guest's word is
// ended without it.
func (m *maker) Close() {
	m.building <- struct{}{}
	defer func() { <-m.building }()
	m.mu.Lock()
	all := slices.AppendSeq(slices.Collect(maps.Values(m.vms)), maps.Keys(m.ending))
	clear(m.vms)
	clear(m.factories)
	m.mu.Unlock()
	for _, v := range all {
		v.end()
	}
}

// plain is an error about a guest that did not start in a few words, without
// traces of code. What the guest has logged is not part of it: that may repeat
// its configuration, and the error is shown to whoever may see the documents.
func plain(err error) error {
	var t *host.Trap
	if errors.As(err, &t) {
		return errors.New(detail(err))
	}
	return fmt.Errorf("%w; what it says of that is in the log", err)
}

// detail is the first line of an error, and the innermost functions of the
// guest where it has a trace.
func detail(err error) string {
	text, trace, traced := strings.Cut(err.Error(), "wasm stack trace:")
	text = strings.TrimSpace(strings.ReplaceAll(text, "(recovered by wazero)", ""))
	text, _, _ = strings.Cut(text, "\n")
	if !traced {
		return text
	}
	var frames []string
	for line := range strings.Lines(trace) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "0x") && len(frames) < 4 {
			frames = append(frames, line)
		}
		if strings.HasPrefix(line, "Go runtime") {
			break
		}
	}
	text += " in " + strings.Join(frames, " < ") // names that the guest has chosen
	return strings.ToValidUTF8(text[:min(len(text), maxDetail)], "")
}

// maxDetail bounds what is told of a fault, in bytes.
const maxDetail = 1 << 10
