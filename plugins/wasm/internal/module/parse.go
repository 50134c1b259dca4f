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

func (m *Module) readTypes(r *reader) {
	n := r.count(3, maxFunctions)
	m.types = make([]Signature, 0, n)
	for range n {
		switch b := r.byte(); {
		case r.err != nil:
			return
		case b == 0x5f || b == 0x5e || b == 0x50 || b == 0x4f || b == 0x4e:
			r.err = &FeatureError{"garbage collection", fmt.Sprintf("type %d", len(m.types))}
			return
		case b != 0x60:
			r.fail("type %d begins with 0x%02x", len(m.types), b)
			return
		}
		m.types = append(m.types, Signature{r.types(), r.types()})
	}
}

func (m *Module) readImports(r *reader) {
	n := r.count(4, maxFunctions)
	m.imports = make([]Import, 0, n)
	for range n {
		imp := Import{Module: r.name(), Name: r.name(), Kind: Kind(r.byte())}
		switch imp.Kind {
		case Func:
			t := r.index(uint32(len(m.types)), "type")
			if r.err == nil {
				imp.Signature = m.types[t]
				m.importTypes = append(m.importTypes, t)
			}
		case Table:
			m.readTable(r)
		case Memory:
			m.readLimits(r, "memory")
		case Global:
			r.globalType()
		case Tag:
			m.feature("exceptions")
			r.byte()
			r.u32()
		default:
			r.fail("import %d is of the unknown kind %d", len(m.imports), imp.Kind)
		}
		if r.err != nil {
			return
		}
		m.importCounts[imp.Kind]++
		m.imports = append(m.imports, imp)
	}
}

func (m *Module) readTable(r *reader) table {
	element := r.byte()
	if element == 0x40 || element == 0x63 || element == 0x64 {
		r.err = &FeatureError{"typed function references", "a table"}
	} else if element != FuncRef && element != ExternRef {
		r.fail("a table of type 0x%02x", element)
	}
	return table{element, m.readLimits(r, "table")}
}

func (m *Module) readLimits(r *reader, of string) limits {
	flags := r.byte()
	if flags > 7 {
		r.fail("limits of the unknown form 0x%02x", flags)
	}
	if flags&2 != 0 {
		m.feature("threads")
	}
	read := func() uint64 { return uint64(r.u32()) }
	if flags&4 != 0 {
		m.feature("64-bit addresses")
		read = r.u64
	}
	l := limits{min: read(), hasMax: flags&1 != 0}
	if l.hasMax {
		l.max = read()
		if l.max < l.min {
			r.fail("a %s of at least %d and at most %d", of, l.min, l.max)
		}
	}
	if of == "memory" && flags&4 == 0 && (l.min > 1<<16 || l.max > 1<<16) {
		r.fail("a memory of more than 65536 pages")
	}
	return l
}

