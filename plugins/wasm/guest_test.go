package wasm

import (
	"github.com/meshc/meshc/plugins/wasm/internal/module"
)

// guest assembles small modules, instruction by instruction, so that a test
// says what its guest does and needs no toolchain. It is of ABI 0.2.1, has one
// page of memory that begins with data, and a malloc that always gives the
// second half of the page.
type guest struct {
	imports []string
	funcs   []function
	data    string
	pages   byte
}

// function is an exported function: its parameters are i32, and its result, if
// it has one, too.
type function struct {
	name   string
	params int
	result bool
	code   []byte
}

// imported is the index of a host function.
func (g *guest) imported(name string) byte {
	for i, n := range g.imports {
		if n == name {
			return byte(i)
		}
	}
	g.imports = append(g.imports, name)
	return byte(len(g.imports) - 1)
}

// export adds a function. All imports must be known before: they come first.
func (g *guest) export(name string, params int, result bool, code ...[]byte) *guest {
	var all []byte
	for _, c := range code {
		all = append(all, c...)
	}
	g.funcs = append(g.funcs, function{name, params, result, all})
	return g
}

// Instructions.
func i32(v int32) []byte         { return append([]byte{0x41}, sleb(int64(v))...) }
func local(n byte) []byte        { return []byte{0x20, n} }
func callFunction(n byte) []byte { return []byte{0x10, n} }

var (
	drop        = []byte{0x1a}
	unreachable = []byte{0x00}
	forever     = []byte{0x03, 0x40, 0x0c, 0, 0x0b} // loop, br 0, end
	loadFar     = []byte{0x41, 0x7f, 0x28, 2, 0}    // i32.const -1, i32.load
	growMemory  = []byte{0x40, 0}
	loadI32     = []byte{0x28, 2, 0}
	storeI32    = []byte{0x36, 2, 0}
)

// host is a call of a host function with constants; the status is dropped.
func (g *guest) host(name string, args ...int32) []byte {
	return append(g.hostStatus(name, args...), drop...)
}

// hostStatus leaves the status on the stack.
func (g *guest) hostStatus(name string, args ...int32) []byte {
	var code []byte
	for _, a := range args {
		code = append(code, i32(a)...)
	}
	return append(code, callFunction(g.imported(name))...)
}

func sleb(v int64) (b []byte) {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func uleb(v int) (b []byte) {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func vector(s string) []byte { return append(uleb(len(s)), s...) }

// wasm is the module.
func (g *guest) wasm() []byte {
	g.export("proxy_abi_version_0_2_1", 0, false)
	has := map[string]bool{}
	for _, f := range g.funcs {
		has[f.name] = true
	}
	if !has["malloc"] {
		g.export("malloc", 1, true, i32(32<<10))
	}
	var types, imports, functions, exports, codes []byte
	n := 0
	addType := func(params []byte, results []byte) []byte {
		types = append(append(append(append(types, 0x60), uleb(len(params))...), params...), append(uleb(len(results)), results...)...)
		n++
		return uleb(n - 1)
	}
	known := map[string]module.HostFunction{}
	for _, f := range module.HostFunctions(module.ABI021) {
		if f.Module != "wasi_unstable" {
			known[f.Name] = f
		}
	}
	for _, name := range g.imports {
		s := known[name].Signature
		imports = append(imports, vector(known[name].Module)...)
		imports = append(append(imports, vector(name)...), 0)
		imports = append(imports, addType(s.Params, s.Results)...)
	}
	for k, f := range g.funcs {
		params := make([]byte, f.params)
		for i := range params {
			params[i] = module.I32
		}
		var results []byte
		if f.result {
			results = []byte{module.I32}
		}
		functions = append(functions, addType(params, results)...)
		exports = append(append(exports, vector(f.name)...), 0)
		exports = append(exports, uleb(len(g.imports)+k)...)
		body := append(append([]byte{0}, f.code...), 0x0b)
		codes = append(append(codes, uleb(len(body))...), body...)
	}
	exports = append(append(exports, vector("memory")...), 2, 0)
	out := []byte("\x00asm\x01\x00\x00\x00")
	section := func(id byte, count int, content []byte) {
		content = append(uleb(count), content...)
		out = append(append(append(out, id), uleb(len(content))...), content...)
	}
	section(1, n, types)
	section(2, len(g.imports), imports)
	section(3, len(g.funcs), functions)
	section(5, 1, []byte{0, max(g.pages, 1)})
	section(7, len(g.funcs)+1, exports)
	section(10, len(g.funcs), codes)
	if g.data != "" {
		section(11, 1, append([]byte{0, 0x41, 0, 0x0b}, vector(g.data)...))
	}
	return out
}
