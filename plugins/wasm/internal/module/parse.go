package module

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Bounds of a module. The first ones are those of V8, which is Envoy's engine:
// what is over them does not run there either.
const (
	maxParams    = 1000
	maxLocals    = 50_000 // of one function
	maxBody      = 7_654_321
	maxFunctions = 1_000_000
	maxTables    = 100 // V8 has 100,000; each costs its minimum
	// An engine keeps a word for every local of every function, and two bytes
	// declare 50,000 of them. What a function uses, it also names in its code.
	spareLocals = 1 << 20
)

const (
	sectionCustom = iota
	sectionType
	sectionImport
	sectionFunction
	sectionTable
	sectionMemory
	sectionGlobal
	sectionExport
	sectionStart
	sectionElement
	sectionCode
	sectionData
	sectionDataCount
	sectionTag
	sectionCount
)

// order is the place of each section in a module.
var order = [sectionCount]int{
	sectionType: 1, sectionImport: 2, sectionFunction: 3, sectionTable: 4, sectionMemory: 5, sectionTag: 6, sectionGlobal: 7,
	sectionExport: 8, sectionStart: 9, sectionElement: 10, sectionDataCount: 11, sectionCode: 12, sectionData: 13,
}

var sectionNames = [sectionCount]string{"custom", "type", "import", "function", "table", "memory", "global", "export", "start",
	"element", "code", "data", "data count", "tag"}

// Parse reads a binary: all of it but the function bodies, which Problems and
// Meter read. It fails on what is not a well-formed module of WebAssembly 2.0,
// with the section and, where it helps, the offset. The module goes on
// referring to data. What is allocated is in proportion to len(data).
func Parse(data []byte) (*Module, error) {
	if len(data) < 8 || string(data[:4]) != "\x00asm" {
		return nil, errors.New("not a WebAssembly module: it does not begin with \\0asm")
	}
	if v := binary.LittleEndian.Uint32(data[4:]); v != 1 {
		if v&0xffff0000 != 0 {
			return nil, errors.New("a WebAssembly component, not a core module: build without the component model")
		}
		return nil, fmt.Errorf("WebAssembly of version %d, want 1", v)
	}
	if len(data) > 1<<30 {
		return nil, fmt.Errorf("the module has %d bytes, more than 1 GiB", len(data))
	}
	m := &Module{data: data, start: -1, dataCount: -1}
	r := &reader{data: data, pos: 8, end: len(data)}
	last := 0
	for r.pos < r.end && r.err == nil {
		at := r.pos
		id := r.byte()
		size := r.u32()
		if r.err == nil && uint64(size) > uint64(r.end-r.pos) {
			r.fail("the section at %#x claims %d bytes, %d are left", at, size, r.end-r.pos)
		}
		if r.err != nil {
			break
		}
		if id >= sectionCount {
			return nil, fmt.Errorf("unknown section %d at %#x", id, at)
		}
		if id != sectionCustom {
			if order[id] <= last {
				return nil, fmt.Errorf("section %s at %#x is out of order or there twice", sectionNames[id], at)
			}
			last = order[id]
		}
		s := &reader{data: data, pos: r.pos, end: r.pos + int(size)}
		m.sections[id] = span{s.pos, s.end}
		m.section(id, s)
		if s.err == nil && s.pos != s.end {
			s.fail("%d bytes too many", s.end-s.pos)
		}
		if s.err != nil {
			return nil, fmt.Errorf("section %s at %#x: %w", sectionNames[id], at, s.err)
		}
		r.pos = s.end
	}
	if r.err != nil {
		return nil, r.err
	}
	if len(m.functions) != len(m.bodies) {
		return nil, fmt.Errorf("%d functions are declared and %d have a body", len(m.functions), len(m.bodies))
	}
	if m.dataCount >= 0 && m.dataCount != int64(m.dataSegments) {
		return nil, fmt.Errorf("the data count section says %d, there are %d data segments", m.dataCount, m.dataSegments)
	}
	// Exports may stand before what they name, so their types are looked up last.
	for i := range m.exports {
		if err := m.resolve(i); err != nil {
			return nil, err
		}
	}
	if m.start >= 0 {
		t, ok := m.functionType(uint32(m.start))
		if !ok || len(t.Params)+len(t.Results) > 0 {
			return nil, fmt.Errorf("the start function %d is none without parameters and results", m.start)
		}
	}
	return m, nil
}

func (m *Module) section(id byte, r *reader) {
	switch id {
	case sectionCustom:
		name := r.name()
		m.customs = append(m.customs, custom{name, span{r.pos, r.end}})
		r.pos = r.end
	case sectionType:
		m.readTypes(r)
	case sectionImport:
		m.readImports(r)
	case sectionFunction:
		n := r.count(1, maxFunctions)
		m.functions = make([]uint32, n)
		for i := range m.functions {
			m.functions[i] = r.index(uint32(len(m.types)), "type")
		}
	case sectionTable:
		n := r.count(3, maxTables)
		for range n {
			m.tables = append(m.tables, m.readTable(r))
		}
	case sectionMemory:
		n := r.count(2, 100)
		for range n {
			m.memories = append(m.memories, m.readLimits(r, "memory"))
		}
	case sectionTag:
		m.feature("exceptions")
		r.pos = r.end
	case sectionGlobal:
		n := r.count(4, maxFunctions)
		for range n {
			m.global(r, nil)
			m.globals++
		}
	case sectionExport:
		m.readExports(r)
	case sectionStart:
		m.start = int64(r.u32())
	case sectionElement:
		n := r.count(2, maxFunctions)
		m.elements = n
		for range n {
			m.element(r, nil)
		}
	case sectionDataCount:
		m.dataCount = int64(r.u32())
	case sectionCode:
		m.readCode(r)
	case sectionData:
		m.readData(r)
	}
}

// resolve checks what an export points to and fills in its type.
func (m *Module) resolve(i int) error {
	e, index := &m.exports[i], m.exportIndex[i]
	var count int
	switch e.Kind {
	case Func:
		count = int(m.functionCount())
	case Table:
		count = int(m.tableCount())
	case Memory:
		count = int(m.memoryCount())
	case Global:
		count = int(m.globalCount())
	case Tag:
		return nil // its section was not read
	}
	if int64(index) >= int64(count) {
		return fmt.Errorf("export %q is %s %d, there are %d", e.Name, e.Kind, index, count)
	}
	if e.Kind == Func {
		e.Signature, _ = m.functionType(index)
	}
	return nil
}

func (m *Module) functionCount() uint32 { return m.importCounts[Func] + uint32(len(m.functions)) }
func (m *Module) tableCount() uint32    { return m.importCounts[Table] + uint32(len(m.tables)) }
func (m *Module) memoryCount() uint32   { return m.importCounts[Memory] + uint32(len(m.memories)) }
func (m *Module) globalCount() uint32   { return m.importCounts[Global] + m.globals }

// functionType is the type of a function by its index.
func (m *Module) functionType(index uint32) (Signature, bool) {
	if index < uint32(len(m.importTypes)) {
		return m.types[m.importTypes[index]], true
	}
	if index -= uint32(len(m.importTypes)); index < uint32(len(m.functions)) {
		return m.types[m.functions[index]], true
	}
	return Signature{}, false
}

func (m *Module) feature(name string) {
	for _, f := range m.features {
		if f == name {
			return
		}
	}
	m.features = append(m.features, name)
}