func (m *Module) readExports(r *reader) {
	n := r.count(3, maxFunctions)
	m.exports = make([]Export, 0, n)
	m.exportIndex = make([]uint32, 0, n)
	seen := make(map[string]bool, n)
	for range n {
		e := Export{Name: r.name(), Kind: Kind(r.byte())}
		index := r.u32()
		if e.Kind > Tag {
			r.fail("export %q is of the unknown kind %d", e.Name, e.Kind)
		}
		if seen[e.Name] {
			r.fail("two exports are called %q", e.Name)
		}
		if r.err != nil {
			return
		}
		seen[e.Name] = true
		m.exports = append(m.exports, e)
		m.exportIndex = append(m.exportIndex, index)
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

func (m *Module) readCode(r *reader) {
	n := r.count(3, maxFunctions)
	m.bodies = make([]span, 0, n)
	var all uint64
	for i := range n {
		size := r.u32()
		if r.err == nil && (int64(size) > int64(r.end-r.pos) || size > maxBody) {
			r.fail("body %d claims %d bytes, %d are left and %d allowed", i, size, r.end-r.pos, maxBody)
		}
		if r.err != nil {
			return
		}
		b := &reader{data: r.data, pos: r.pos, end: r.pos + int(size)}
		all += b.locals()
		if b.err != nil {
			r.err = fmt.Errorf("body %d: %w", i, b.err)
			return
		}
		m.bodies = append(m.bodies, span{r.pos, b.end})
		r.pos = b.end
	}
	if all > spareLocals+uint64(r.end) {
		r.fail("the functions declare %d locals", all)
	}
}

// locals reads a body's declarations of locals and returns how many there are.
func (r *reader) locals() uint64 {
	var sum uint64
	for range r.count(2, maxLocals) {
		n := r.u32()
		r.valueType()
		if sum += uint64(n); sum > maxLocals {
			r.fail("more than %d locals", maxLocals)
		}
		if r.err != nil {
			return 0
		}
	}
	return sum
}

func (m *Module) readData(r *reader) {
	n := r.count(2, maxFunctions)
	m.dataSegments = n
	for range n {
		mode := r.u32()
		if mode == 2 {
			r.index(1, "memory")
		}
		if mode > 2 {
			r.fail("a data segment of the unknown mode %d", mode)
		}
		if mode != 1 {
			m.constant(r, nil)
		}
		r.bytes()
		if r.err != nil {
			return
		}
	}
}

// global reads an own global; with a rewriter, a copy of it is written with
// the index of a function changed.
func (m *Module) global(r *reader, w *rewriter) {
	from := r.pos
	r.globalType()
	w.copy(r.data[from:r.pos])
	m.constant(r, w)
}

// element reads a segment; with a rewriter, a copy of it is written with the
// indices of functions changed.
func (m *Module) element(r *reader, w *rewriter) {
	mode := r.u32()
	if mode > 7 {
		r.fail("an element segment of the unknown mode %d", mode)
		return
	}
	w.u32(mode)
	passive, explicit, expressions := mode&1 != 0, mode&2 != 0, mode&4 != 0
	if !passive {
		if explicit {
			w.u32(r.index(m.tableCount(), "table"))
		}
		m.constant(r, w)
	}
	if passive || explicit {
		kind := r.byte()
		w.byte(kind)
		if expressions && kind != FuncRef && kind != ExternRef || !expressions && kind != 0 {
			r.fail("an element segment of the unknown kind 0x%02x", kind)
		}
	}
	n := r.count(1, 1<<24)
	w.u32(n)
	for range n {
		if expressions {
			m.constant(r, w)
		} else {
			w.function(r.index(m.functionCount(), "function"))
		}
		if r.err != nil {
			return
		}
	}
}

// constant reads a constant expression: one instruction and an end. With a
// rewriter, a copy is written with the index of a function changed.
func (m *Module) constant(r *reader, w *rewriter) {
	from := r.pos
	switch op := r.byte(); op {
	case 0x41:
		r.sleb(5)
	case 0x42:
		r.sleb(10)
	case 0x43:
		r.skip(4)
	case 0x44:
		r.skip(8)
	case 0x23:
		r.index(m.globalCount(), "global")
	case 0xd0:
		if t := r.byte(); t != FuncRef && t != ExternRef {
			r.fail("ref.null of type 0x%02x", t)
		}
	case 0xd2:
		// Functions are declared before any section with an expression.
		f := r.index(m.functionCount(), "function")
		w.byte(op)
		w.function(f)
		from = r.pos
	case 0xfd:
		if sub := r.u32(); sub != 12 {
			r.fail("instruction 0xfd %d in a constant expression", sub)
		}
		r.skip(16)
	case 0x0b:
		r.fail("an empty constant expression")
		return
	default:
		r.fail("instruction 0x%02x in a constant expression", op)
	}
	if end := r.byte(); r.err == nil && end != 0x0b {
		r.err = &FeatureError{"extended constant expressions", fmt.Sprintf("the expression at %#x", from)}
	}
	if r.err == nil {
		w.copy(r.data[from:r.pos])
	}
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
