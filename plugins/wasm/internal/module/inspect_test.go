package module_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/meshc/meshc/plugins/wasm/internal/module"
)

// plugin is a module that can run.
func plugin() guest {
	return guest{
		types: []string{toNothing, i32ToI32, "60 03 7f 7f 7f 01 7f", "60 04 7f 7f 7f 7f 01 7f", "60 02 7f 7e 01 7f"},
		imports: []string{named("env") + named("proxy_log") + "00 02", named("wasi_unstable") + named("fd_write") + "00 03",
			named("wasi_snapshot_preview1") + named("fd_write") + "00 03", named("env") + named("proxy_increment_metric") + "00 04"},
		functions: []string{"00", "01", "02"},
		memories:  []string{"00 11"},
		exports: []string{named("memory") + "02 00", exportFunc("proxy_abi_version_0_2_1", "04"), exportFunc("malloc", "05"),
			exportFunc("proxy_on_request_headers", "06"), exportFunc("helper", "05")},
		code:  []string{"00 0b", "00 20 00 0b", "00 41 00 0b"},
		after: custom("name", "00 05 04 74 65 73 74") + custom("producers", "01"+named("language")+"01"+named("Rust")+named("1.80")),
	}
}

func problems(t *testing.T, g guest, limit uint32) []string {
	t.Helper()
	m, err := module.Parse(g.bytes())
	if err != nil {
		t.Fatal(err)
	}
	return m.Problems(limit)
}

func TestPluginWithoutProblems(t *testing.T) {
	if got := problems(t, plugin(), 17); len(got) > 0 {
		t.Error(got)
	}
}

func TestProblems(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*guest)
		want   string
	}{
		{"no ABI", func(g *guest) { g.exports[1] = exportFunc("other", "04") }, "exports no ABI version"},
		{"unknown ABI", func(g *guest) { g.exports[1] = exportFunc("proxy_abi_version_0_3_0", "04") }, "unknown ABI version proxy_abi_version_0_3_0"},
		{"two ABIs", func(g *guest) { g.exports[4] = exportFunc("proxy_abi_version_0_2_0", "04") },
			"several ABI versions: proxy_abi_version_0_2_1, proxy_abi_version_0_2_0"},
		{"type of the ABI", func(g *guest) { g.exports[1] = exportFunc("proxy_abi_version_0_2_1", "05") },
			"exports proxy_abi_version_0_2_1 as (i32) -> i32, the host calls it as () -> ()"},
		{"a callback of 0.2 in 0.1", func(g *guest) { g.exports[1] = exportFunc("proxy_abi_version_0_1_0", "04") },
			"exports proxy_on_request_headers as (i32, i32, i32) -> i32, the host calls it as (i32, i32) -> i32"},
		{"a callback's type", func(g *guest) { g.exports[4] = exportFunc("proxy_on_tick", "05") }, "exports proxy_on_tick as (i32) -> i32, the host calls it as (i32) -> ()"},
		{"_initialize's type", func(g *guest) { g.exports[4] = exportFunc("_initialize", "05") }, "exports _initialize as"},
		{"_start's type", func(g *guest) { g.exports[4] = exportFunc("_start", "05") }, "exports _start as"},
		{"an unknown import", func(g *guest) { g.imports[0] = named("env") + named("proxy_nothing") + "00 02" }, "imports env.proxy_nothing, which no host has"},
		{"our own import", func(g *guest) { g.imports[0] = named("meshc") + named("fuel") + "00 02" }, "imports meshc.fuel, which no host has"},
		{"an import of another version", func(g *guest) { g.imports[0] = named("env") + named("proxy_get_configuration") + "00 02" },
			"imports env.proxy_get_configuration, which ABI 0.2.1 does not have (0.1.0 has)"},
		{"an import's type", func(g *guest) { g.imports[0] = named("env") + named("proxy_log") + "00 01" },
			"imports env.proxy_log as (i32) -> i32, the host has it as (i32, i32, i32) -> i32"},
		{"another's memory", func(g *guest) {
			g.imports = append(g.imports, named("env")+named("memory")+"02 00 01")
			g.memories = nil
		}, "imports the memory env.memory"},
		{"another's global", func(g *guest) { g.imports = append(g.imports, named("env")+named("stack")+"03 7f 00") }, "imports the global env.stack"},
		{"no memory", func(g *guest) { g.exports = g.exports[1:] }, "exports no memory called"},
		{"two memories", func(g *guest) { g.memories = append(g.memories, "00 01") }, "has 2 memories"},
		{"much memory", func(g *guest) { g.memories[0] = "00 12" }, "starts with 18 pages of 64 KiB, more than the limit of 17"},
		{"a big table", func(g *guest) { g.tables = []string{"70 00 81 80 40"} }, "tables start with 1048577 entries"},
		{"no allocator", func(g *guest) { g.exports[2] = exportFunc("free", "05") }, "neither malloc nor proxy_on_memory_allocate"},
		{"malloc's type", func(g *guest) { g.exports[2] = exportFunc("malloc", "06") }, "exports malloc as"},
		{"threads", func(g *guest) { g.memories[0] = "03 01 02" }, "needs threads"},
		{"atomics", func(g *guest) { g.code[1] = "00 fe 03 00 20 00 0b" }, "function 5: the code at 0x"},
		{"exceptions", func(g *guest) { g.code[1] = "00 1f 40 00 0b 20 00 0b" }, "needs exceptions"},
		{"bad code", func(g *guest) { g.code[1] = "00 20 01 0b" }, "function 5 is not well formed: local 1, there are 1"},
	} {
		g := plugin()
		c.change(&g)
		got := problems(t, g, 17)
		if !slices.ContainsFunc(got, func(p string) bool { return strings.Contains(p, c.want) }) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
		if len(got) > 2 {
			t.Errorf("%s: problems that are none: %q", c.name, got)
		}
	}
}

