package module_test

import (
	"context"
	"encoding/hex"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/meshc/meshc/plugins/wasm/internal/module"
)

const limitPages = 1024

func meter(t testing.TB, data []byte) []byte {
	t.Helper()
	m, err := module.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	out, err := m.Meter(limitPages)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// tank is what the guests of a test burn. It panics when it is empty, as a host does at its time limit.
type tank struct {
	asked  int   // how often a guest asked
	amount int64 // what it gets each time
	most   int   // how often it may ask
	check  func()
}

var errEmpty = errors.New("no fuel left")

func (f *tank) fuel(_ context.Context, stack []uint64) {
	if f.asked++; f.asked > f.most {
		panic(errEmpty)
	}
	if f.check != nil {
		f.check()
	}
	stack[0] = uint64(f.amount)
}

// run instantiates a module, on an engine that gives it WASI and fuel.
func run(t testing.TB, data []byte, amount int64) (api.Module, *tank) {
	t.Helper()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
	t.Cleanup(func() { r.Close(ctx) })
	f := &tank{amount: amount, most: 1 << 62}
	_, err := r.NewHostModuleBuilder(module.FuelModule).NewFunctionBuilder().
		WithGoFunction(api.GoFunc(f.fuel), nil, []api.ValueType{module.I64}).Export(module.FuelName).Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	wasi_snapshot_preview1.MustInstantiate(ctx, r)
	instance, err := r.InstantiateWithConfig(ctx, data, wazero.NewModuleConfig().WithStartFunctions("_initialize"))
	if err != nil {
		t.Fatal(err)
	}
	return instance, f
}

func call(t testing.TB, instance api.Module, name string, args ...uint64) []uint64 {
	t.Helper()
	results, err := instance.ExportedFunction(name).Call(context.Background(), args...)
	if err != nil {
		t.Fatalf("%s%v: %v", name, args, err)
	}
	return results
}

// A metered module computes what it computed before, however often it has to ask for fuel.
func TestMeteredModuleDoesTheSame(t *testing.T) {
	calls := []struct {
		name      string
		arguments []uint64
	}{{"empty", nil}, {"sum", []uint64{1}}, {"sum", []uint64{1000}}, {"copy", []uint64{3000}}, {"fib", []uint64{15}},
		{"indirect", []uint64{10}}, {"fill", []uint64{1}}, {"fill", []uint64{60_000}}}
	plain, _ := run(t, work().bytes(), 0)
	for _, amount := range []int64{0, 1, 100, 1 << 40} {
		metered, tank := run(t, meter(t, work().bytes()), amount)
		for _, c := range calls {
			want, got := call(t, plain, c.name, c.arguments...), call(t, metered, c.name, c.arguments...)
			if len(want) != len(got) || len(want) > 0 && want[0] != got[0] {
				t.Errorf("with %d fuel %s%v is %v, want %v", amount, c.name, c.arguments, got, want)
			}
		}
		if tank.asked == 0 {
			t.Error("the guest never asked for fuel")
		}
		size, _ := plain.Memory().Read(0, 1<<16)
		after, _ := metered.Memory().Read(0, 1<<16)
		if string(size) != string(after) {
			t.Error("the memories differ")
		}
	}
}

func TestMeteredGoModuleDoesTheSame(t *testing.T) {
	data := goGuest(t)
	plain, _ := run(t, data, 0)
	metered, tank := run(t, meter(t, data), 5000)
	for _, n := range []uint64{0, 1, 50, 400} {
		if want, got := call(t, plain, "run", n), call(t, metered, "run", n); want[0] != got[0] {
			t.Errorf("run(%d) is %d, want %d", n, got[0], want[0])
		}
	}
	tank.most = tank.asked + 100
	if _, err := metered.ExportedFunction("hang").Call(context.Background()); !errors.Is(err, errEmpty) {
		t.Errorf("hang ended with %v", err)
	}
}

func TestWhatNeverReturnsIsStopped(t *testing.T) {
	for _, name := range []string{"spin", "recurse"} {
		instance, tank := run(t, meter(t, work().bytes()), 100)
		tank.most = 1000
		_, err := instance.ExportedFunction(name).Call(context.Background())
		if !errors.Is(err, errEmpty) {
			t.Errorf("%s ended with %v", name, err)
		}
		if tank.asked != 1001 {
			t.Errorf("%s asked %d times", name, tank.asked)
		}
	}
}

// While a guest spins, the collector, which stops the world, runs to its end.
func TestSpinningGuestDoesNotHoldTheCollector(t *testing.T) {
	instance, tank := run(t, meter(t, work().bytes()), 1<<16)
	tank.most = 1 << 62
	started, stop := make(chan struct{}), make(chan struct{})
	tank.check = func() {
		if tank.asked == 2 {
			close(started)
		}
		select {
		case <-stop:
			panic(errEmpty)
		default:
		}
	}
	ended := make(chan error)
	go func() {
		_, err := instance.ExportedFunction("spin").Call(context.Background())
		ended <- err
	}()
	<-started
	runtime.GC() // returns when the world was stopped
	runtime.GC()
	close(stop)
	if err := <-ended; !errors.Is(err, errEmpty) {
		t.Errorf("spin ended with %v", err)
	}
}

// A unit of fuel is worth about the same in long code as in short, and a bulk operation pays for its size.
func TestFuelIsInProportion(t *testing.T) {
	asked := func(g guest, name string, arguments ...uint64) int {
		instance, tank := run(t, meter(t, g.bytes()), 10)
		tank.asked = 0
		call(t, instance, name, arguments...)
		return tank.asked
	}
	short := guest{types: []string{i32ToI32}, functions: []string{"00"}, exports: []string{exportFunc("f", "00")},
		code: []string{"00 03 40 20 00 41 01 6b 22 00 0d 00 0b 20 00 0b"}}
	long := short
	long.code = []string{"00 03 40 " + strings.Repeat("01", 64*100) + " 20 00 41 01 6b 22 00 0d 00 0b 20 00 0b"}
	if s, l := asked(short, "f", 100), asked(long, "f", 100); l < 5*s {
		t.Errorf("100 turns of long code asked %d times, of short code %d times", l, s)
	}
	calls := guest{types: []string{i32ToI32}, functions: []string{"00", "00"}, exports: []string{exportFunc("f", "00")},
		code: []string{"00 03 40" + strings.Repeat("20 00 10 01 1a", 100) + " 20 00 41 01 6b 22 00 0d 00 0b 20 00 0b", "00 20 00 0b"}}
	if s, l := asked(short, "f", 100), asked(calls, "f", 100); l < 5*s {
		t.Errorf("100 turns with 100 calls asked %d times, without %d times", l, s)
	}
	// The fill asks itself, so what it takes is seen in the debt, not in how often.
	instance, tank := run(t, meter(t, work().bytes()), 1)
	for _, n := range []uint64{1, 50_000} {
		tank.amount, tank.asked = 1000, 0
		call(t, instance, "sum", 5000) // ends with some of the thousand left
		tank.asked = 0
		call(t, instance, "fill", n)
		if n == 50_000 && tank.asked == 0 {
			t.Errorf("filling %d bytes with at most 1000 units never asked", n)
		}
	}
}

func TestMemoryAndTablesAreLimited(t *testing.T) {
	grow := guest{types: []string{i32ToI32}, functions: []string{"00", "00"}, tables: []string{"70 00 02", "6f 01 01 05"},
		exports: []string{exportFunc("memory", "00"), exportFunc("table", "01")},
		code:    []string{"00 20 00 40 00 0b", "00 d0 70 20 00 fc 0f 00 0b"}}
	for _, c := range []struct {
		memory string
		most   uint64
	}{{"00 01", limitPages}, {"01 01 ff ff 03", limitPages}, {"01 01 05", 5}} {
		grow.memories = []string{c.memory}
		instance, _ := run(t, meter(t, grow.bytes()), 1<<16)
		if got := call(t, instance, "memory", c.most)[0]; uint32(got) != ^uint32(0) {
			t.Errorf("memory %s grew over %d pages", c.memory, c.most)
		}
		if got := call(t, instance, "memory", c.most-1)[0]; got != 1 {
			t.Errorf("memory %s did not grow to %d pages: %d", c.memory, c.most, int32(got))
		}
		if got := call(t, instance, "table", module.TableLimit)[0]; uint32(got) != ^uint32(0) {
			t.Error("a table grew over the limit")
		}
		if got := call(t, instance, "table", module.TableLimit/4)[0]; got != 2 {
			t.Errorf("a table did not grow: %d", int32(got))
		}
	}
}

func TestMeterRefuses(t *testing.T) {
	f := func(code string) guest {
		return guest{types: []string{toNothing}, functions: []string{"00"}, memories: []string{"00 01"}, code: []string{code}}
	}
	for _, c := range []struct {
		name string
		g    guest
		want string
	}{
		{"a big memory", guest{memories: []string{"00 81 08"}}, "starts with 1025 pages"},
		{"big tables", guest{tables: []string{"70 00 80 80 20", "70 00 80 80 21"}}, "more than the limit of 1048576"},
		{"a memory of others", guest{imports: []string{named("env") + named("memory") + "02 00 01"}}, "imports a memory"},
		{"a table of others", guest{imports: []string{named("env") + named("table") + "01 70 00 01"}}, "imports a memory or a table"},
		{"two memories", guest{memories: []string{"00 01", "00 01"}}, "several memories"},
		{"shared memory", guest{memories: []string{"03 01 02"}}, "threads"},
		{"64-bit memory", guest{memories: []string{"04 01"}}, "64-bit addresses"},
		{"atomics", f("00 fe 03 00 0b"), "threads"},
		{"exceptions", f("00 06 40 0b 0b"), "exceptions"},
		{"tail calls", f("00 12 00 0b"), "tail calls"},
		{"an expression", guest{globals: []string{"7f 00 41 01 41 02 6a 0b"}}, "extended constant expressions"},
		// The fuel must be out of reach: what is the first index after the guest's own is the new global's, local's …
		{"the global of the fuel", f("00 42 00 24 00 0b"), "global 0, there are 0"},
		{"the local of the size", f("00 20 00 1a 41 00 41 00 41 00 fc 0b 00 0b"), "local 0, there are 0"},
		{"the function of the fuel", f("00 10 01 0b"), "function 1, there are 1"},
		// Two decoders that differ here see different code.
		{"a long vector opcode", f("00 fd 8c 00 " + strings.Repeat("00", 16) + "1a 0b"), "shortest form"},
		{"a long bulk opcode", f("00 41 00 41 00 41 00 fc 8b 00 00 0b"), "shortest form"},
		{"no end", f("00 01"), "ends too early"},
		{"code after the end", f("00 0b 01 0b"), "code after the end"},
		{"an unknown instruction", f("00 27 0b"), "unknown instruction 0x27"},
	} {
		m, err := module.Parse(c.g.bytes())
		if err == nil {
			_, err = m.Meter(limitPages)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// Everything that holds the index of a function follows when the indices move; own functions above 127
// need another byte then.
func TestIndicesOfFunctionsMove(t *testing.T) {
	g := guest{
		types:     []string{"60 00 01 7f", "60 00 01 70", toNothing},
		imports:   []string{named("wasi_snapshot_preview1") + named("sched_yield") + "00 00"},
		tables:    []string{"70 00 0a"},
		globals:   []string{"70 00 d2 80 01 0b", "7f 01 41 00 0b"},
		exports:   []string{exportFunc("last", "ff 00"), exportFunc("started", "81 01"), exportFunc("global", "83 01"), exportFunc("bytable", "84 01"), exportFunc("yield", "00")},
		start:     "82 01",
		dataCount: "",
	}
	for i := range 127 { // functions 1 to 127 return their number
		g.functions = append(g.functions, "00")
		g.code = append(g.code, "00 41"+hex.EncodeToString(sleb(i+1))+"0b")
	}
	more := []struct{ kind, code string }{
		{"00", "00 41 80 01 0b"},                         // 128: 128
		{"00", "00 23 01 0b"},                            // 129: what start left
		{"02", "00 10 ff 00 10 80 01 6a 24 01 0b"},       // 130, start: 127 + 128
		{"00", "00 41 00 23 00 26 00 41 00 11 00 00 0b"}, // 131: calls what the global refers to
		// 132: 1·table[1] + table[2] + table[3] + table[4] + ref.func
		{"00", "00 41 01 11 00 00 41 02 11 00 00 6a 41 04 41 00 41 01 fc 0c 01 00 41 04 11 00 00 6a 41 06 11 00 00 6a 41 07 d2 7f 26 00 41 07 11 00 00 6a 0b"},
	}
	for _, f := range more {
		g.functions = append(g.functions, f.kind)
		g.code = append(g.code, f.code)
	}
	g.elements = []string{
		"00 41 01 0b 02 01 7f",             // active
		"01 00 01 80 01",                   // passive, by table.init
		"06 00 41 06 0b 70 01 d2 ff 00 0b", // active with expressions
		"03 00 02 ff 00 80 01",             // declared
	}
	g.code[131] = strings.Replace(g.code[131], "d2 7f", "d2 ff 00", 1)
	for name, data := range map[string][]byte{"plain": g.bytes(), "metered": meter(t, g.bytes())} {
		instance, _ := run(t, data, 1000)
		for export, want := range map[string]uint64{"last": 127, "started": 255, "global": 128, "bytable": 1 + 127 + 128 + 127 + 127, "yield": 0} {
			if got := call(t, instance, export); got[0] != want {
				t.Errorf("%s: %s is %d, want %d", name, export, got[0], want)
			}
		}
	}
}

func sleb(v int) []byte {
	if v < 64 {
		return []byte{byte(v)}
	}
	return []byte{byte(v) | 0x80, byte(v >> 7)}
}

// A trace names functions as the toolchain did, and a broken name section does no harm.
func TestNamesStay(t *testing.T) {
	trap := guest{types: []string{toNothing}, functions: []string{"00", "00"}, exports: []string{exportFunc("f", "01")},
		code: []string{"00 00 0b", "00 10 00 0b"}}
	names := "00 03 02 67 6f" + "01 0f 02 00" + named("inner") + "01" + named("outer") + "02 01 00"
	trap.after = custom("other", "01 02") + custom("name", names)
	trace := func() string {
		instance, _ := run(t, meter(t, trap.bytes()), 1000)
		_, err := instance.ExportedFunction("f").Call(context.Background())
		return err.Error()
	}
	if got := trace(); !strings.Contains(got, "go.inner()") || !strings.Contains(got, "go.outer()") {
		t.Errorf("the trace has no names: %s", got)
	}
	for _, broken := range []string{"01 ff ff ff ff 0f", "01 05 ff ff ff ff 0f", "01 03 01 05 00", "00 02 01 ff", "01"} {
		trap.after = custom("name", broken)
		if got := trace(); !strings.Contains(got, "unreachable") {
			t.Errorf("with names %s: %s", broken, got)
		}
	}
}
