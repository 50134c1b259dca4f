package module_test

import (
	"testing"

	"github.com/tetratelabs/wazero/api"

	"github.com/meshc/meshc/plugins/wasm/internal/module"
)

// BenchmarkGuest compares calls into a guest as it is, and metered.
func BenchmarkGuest(b *testing.B) {
	for _, metered := range []bool{false, true} {
		name := "plain"
		if metered {
			name = "metered"
		}
		bytes := work().bytes()
		if metered {
			bytes = meter(b, bytes)
		}
		instance, _ := run(b, bytes, 1<<16)
		for _, c := range []struct {
			function string
			argument []uint64
		}{{"empty", []uint64{0}}, {"sum", []uint64{100_000}}, {"copy", []uint64{30_000}}, {"fib", []uint64{25}}} {
			f := instance.ExportedFunction(c.function)
			b.Run(c.function+"/"+name, func(b *testing.B) {
				stack := make([]uint64, 1)
				b.ReportAllocs()
				for b.Loop() {
					stack[0] = c.argument[0]
					if err := f.CallWithStack(b.Context(), stack); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkGo is a Go function with maps, formatting and sorting.
func BenchmarkGo(b *testing.B) {
	for _, c := range []struct {
		name  string
		bytes []byte
	}{{"plain", goGuest(b)}, {"metered", meter(b, goGuest(b))}} {
		instance, _ := run(b, c.bytes, 1<<16)
		f := instance.ExportedFunction("run")
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := f.Call(b.Context(), api.EncodeI32(300)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	data := goGuest(b)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := module.Parse(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMeter(b *testing.B) {
	data := goGuest(b)
	m, err := module.Parse(data)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	var out []byte
	for b.Loop() {
		if out, err = m.Meter(1024); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(out))/float64(len(data)), "out/in")
}

func BenchmarkProblems(b *testing.B) {
	data := goGuest(b)
	m, err := module.Parse(data)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		m.Problems(1024)
	}
}