// malloc is used when both are there, and _start is not looked for beside _initialize: what no host calls may have any type.
func TestNoProblemWithWhatIsNotCalled(t *testing.T) {
	for _, exports := range [][]string{{exportFunc("proxy_on_memory_allocate", "06")}, {exportFunc("_initialize", "04"), exportFunc("_start", "06")},
		{exportFunc("main", "06")}, {exportFunc("proxy_on_grpc_trailing_metadata", "06")}} {
		g := plugin()
		g.exports = append(g.exports, exports...)
		if got := problems(t, g, 17); len(got) > 0 {
			t.Error(got)
		}
	}
}

func TestInspect(t *testing.T) {
	data := plugin().bytes()
	m, err := module.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	r := m.Inspect(17)
	sum := sha256.Sum256(data)
	got := fmt.Sprintln(r.ABI, r.Size, r.Name, r.Producers, r.Callbacks, r.Functions, r.MinPages, r.MaxPages, len(r.Problems), r.SHA256 == hex.EncodeToString(sum[:]))
	if want := fmt.Sprintln("0.2.1", len(data), "test [{language Rust 1.80}] [proxy_on_request_headers] 3 17 0 0 true"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	var lines []string
	for _, i := range r.Imports {
		lines = append(lines, i.Module+"."+i.Name+" "+i.Kind.String()+" "+i.Signature.String())
	}
	for _, e := range r.Exports {
		lines = append(lines, e.Name+" "+e.Kind.String()+" "+e.Signature.String())
	}
	for _, want := range []string{"env.proxy_increment_metric function (i32, i64) -> i32", "memory memory () -> ()", "helper function (i32) -> i32"} {
		if !slices.Contains(lines, want) {
			t.Errorf("%q is not in %q", want, lines)
		}
	}
}

func TestInspectGo(t *testing.T) {
	m, err := module.Parse(goGuest(t))
	if err != nil {
		t.Fatal(err)
	}
	r := m.Inspect(limitPages)
	if p := r.Producers; len(p) == 0 || p[0].Field != "language" || p[0].Name != "Go" {
		t.Errorf("producers %v", p)
	}
	for _, p := range r.Problems {
		if strings.Contains(p, "import") || strings.Contains(p, "well formed") || strings.Contains(p, "needs") {
			t.Error(p)
		}
	}
}

// The tables agree with themselves: no name twice in a version, and every version has the whole of WASI under both names.
func TestTables(t *testing.T) {
	for _, c := range []struct {
		abi                module.ABI
		imports, callbacks int
	}{{module.ABI010, 42 + 90, 27}, {module.ABI020, 40 + 90, 28}, {module.ABI021, 41 + 90, 28}} {
		functions := module.HostFunctions(c.abi)
		seen := map[string]bool{}
		for _, f := range functions {
			if seen[f.Module+f.Name] {
				t.Errorf("%s: %s.%s is there twice", c.abi, f.Module, f.Name)
			}
			seen[f.Module+f.Name] = true
		}
		if len(functions) != c.imports {
			t.Errorf("%s has %d imports, want %d", c.abi, len(functions), c.imports)
		}
		if got := module.Callbacks(c.abi); len(got) != c.callbacks {
			t.Errorf("%s has %d callbacks, want %d", c.abi, len(got), c.callbacks)
		}
	}
}
