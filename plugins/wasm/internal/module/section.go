package module

import (
	"fmt"
)

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
