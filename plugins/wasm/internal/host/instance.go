package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/meshc/meshc/plugins/wasm/internal/abi"
	"github.com/meshc/meshc/runtime/filter"
)

// Config is what the instances of one VM have in common.
type Config struct {
	// VMID scopes shared data and queues; Configuration is the VM's.
	VMID, Configuration string
	// Env are the guest's environment variables, as NAME=value.
	Env []string
	// CallTimeout bounds one call into the guest, StartTimeout each step of
	// starting it and configuring a root.
	CallTimeout, StartTimeout time.Duration
	Now                       func() time.Time // by which they are measured; nil is time.Now
	Space                     *Space
	Held                      *Account // of all instances of the VM
	Metrics                   *Metrics
	Caller                    filter.Caller
	// Logs reports whether lines of a level are wanted.
	Logs func(slog.Level) bool
}

// Plugin is one use of a VM: a root context in each instance.
type Plugin struct {
	Name, RootID, Configuration string
	// Clusters are those that its calls may reach.
	Clusters map[string]bool
	// Log takes a line of the guest; text is valid during the call.
	Log func(level abi.Level, text string)
}

// Trap says why an instance has ended.
type Trap struct {
	// Reason is one of "trap", "timeout", "stack", "configure".
	Reason string
	Err    error
}

func (t *Trap) Error() string { return t.Err.Error() }
func (t *Trap) Unwrap() error { return t.Err }

var errTimeout = errors.New("the call took longer than its limit")

// Instance is a running guest. It is also the context of every call into it,
// by which host functions find it.
type Instance struct {
	context.Context

	config *Config
	abi    abi.Version
	module api.Module
	memory api.Memory

	on     [callbacks]guestFunction
	malloc guestFunction

	contexts  map[uint32]*Context
	lastID    uint32
	roots     []*Root
	vmStarted bool

	// Of the call that is running.
	current    *Context // what imports act on; nil outside of calls
	owner      *Context // whose callback it is
	timeout    time.Duration
	deadline   time.Time // of the running call; zero before its fuel first ran out
	spent      int       // in the host since the clock was last looked at; see spend
	allocating bool
	starting   bool
	after      []func() // to be done when the call has returned

	trap    *Trap
	onTrap  func(*Trap, *Plugin)
	logTo   func(abi.Level, string) // where no plugin is known
	calls   map[uint32]*call
	metrics metricIDs
	claims  []claim // guarded as the spaces are

	lastHTTP, lastGRPC, lastStream uint32 // tokens

	scratch      []byte
	unended      []byte // what was written to unendedLevel and did not end its line
	unendedLevel abi.Level
	texts        map[string]string
	path         [maxPath]string
	host         vmContext

	// What happens elsewhere and is for this instance (an answer, a tick) is
	// kept until a worker has taken it in.
	inbox struct {
		sync.Mutex
		worker  *filter.Worker
		waiting []delivery
		closed  bool
	}
}

// vmContext is the context of calls that are for no root.
type vmContext = Context

// guestFunction is an export and the stack it is called with; fn is nil where
// the guest does not have it.
type guestFunction struct {
	fn    api.Function
	stack [8]uint64
}

// fuelQuantum is how much fuel a guest gets at a time. The worst code takes a
// microsecond for a unit, so that nobody runs for more than about 16 ms between
// two looks at the clock; a filter that turns a few headers uses some hundred.
const fuelQuantum = 16_384

// refuel gives a guest fuel until its call has taken too long. The clock
// starts when fuel first runs out, so that short calls never read it.
func refuel(ctx context.Context, _ api.Module, p []uint64) {
	ctx.(*Instance).look()
	p[0] = fuelQuantum
}

