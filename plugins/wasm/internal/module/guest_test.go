package module_test

import (
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// guest is a module written by hand: the entries of its sections in hexadecimal.
type guest struct {
	types, imports, functions, tables, memories, globals, exports []string
	start                                                         string
	elements                                                      []string
	dataCount                                                     string
	code                                                          []string // locals and instructions, without the size
	data                                                          []string
	after                                                         string // sections that follow, as they are
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return b
}

func uleb(v int) []byte {
	var b []byte
	for ; v >= 0x80; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	return append(b, byte(v))
}

func sized(b []byte) []byte { return append(uleb(len(b)), b...) }

// named is a name as it stands in a section, in hexadecimal.
func named(s string) string { return hex.EncodeToString(sized([]byte(s))) + " " }

// custom is a custom section.
func custom(name, content string) string {
	return "00" + hex.EncodeToString(sized(unhex(named(name)+content)))
}

func (g guest) bytes() []byte {
	out := []byte("\x00asm\x01\x00\x00\x00")
	list := func(id byte, entries []string, each func([]byte) []byte) {
		if len(entries) == 0 {
			return
		}
		content := uleb(len(entries))
		for _, e := range entries {
			content = append(content, each(unhex(e))...)
		}
		out = append(append(out, id), sized(content)...)
	}
	plain := func(b []byte) []byte { return b }
	list(1, g.types, plain)
	list(2, g.imports, plain)
	list(3, g.functions, plain)
	list(4, g.tables, plain)
	list(5, g.memories, plain)
	list(6, g.globals, plain)
	list(7, g.exports, plain)
	if g.start != "" {
		out = append(append(out, 8), sized(unhex(g.start))...)
	}
	list(9, g.elements, plain)
	if g.dataCount != "" {
		out = append(append(out, 12), sized(unhex(g.dataCount))...)
	}
	list(10, g.code, sized)
	list(11, g.data, plain)
	return append(out, unhex(g.after)...)
}

const (
	toNothing = "60 00 00"
	i32ToI32  = "60 01 7f 01 7f"
)

func exportFunc(name, index string) string { return named(name) + "00" + index }

// work is a guest that computes: each function in a form that metering changes.
func work() guest {
	return guest{
		types:     []string{toNothing, i32ToI32},
		functions: []string{"00", "01", "01", "01", "00", "00", "01", "01"},
		tables:    []string{"70 00 02"},
		memories:  []string{"01 01 ff ff 03"}, // 1 to 65535 pages
		exports: []string{exportFunc("empty", "00"), exportFunc("sum", "01"), exportFunc("copy", "02"), exportFunc("fib", "03"),
			exportFunc("spin", "04"), exportFunc("recurse", "05"), exportFunc("indirect", "06"), exportFunc("fill", "07"), named("memory") + "02 00"},
		elements: []string{"00 41 00 0b 02 03 01"}, // fib, sum
		code: []string{
			"00 0b",
			"01 01 7f 03 40 20 01 20 00 6a 21 01 20 00 41 01 6b 22 00 0d 00 0b 20 01 0b",
			"00 03 40 20 00 41 01 6b 22 00 20 00 2d 00 00 3a 00 80 80 02 20 00 0d 00 0b 20 00 0b",
			"00 20 00 41 02 48 04 7f 20 00 05 20 00 41 01 6b 10 03 20 00 41 02 6b 10 03 6a 0b 0b",
			"00 03 40 0c 00 0b 0b",
			"00 10 05 10 05 0b",
			// fib(n) by the table, plus sum(n) in a loop with a parameter and a result left on the stack
			"00 20 00 41 00 11 01 00  20 00 03 01 41 01 11 01 00 0b 6a 0b",
			"00 41 08 41 07 20 00 fc 0b 00  20 00 2d 00 07 0b", // memory.fill(8, 7, n); the last of them
		},
	}
}

// goGuest builds a Go module with an export run(i32) i32, and one that hangs.
func goGuest(t testing.TB) []byte {
	t.Helper()
	goOnce.Do(func() {
		dir, err := os.MkdirTemp("", "guest")
		if err != nil {
			goErr = err.Error()
			return
		}
		defer os.RemoveAll(dir)
		for name, text := range map[string]string{"go.mod": "module guest\n\ngo 1.24\n", "main.go": goSource} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				goErr = err.Error()
				return
			}
		}
		cmd := exec.Command("go", "build", "-buildmode=c-shared", "-o", "guest.wasm", ".")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOWORK=off", "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			goErr = err.Error() + "\n" + string(out)
			return
		}
		if goBytes, err = os.ReadFile(filepath.Join(dir, "guest.wasm")); err != nil {
			goErr = err.Error()
		}
	})
	if goErr != "" {
		t.Fatal(goErr)
	}
	return goBytes
}

var (
	goOnce  sync.Once
	goBytes []byte
	goErr   string
)

const goSource = `package main

import (
	"encoding/json"
	"fmt"
	"sort"
)

//go:wasmexport run
func run(n int32) int32 {
	m := map[string]int32{}
	for i := range n {
		m[fmt.Sprintf("%03d", i*7919%1000)] += i
	}
	b, _ := json.Marshal(m)
	sort.Slice(b, func(i, j int) bool { return b[i] < b[j] })
	sum := int32(len(b))
	for i, c := range b {
		sum = sum*31 + int32(c)*int32(i)
	}
	return sum
}

//go:wasmexport hang
func hang() {
	for {
	}
}

func main() {}
`
