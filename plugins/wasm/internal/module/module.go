// Package module reads .wasm binaries and rewrites them, before an engine sees
// them: what a Proxy-Wasm host would refuse is found here, in words, and what
// runs is a module with a fuel counter and lower limits, so that no guest can
// keep a thread or eat the machine's memory.
//
// An engine trusts counts that a file claims; Parse does not. Give an engine
// what Meter returns, never the bytes of a stranger.
//
//	m, err := module.Parse(bytes)              // well formed?
//	problems := m.Problems(limitPages)         // would a host run it?
//	runnable, err := m.Meter(limitPages)       // what to compile
package module

import (
	"errors"
	"fmt"
	"strings"
)

// ValueType is a WebAssembly value type in its binary encoding, which is also
// that of wazero's api.ValueType.
type ValueType = byte

// The value types of WebAssembly 2.0.
const (
	I32       ValueType = 0x7f
	I64       ValueType = 0x7e
	F32       ValueType = 0x7d
	F64       ValueType = 0x7c
	V128      ValueType = 0x7b
	FuncRef   ValueType = 0x70
	ExternRef ValueType = 0x6f
)

// Signature is the type of a function.
type Signature struct {
	Params, Results []ValueType
}

// String is the signature as "(i32, i64) -> i32"; several results stand in
// parentheses, no result is "()".
func (s Signature) String() string {
	list := func(types []ValueType) string {
		names := make([]string, len(types))
		for i, t := range types {
			names[i] = typeName(t)
		}
		return "(" + strings.Join(names, ", ") + ")"
	}
	if len(s.Results) == 1 {
		return list(s.Params) + " -> " + typeName(s.Results[0])
	}
	return list(s.Params) + " -> " + list(s.Results)
}

// Equal says whether two functions have the same type.
func (s Signature) Equal(t Signature) bool {
	return string(s.Params) == string(t.Params) && string(s.Results) == string(t.Results)
}

func typeName(t ValueType) string {
	switch t {
	case I32:
		return "i32"
	case I64:
		return "i64"
	case F32:
		return "f32"
	case F64:
		return "f64"
	case V128:
		return "v128"
	case FuncRef:
		return "funcref"
	case ExternRef:
		return "externref"
	}
	return fmt.Sprintf("type 0x%02x", t)
}

// Kind is what an import or an export is, in its binary encoding.
type Kind byte

// The kinds of imports and exports.
const (
	Func Kind = iota
	Table
	Memory
	Global
	Tag // of exceptions; no module with one can run
)

// String is the kind's name, for people.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", byte(k))
}

var kindNames = [...]string{"function", "table", "memory", "global", "tag"}

// Import is something a module asks its host for. Signature is that of a Func.
type Import struct {
	Module, Name string
	Kind         Kind
	Signature    Signature
}

// Export is something a module offers its host. Signature is that of a Func.
type Export struct {
	Name      string
	Kind      Kind
	Signature Signature
}

// limits are the sizes of a table or a memory, in entries or pages.
type limits struct {
	min, max uint64
	hasMax   bool
}

// table is a table of the module's own.
type table struct {
	element ValueType
	limits
}

// span is a piece of the binary, from inclusive, to exclusive.
type span struct{ from, to int }

// custom is a custom section: its content lies after the name.
type custom struct {
	name string
	span
}

// Module is a binary that was read. It refers to the bytes given to Parse,
// which must not change. Its methods may be called from several goroutines.
type Module struct {
	data []byte

	types   []Signature
	imports []Import
	// importCounts counts the imports of each Kind: those come first in its index space.
	importCounts [Tag + 1]uint32
	functions    []uint32 // of own functions: the index of the type
	importTypes  []uint32 // of imported functions: the index of the type
	tables       []table
	memories     []limits
	globals      uint32 // own ones
	exports      []Export
	exportIndex  []uint32 // of each export, in its kind's index space
	start        int64    // the function's index, or -1
	elements     uint32
	dataCount    int64 // what the data count section claims, or -1
	dataSegments uint32
	bodies       []span // of own functions: locals and code
	customs      []custom
	features     []string // what the module needs beyond WebAssembly 2.0, outside of function bodies

	// sections are the contents of the sections that are copied or walked again, by section id.
	sections [sectionCount]span
}

// ABI is a version of the Proxy-Wasm interface; the zero value is none.
type ABI int

// The versions that a host runs.
const (
	ABI010 ABI = iota + 1 // 0.1.0
	ABI020                // 0.2.0
	ABI021                // 0.2.1
)

// String is the version as "0.2.1", or "none".
func (a ABI) String() string {
	switch a {
	case ABI010:
		return "0.1.0"
	case ABI020:
		return "0.2.0"
	case ABI021:
		return "0.2.1"
	}
	return "none"
}

const abiPrefix = "proxy_abi_version_"

// marker is the name of the function whose export says that a module is of this version.
func (a ABI) marker() string { return abiPrefix + strings.ReplaceAll(a.String(), ".", "_") }

// ABI is the version of the interface that the module was built for. It is an
// error when the module names none, one that is unknown, or several.
func (m *Module) ABI() (ABI, error) {
	var found ABI
	var names []string
	for _, e := range m.exports {
		if e.Kind != Func || !strings.HasPrefix(e.Name, abiPrefix) {
			continue
		}
		names = append(names, e.Name)
		for a := ABI010; a <= ABI021; a++ {
			if e.Name == a.marker() {
				found = a
			}
		}
	}
	switch {
	case len(names) == 0:
		return 0, errors.New("the module exports no ABI version (as proxy_abi_version_0_2_1): it is not a Proxy-Wasm plugin")
	case len(names) > 1:
		return 0, fmt.Errorf("the module exports several ABI versions: %s", strings.Join(names, ", "))
	case found == 0:
		return 0, fmt.Errorf("the module exports the unknown ABI version %s; known are 0.1.0, 0.2.0 and 0.2.1", names[0])
	}
	return found, nil
}

// Function says whether the module exports a function of this name, and its type.
func (m *Module) Function(name string) (Signature, bool) {
	for _, e := range m.exports {
		if e.Kind == Func && e.Name == name {
			return e.Signature, true
		}
	}
	return Signature{}, false
}

// FeatureError says that a module needs something that the engine does not run.
type FeatureError struct {
	Feature string // as "threads"
	Where   string // as "function 12"
}

func (e *FeatureError) Error() string {
	return fmt.Sprintf("%s needs %s, which is not supported", e.Where, e.Feature)
}
