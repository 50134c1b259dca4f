package wasm

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/meshc/meshc/plugins"
	"github.com/meshc/meshc/runtime/filter"
)

// BenchmarkFilter is a stream through a filter alone, as a chain drives it: six
// calls into the guest, two back.
func BenchmarkFilter(b *testing.B) {
	once := newRig(b, 1).drive(use(adder().wasm()))
	b.ReportAllocs()
	for b.Loop() {
		once()
	}
}

// drive returns a function that has a stream without bodies pass a plugin.
func (r *rig) drive(u plugins.Use) func() {
	f := r.factory(u)
	x := &quiet{worker: r.workers.At(0)}
	request := headers(":authority", "a", ":path", "/", ":method", "GET", ":scheme", "http", "accept", "*/*", "user-agent", "bench")
	response := headers(":status", "200", "content-length", "0")
	record := &filter.Record{Request: request, Response: response}
	var h filter.Headers
	return func() {
		s := f.HTTP(x)
		h.CopyFrom(request)
		s.RequestHeaders(&h, true)
		h.CopyFrom(response)
		s.ResponseHeaders(&h, true)
		s.Log(record)
		s.Done()
	}
}

// quiet is a Stream that does nothing.
type quiet struct {
	filter.Stream
	worker *filter.Worker
}

func (q *quiet) Worker() *filter.Worker { return q.worker }
func (q *quiet) ClearRoute()            {}
func (q *quiet) Limit() int             { return filter.DefaultBufferLimit }

// Property knows an address for every path.
func (q *quiet) Property(...string) (filter.Value, bool) { return "127.0.0.1:80", true }

// BenchmarkStart is the way of a Go module from a cache that knows it into
// service: a process's kind opened, the use made (checked, and started in two
// workers) and committed. CPU is that of all threads.
func BenchmarkStart(b *testing.B) {
	b.Run("headers-go", func(b *testing.B) { benchmarkStart(b, "headers-go", "request set x-a 1") })
	b.Run("ratelimit-go", func(b *testing.B) { benchmarkStart(b, "ratelimit-go", `{"rate": 100, "burst": 100}`) })
}

func benchmarkStart(b *testing.B, example, configuration string) {
	dir := b.TempDir()
	path := filepath.Join(dir, "filter.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", path, "../../examples/filters/"+example)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	code, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	u := use(code, with("memory", 64<<20), with("callTimeout", "60s"), with("configuration", configuration))
	start := func() {
		workers := filter.NewWorkers(2)
		m, err := open(plugins.Process{StateDir: dir, Log: slog.New(slog.DiscardHandler), Workers: workers, Caller: &fakeCaller{}})
		if err != nil {
			b.Fatal(err)
		}
		f, err := m.New(context.Background(), u)
		if err != nil {
			b.Fatal(err)
		}
		f.(filter.Committer).Commit()
		b.StopTimer()
		f.Close()
		m.Close()
		b.StartTimer()
	}
	start()
	used := func() time.Duration {
		var r syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
			b.Fatal(err)
		}
		return time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	before := used()
	b.ResetTimer() // the first start has compiled
	for range b.N {
		start()
	}
	b.ReportMetric(float64(used()-before)/1e6/float64(b.N), "cpu-ms/op")
	b.ReportMetric(float64(len(code))/1e6, "MB")
}
