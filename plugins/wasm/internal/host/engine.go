// Package host runs Proxy-Wasm guests on wazero, as Envoy 1.40 runs them on V8.
//
// An Engine compiles modules; an Instance is one module with a memory, its
// roots (one a plugin) and its streams. An Instance belongs to one
// filter.Worker: whoever touches it is inside that worker, so it holds no lock.
// What several instances share (Spaces, Metrics) has locks of its own.
package host

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/meshc/meshc/plugins/wasm/internal/abi"
	"github.com/meshc/meshc/plugins/wasm/internal/module"
)

// Engine compiles modules and holds what all instances of a process link to.
type Engine struct {
	runtime wazero.Runtime
	cache   wazero.CompilationCache
}

// NewEngine starts an engine. Compiled code is kept in stateDir/wasm over
// restarts; where stateDir is empty it lives as long as the engine.
func NewEngine(stateDir string) (*Engine, error) {
	ctx := context.Background()
	cache := wazero.NewCompilationCache()
	if stateDir != "" {
		var err error
		if cache, err = wazero.NewCompilationCacheWithDir(filepath.Join(stateDir, "wasm")); err != nil {
			return nil, fmt.Errorf("cache of compiled modules: %w", err)
		}
	}
	// The flag that closes a module when a context ends is off: it costs 2 µs a
	// call. What the loader puts into each module stops it instead.
	config := wazero.NewRuntimeConfigCompiler().WithCompilationCache(cache).WithMemoryLimitPages(maxMemory / pageSize).WithDebugInfoEnabled(false)
	e := &Engine{runtime: wazero.NewRuntimeWithConfig(ctx, config), cache: cache}
	if err := e.link(ctx); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

// maxMemory is the most that any guest may have: Envoy's limit.
const (
	pageSize  = 64 << 10
	maxMemory = 1 << 30
)

// link registers the host functions, all of them, under the names of each
// module that guests import them from.
func (e *Engine) link(ctx context.Context) error {
	builders := map[string]wazero.HostModuleBuilder{}
	seen := map[string]bool{}
	for _, version := range []module.ABI{module.ABI010, module.ABI020, module.ABI021} {
		for _, f := range module.HostFunctions(version) {
			if seen[f.Module+"."+f.Name] {
				continue
			}
			seen[f.Module+"."+f.Name] = true
			impl, ok := imports[f.Name]
			if !ok {
				if !strings.HasPrefix(f.Module, "wasi_") {
					return fmt.Errorf("no host function %s", f.Name)
				}
				impl = hostFunction{call: wasiUnsupported, atStart: true}
			}
			b := builders[f.Module]
			if b == nil {
				b = e.runtime.NewHostModuleBuilder(f.Module)
				builders[f.Module] = b
			}
			b.NewFunctionBuilder().WithGoModuleFunction(impl.bind(f.Name, len(f.Signature.Results) > 0),
				f.Signature.Params, f.Signature.Results).Export(f.Name)
		}
	}
	builders[module.FuelModule] = e.runtime.NewHostModuleBuilder(module.FuelModule)
	builders[module.FuelModule].NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(refuel), nil, []api.ValueType{api.ValueTypeI64}).Export(module.FuelName)
	for name, b := range builders {
		if _, err := b.Instantiate(ctx); err != nil {
			return fmt.Errorf("host functions of %s: %w", name, err)
		}
	}
	return nil
}

// Close ends the engine. No instance may be in use any more.
func (e *Engine) Close() {
	e.runtime.Close(context.Background())
	e.cache.Close(context.Background())
}

// Module is a compiled module.
type Module struct {
	compiled wazero.CompiledModule
	version  abi.Version
	engine   *Engine
}

// Compile compiles code for guests with at most memory bytes. Its errors are
// for the author of the module. It stops early when ctx ends.
func (e *Engine) Compile(ctx context.Context, code []byte, memory uint64) (*Module, error) {
	m, err := module.Parse(code)
	if err != nil {
		return nil, err
	}
	pages := uint32(min(memory, maxMemory) / pageSize)
	if problems := m.Problems(pages); len(problems) > 0 {
		return nil, fmt.Errorf("%s", strings.Join(problems, "; "))
	}
	version, err := m.ABI()
	if err != nil {
		return nil, err
	}
	metered, err := m.Meter(pages)
	if err != nil {
		return nil, err
	}
	// With more than one worker wazero also looks at ctx between functions.
	workers := max(2, runtime.GOMAXPROCS(0))
	compiled, err := e.runtime.CompileModule(experimental.WithCompilationWorkers(ctx, workers), metered)
	if err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	versions := map[module.ABI]abi.Version{module.ABI010: abi.V0_1_0, module.ABI020: abi.V0_2_0, module.ABI021: abi.V0_2_1}
	return &Module{compiled, versions[version], e}, nil
}

// Close frees the code. Instances that run keep what they need.
func (m *Module) Close() { m.compiled.Close(context.Background()) }
