package module_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/meshc/meshc/plugins/wasm/internal/module"
)

func seed(f *testing.F) {
	full := work()
	full.types = append(full.types, "60 00 01 70", "60 02 7f 7e 02 7f 7e")
	full.imports = []string{named("env") + named("proxy_done") + "00 01", named("env") + named("g") + "03 7f 00"}
	full.globals = []string{"7f 01 41 00 0b", "70 00 d2 01 0b", "7b 00 fd 0c" + "00000000000000000000000000000000" + "0b"}
	full.elements = append(full.elements, "01 00 01 01", "05 70 01 d2 01 0b", "07 6f 01 d0 6f 0b")
	full.dataCount = "02"
	full.data = []string{"00 41 00 0b 01 61", "01 02 62 63"}
	full.after = custom("name", "00 03 02 67 6f 01 04 01 00 01 61") + custom("producers", "00")
	ends := work()
	ends.exports = slices.DeleteFunc(ends.exports, func(e string) bool {
		return strings.HasPrefix(e, named("spin")) || strings.HasPrefix(e, named("recurse"))
	})
	for _, g := range []guest{{}, work(), ends, plugin(), full} {
		f.Add(g.bytes())
	}
}

// Nothing panics, and what is allocated is in proportion to the input.
func FuzzParse(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := module.Parse(data)
		if err != nil {
			return
		}
		m.Inspect(limitPages)
	})
}

// What the engine takes, it takes metered as well, and it does the same as long
// as the fuel lasts; and a module without problems can be metered.
func FuzzMeter(f *testing.F) {
	seed(f)
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCoreFeatures(api.CoreFeaturesV2).WithMemoryLimitPages(limitPages))
	f.Cleanup(func() { r.Close(ctx) })
	tank := &tank{amount: 1000}
	_, err := r.NewHostModuleBuilder(module.FuelModule).NewFunctionBuilder().
		WithGoFunction(api.GoFunc(tank.fuel), nil, []api.ValueType{module.I64}).Export(module.FuelName).Instantiate(ctx)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := module.Parse(data)
		if err != nil {
			return // the engine, which trusts counts, must not see it
		}
		out, err := m.Meter(limitPages)
		if err != nil {
			if problems := m.Problems(limitPages); len(problems) == 0 {
				t.Fatalf("no problems, and: %v", err)
			}
			return
		}
		plain, err := r.CompileModule(ctx, data)
		if err != nil {
			return
		}
		defer plain.Close(ctx)
		metered, err := r.CompileModule(ctx, out)
		if err != nil {
			t.Fatalf("the metered module is refused: %v", err)
		}
		defer metered.Close(ctx)
		tank.asked, tank.most = 0, 20
		if want := outcomes(ctx, r, metered); want != nil {
			if got := outcomes(ctx, r, plain); !slices.Equal(got, want) {
				t.Fatalf("metered: %q, plain: %q", want, got)
			}
		}
		if again, err := module.Parse(out); err != nil {
			t.Fatalf("the metered module is not well formed: %v", err)
		} else if _, err := again.Meter(limitPages); err != nil {
			t.Fatalf("the metered module cannot be metered: %v", err)
		}
	})
}

// outcomes is what comes of instantiating a module without imports and of
// calling each of its functions with ones: results or the first line of the
// trap, and the memory at last. It is nil when the module cannot be
// instantiated for what it imports, and when the fuel ran out.
func outcomes(ctx context.Context, r wazero.Runtime, m wazero.CompiledModule) []string {
	instance, err := r.InstantiateModule(ctx, m, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return nil
	}
	defer instance.Close(ctx)
	all := []string{}
	names := slices.Sorted(maps.Keys(m.ExportedFunctions()))
	for _, name := range names {
		f := instance.ExportedFunction(name)
		arguments := make([]uint64, len(f.Definition().ParamTypes()))
		for i := range arguments {
			arguments[i] = 1
		}
		if slices.ContainsFunc(append(f.Definition().ParamTypes(), f.Definition().ResultTypes()...), func(t api.ValueType) bool {
			return t != module.I32 && t != module.I64
		}) {
			continue // references are addresses, and a NaN has many forms
		}
		results, err := f.Call(ctx, arguments...)
		switch {
		case errors.Is(err, errEmpty):
			return nil
		case err != nil:
			text, _, _ := strings.Cut(err.Error(), "\n")
			all = append(all, name+": "+text)
		default:
			all = append(all, fmt.Sprint(name, results))
		}
	}
	if len(m.ExportedMemories()) > 0 {
		b, _ := instance.Memory().Read(0, instance.Memory().Size())
		all = append(all, fmt.Sprintf("%x", sha256.Sum256(b)))
	}
	return all
}