// Start makes a guest and runs its start-up code. log takes what it says until
// a root is there. The instance belongs to the caller until Serve.
func (m *Module) Start(config *Config, log func(abi.Level, string)) (*Instance, error) {
	i := &Instance{
		Context: context.Background(), config: config, abi: m.version, logTo: log,
		contexts: map[uint32]*Context{}, calls: map[uint32]*call{}, texts: map[string]string{},
		starting: true, timeout: config.StartTimeout,
	}
	i.host = vmContext{instance: i}
	i.current = &i.host
	mod, err := m.machine.runtime.InstantiateModule(i, m.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	i.endLine()
	if err != nil {
		return nil, fmt.Errorf("start: %w", i.newTrap(err))
	}
	i.module, i.memory = mod, mod.Memory()
	if err := i.boot(); err != nil {
		i.free()
		return nil, err
	}
	i.starting = false
	i.current = nil
	return i, nil
}

// boot calls what a module exports to be started by (wasm.cc startVm of the
// C++ host): _initialize and then main, or else _start.
func (i *Instance) boot() error {
	if i.malloc.fn = i.module.ExportedFunction("malloc"); i.malloc.fn == nil {
		i.malloc.fn = i.module.ExportedFunction("proxy_on_memory_allocate")
	}
	for c, name := range callbackNames {
		i.on[c].fn = i.module.ExportedFunction(name)
	}
	run := func(name string) (bool, error) {
		f := i.module.ExportedFunction(name)
		if f == nil {
			return false, nil
		}
		i.deadline, i.spent = time.Time{}, 0
		var stack [4]uint64
		err := f.CallWithStack(i, stack[:])
		i.endLine()
		if err != nil {
			return true, fmt.Errorf("%s: %w", name, i.newTrap(err))
		}
		return true, nil
	}
	initialized, err := run("_initialize")
	if err != nil {
		return err
	}
	if !initialized {
		_, err = run("_start")
		return err
	}
	for _, name := range []string{"main", "__main_void"} {
		if ran, err := run(name); ran || err != nil {
			return err
		}
	}
	return nil
}

// newTrap makes a Trap of what a call into the guest returned. The words are
// wazero's, without the trace of this process that it adds to its own faults.
func (i *Instance) newTrap(err error) *Trap {
	t := &Trap{Reason: "trap", Err: err}
	switch text := err.Error(); {
	case errors.Is(err, errTimeout):
		t.Reason = "timeout"
	case strings.Contains(text, "stack overflow"):
		t.Reason = "stack"
	}
	return t
}

// call calls into the guest; the parameters are in f.stack, and the result is
// left there. It reports false when that ended the instance, or it had ended.
func (i *Instance) call(c *Context, f *guestFunction) bool {
	if i.trap != nil || i.module == nil {
		return false
	}
	i.current, i.owner = c, c
	i.deadline, i.spent = time.Time{}, 0
	err := f.fn.CallWithStack(i, f.stack[:])
	i.endLine()
	i.current, i.owner = nil, nil
	if err != nil {
		where := f.fn.Definition().ExportNames()[0]
		if errors.Is(err, errTimeout) {
			where += fmt.Sprintf(", limit %v", i.timeout)
		}
		i.fail(i.newTrap(fmt.Errorf("%s: %w", where, err)), c)
		return false
	}
	for len(i.after) > 0 && i.trap == nil {
		f := i.after[0]
		i.after = i.after[:copy(i.after, i.after[1:])]
		f()
	}
	return i.trap == nil
}

// afterCall runs f when the running call has returned.
func (i *Instance) afterCall(f func()) { i.after = append(i.after, f) }

// Fail ends the instance as a trap in a root's callback does.
func (i *Instance) Fail(r *Root, err error) {
	if i.trap == nil && i.module != nil {
		i.fail(&Trap{Reason: "configure", Err: err}, &r.Context)
	}
}

// fail ends the instance. No call into it is made any more. The stream that
// trapped learns it from its callback; those that wait for this guest are
// failed here, for nobody else would ever wake them.
func (i *Instance) fail(t *Trap, in *Context) {
	i.trap = t
	for _, c := range i.contexts {
		if c != in {
			c.abandon()
		}
	}
	i.free()
	if i.onTrap != nil {
		i.onTrap(t, in.root.plugin)
	}
}

// Close ends an instance whose roots are gone.
func (i *Instance) Close() { i.free() }

// free lets go of everything but what streams that are still open point to.
func (i *Instance) free() {
	i.inbox.Lock()
	i.inbox.closed = true
	waiting := i.inbox.waiting
	i.inbox.waiting = nil
	i.inbox.Unlock()
	for _, d := range waiting {
		i.config.Held.hold(-d.held)
	}
	for _, r := range i.roots {
		r.stopTimer()
		r.letGo()
	}
	for token, c := range i.calls {
		c.stop()
		i.forget(token)
	}
	if i.config.Space != nil {
		i.config.Space.forget(i)
	}
	if i.module != nil {
		i.module.Close(i)
	}
	i.module, i.memory = nil, nil
	i.on, i.malloc = [callbacks]guestFunction{}, guestFunction{}
	clear(i.contexts)
	i.roots, i.after, i.scratch, i.unended = nil, nil, nil, nil
}

// log hands a line of the guest on.
func (i *Instance) log(level abi.Level, text string) {
	i.spend(heavyCost)
	i.endLine()
	i.say(level, text)
}

// say hands a line to the plugin whose context is current.
func (i *Instance) say(level abi.Level, text string) {
	if c := i.current; c != nil && c.root != nil {
		c.root.plugin.Log(level, text)
		return
	}
	if i.logTo != nil {
		i.logTo(level, text)
	}
}
