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

// Engine compiles modules.
type Engine struct {
	cache *cache // nil without a folder
}

// NewEngine makes an engine. What it compiles is kept in stateDir/wasm over
// restarts, unless stateDir is empty.
func NewEngine(stateDir string) (*Engine, error) {
	if stateDir == "" {
		return &Engine{}, nil
	}
	c, err := newCache(filepath.Join(stateDir, "wasm"))
	if err != nil {
		return nil, fmt.Errorf("cache of compiled modules: %w", err)
	}
	return &Engine{c}, nil
}

// machine runs one module: what the instances of it link to, and the compiled
// code, which wazero keeps in a folder. A machine for each module makes the
// folder the module's own.
type machine struct {
	runtime wazero.Runtime
	code    wazero.CompilationCache
}

// newMachine makes one whose code is kept in dir, or, where dir is empty, only
// as long as the machine.
func newMachine(dir string) (*machine, error) {
	ctx := context.Background()
	code := wazero.NewCompilationCache()
	if dir != "" {
		var err error
		if code, err = wazero.NewCompilationCacheWithDir(dir); err != nil {
			return nil, err
		}
	}
	// The flag that closes a module when a context ends is off: it costs 2 µs a
	// call. What the loader puts into each module stops it instead.
	config := wazero.NewRuntimeConfigCompiler().WithCompilationCache(code).WithMemoryLimitPages(maxMemory / pageSize).WithDebugInfoEnabled(false)
	return &machine{wazero.NewRuntimeWithConfig(ctx, config), code}, nil
}

// compile compiles a module that was metered, or takes its code from the folder.
func (m *machine) compile(ctx context.Context, metered []byte) (wazero.CompiledModule, error) {
	// With more than one worker wazero also looks at ctx between functions.
	workers := max(2, runtime.GOMAXPROCS(0))
	return m.runtime.CompileModule(experimental.WithCompilationWorkers(ctx, workers), metered)
}

// close ends the machine and all that runs on it.
func (m *machine) close() {
	m.runtime.Close(context.Background())
	m.code.Close(context.Background())
}

// maxMemory is the most that any guest may have: Envoy's limit.
const (
	pageSize  = 64 << 10
	maxMemory = 1 << 30
)

// link registers the host functions, all of them, under the names of each
// module that guests import them from.
func (m *machine) link(ctx context.Context) error {
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
				b = m.runtime.NewHostModuleBuilder(f.Module)
				builders[f.Module] = b
			}
			b.NewFunctionBuilder().WithGoModuleFunction(impl.bind(f.Name, len(f.Signature.Results) > 0),
				f.Signature.Params, f.Signature.Results).Export(f.Name)
		}
	}
	builders[module.FuelModule] = m.runtime.NewHostModuleBuilder(module.FuelModule)
	builders[module.FuelModule].NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(refuel), nil, []api.ValueType{api.ValueTypeI64}).Export(module.FuelName)
	for name, b := range builders {
		if _, err := b.Instantiate(ctx); err != nil {
			return fmt.Errorf("host functions of %s: %w", name, err)
		}
	}
	return nil
}

// Module is a compiled module.
type Module struct {
	compiled wazero.CompiledModule
	version  abi.Version
	machine  *machine
}

// Compile compiles a module for guests with at most memory bytes. Its errors are
// for the author of the module. It stops early when ctx ends.
func (e *Engine) Compile(ctx context.Context, blob string, memory uint64) (*Module, error) {
	code, pages := readOnly(blob), uint32(min(memory, maxMemory)/pageSize)
	var entry string
	if e.cache != nil {
		entry = entryName(code, pages)
		if m := e.cache.load(ctx, entry); m != nil {
			return m.linked(ctx)
		}
	}
	parsed, err := module.Parse(code)
	if err != nil {
		return nil, err
	}
	if problems := parsed.Problems(pages); len(problems) > 0 {
		return nil, fmt.Errorf("%s", strings.Join(problems, "; "))
	}
	version, err := parsed.ABI()
	if err != nil {
		return nil, err
	}
	metered, err := parsed.Meter(pages)
	if err != nil {
		return nil, err
	}
	m := &Module{version: map[module.ABI]abi.Version{module.ABI010: abi.V0_1_0, module.ABI020: abi.V0_2_0, module.ABI021: abi.V0_2_1}[version]}
	if e.cache != nil {
		err = e.cache.store(ctx, entry, metered, m)
	} else if m.machine, err = newMachine(""); err == nil {
		m.compiled, err = m.machine.compile(ctx, metered)
	}
	if err != nil {
		m.Close()
		return nil, fmt.Errorf("compile: %w", err)
	}
	return m.linked(ctx)
}

// linked is m with the host functions there.
func (m *Module) linked(ctx context.Context) (*Module, error) {
	if err := m.machine.link(context.WithoutCancel(ctx)); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// Close frees the code. No instance may be left.
func (m *Module) Close() {
	if m.machine != nil {
		m.machine.close()
	}
}
