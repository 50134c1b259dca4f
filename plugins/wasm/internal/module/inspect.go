package module

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// Report is what can be said of a module without running it.
type Report struct {
	ABI       ABI // zero when there is none, an unknown one or several
	Size      int // of the binary, in bytes
	SHA256    string
	Name      string // what its toolchain called it, often empty
	Producers []Producer
	Imports   []Import
	Exports   []Export
	Callbacks []string // those of its ABI that it has
	Functions int      // own ones

	// Memory in pages of 64 KiB. MaxPages is 0 when the module sets no maximum.
	MinPages, MaxPages uint64

	Problems []string
}

// Producer is a tool that made the module, as its "producers" section says.
type Producer struct {
	Field         string // "language", "processed-by" or "sdk"
	Name, Version string
}

// Inspect reports on the module; Problems are those of Problems(limitPages).
func (m *Module) Inspect(limitPages uint32) Report {
	sum := sha256.Sum256(m.data)
	abi, _ := m.ABI()
	r := Report{
		ABI: abi, Size: len(m.data), SHA256: hex.EncodeToString(sum[:]), Name: m.name(), Producers: m.producers(),
		Imports: m.imports, Exports: m.exports, Functions: len(m.functions), Problems: m.Problems(limitPages),
	}
	if len(m.memories) > 0 {
		r.MinPages, r.MaxPages = m.memories[0].min, m.memories[0].max
	}
	for _, c := range Callbacks(abi) {
		if _, ok := m.Function(c.Name); ok {
			r.Callbacks = append(r.Callbacks, c.Name)
		}
	}
	return r
}

// Problems is everything for which the module is refused as a plugin, each a
// sentence for its author; none when it can run. Memory may start with
// limitPages pages of 64 KiB at most. A module without problems can be metered.
func (m *Module) Problems(limitPages uint32) []string {
	var all []string
	add := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	abi, err := m.ABI()
	if err != nil {
		add("%s", err)
	}
	m.checkImports(abi, add)
	m.checkExports(abi, add)
	m.checkMemory(limitPages, add)
	for _, feature := range m.features {
		add("the module needs %s, which is not supported", feature)
	}
	seen := map[string]bool{}
	var d decoder
	for i := range m.bodies {
		m.decode(i, &d)
		for d.next() {
		}
		var feature *FeatureError
		switch {
		case errors.As(d.err, &feature) && seen[feature.Feature]:
		case errors.As(d.err, &feature):
			seen[feature.Feature] = true
			add("function %d: %s", m.importCounts[Func]+uint32(i), feature)
		case d.err != nil:
			add("function %d is not well formed: %s", m.importCounts[Func]+uint32(i), d.err)
			return all
		}
	}
	return all
}

func (m *Module) checkImports(abi ABI, add func(string, ...any)) {
	type name struct{ module, name string }
	known := map[name]Signature{}
	for _, f := range HostFunctions(abi) {
		known[name{f.Module, f.Name}] = f.Signature
	}
	for _, imp := range m.imports {
		want, ok := known[name{imp.Module, imp.Name}]
		switch {
		case imp.Kind != Func:
			add("it imports the %s %s.%s; a host gives functions only", imp.Kind, imp.Module, imp.Name)
		case !ok && knownElsewhere(imp, abi) == 0:
			add("it imports %s.%s, which no host has", imp.Module, imp.Name)
		case !ok && abi != 0: // without an ABI, that is problem enough
			add("it imports %s.%s, which ABI %s does not have (%s has)", imp.Module, imp.Name, abi, knownElsewhere(imp, abi))
		case ok && !want.Equal(imp.Signature):
			add("it imports %s.%s as %s, the host has it as %s", imp.Module, imp.Name, imp.Signature, want)
		}
	}
}

// knownElsewhere is a version that has the import, when the module's own has not.
func knownElsewhere(imp Import, abi ABI) ABI {
	for a := ABI010; a <= ABI021; a++ {
		for _, f := range proxyImports {
			if a != abi && imp.Module == "env" && f.name == imp.Name && f.in(a) {
				return a
			}
		}
	}
	return 0
}

func (m *Module) checkExports(abi ABI, add func(string, ...any)) {
	check := func(name string, want Signature) bool {
		got, ok := m.Function(name)
		if ok && !got.Equal(want) {
			add("it exports %s as %s, the host calls it as %s", name, got, want)
		}
		return ok
	}
	if abi != 0 {
		check(abi.marker(), Signature{})
		for _, c := range Callbacks(abi) {
			check(c.Name, c.Signature)
		}
	}
	if check("_initialize", Signature{}) {
		if !check("main", sign("ii", "i")) {
			check("__main_void", sign("", "i"))
		}
	} else {
		check("_start", Signature{})
	}
	if !check("malloc", sign("i", "i")) && !check("proxy_on_memory_allocate", sign("i", "i")) {
		add("it exports neither malloc nor proxy_on_memory_allocate: the host has no way to give it data")
	}
}

func (m *Module) checkMemory(limitPages uint32, add func(string, ...any)) {
	exported := false
	for _, e := range m.exports {
		exported = exported || e.Kind == Memory && e.Name == "memory"
	}
	if !exported {
		add("it exports no memory called \"memory\"")
	}
	if len(m.memories) > 1 {
		add("it has %d memories; one is supported", len(m.memories))
	}
	for _, l := range m.memories {
		if l.min > uint64(limitPages) {
			add("its memory starts with %d pages of 64 KiB, more than the limit of %d", l.min, limitPages)
		}
	}
	var entries uint64
	for _, t := range m.tables {
		entries += t.min
	}
	if entries > TableLimit {
		add("its tables start with %d entries, more than the limit of %d", entries, TableLimit)
	}
}

// name is the module's name of its name section.
func (m *Module) name() string {
	for _, c := range m.customs {
		if c.name != "name" {
			continue
		}
		r := m.reader(c.span)
		if r.byte() == 0 && r.u32() > 0 {
			if name := r.name(); r.err == nil {
				return name
			}
		}
	}
	return ""
}

// producers reads the section in which toolchains name themselves, as far as it is well formed.
// https://github.com/WebAssembly/tool-conventions/blob/main/ProducersSection.md
func (m *Module) producers() []Producer {
	var all []Producer
	for _, c := range m.customs {
		if c.name != "producers" {
			continue
		}
		r := m.reader(c.span)
		for range r.count(2, 100) {
			field := r.name()
			for range r.count(2, 1000) {
				p := Producer{field, r.name(), r.name()}
				if r.err != nil {
					return all
				}
				all = append(all, p)
			}
		}
	}
	return all
}
