package module

import (
	"fmt"
)

// Version changes whenever Problems or Meter come to another result for a module
// that was without problems: what was made of it before is void then.
const Version = 1

// TableLimit is how many entries all tables of a metered module can have together.
const TableLimit = 1 << 20

// Meter returns the module as it is to be run, and leaves this one as it is:
//
//   - Functions and loops take fuel: each call of a function that calls others,
//     each turn of a loop, more when the code is long, and each bulk operation
//     by its size. When it is used up the module calls FuelModule.FuelName,
//     which it imports besides its own imports.
//   - The memory's maximum is limitPages (of 64 KiB), or its own when that is
//     smaller; the tables' together is TableLimit. Growing beyond gives -1.
//   - Of the custom sections only the names of functions are kept, for traces.
//
// It is an error when a memory or the tables start larger than their limit,
// when a memory or table is imported, when the code is not well formed, and,
// as a *FeatureError, when it needs what the engine does not run.
func (m *Module) Meter(limitPages uint32) ([]byte, error) {
	if len(m.features) > 0 {
		return nil, &FeatureError{m.features[0], "the module"}
	}
	if m.importCounts[Memory]+m.importCounts[Table] > 0 {
		return nil, fmt.Errorf("the module imports a memory or a table; it has to have its own")
	}
	if len(m.memories) > 1 {
		return nil, &FeatureError{"several memories", "the module"}
	}
	w := &rewriter{imported: m.importCounts[Func]}
	fuel := m.globalCount()
	w.load = appendU32([]byte{0x23}, fuel)         // global.get
	w.charge = appendU32([]byte{0x7d, 0x24}, fuel) // i64.sub, global.set
	w.charge = append(w.charge, w.load...)
	w.charge = append(w.charge, 0x42, 0, 0x53, opIf, 0x40) // i64.const 0, i64.lt_s
	w.charge = appendU32(append(w.charge, opCall), w.imported)
	w.charge = appendU32(append(w.charge, 0x24), fuel)
	w.charge = append(w.charge, opEnd)
	code := m.sections[sectionCode]
	w.out = make([]byte, 0, len(m.data)+(code.to-code.from)/3+256)
	w.copy(m.data[:8])

	fuelType := w.types(m)
	w.section(sectionImport, func() {
		w.list(m, sectionImport, uint32(len(m.imports)), 1)
		w.name(FuelModule)
		w.name(FuelName)
		w.byte(byte(Func))
		w.u32(fuelType)
	})
	w.raw(m, sectionFunction)
	if err := w.tables(m); err != nil {
		return nil, err
	}
	if err := w.memories(m, limitPages); err != nil {
		return nil, err
	}
	w.section(sectionGlobal, func() {
		w.u32(m.globals + 1)
		if m.globals > 0 {
			r := m.reader(m.sections[sectionGlobal])
			r.u32()
			for range m.globals {
				m.global(r, w)
			}
		}
		w.copy([]byte{I64, 1, 0x42, 0, opEnd}) // mutable, at first zero
	})
	if len(m.exports) > 0 {
		w.section(sectionExport, func() {
			w.u32(uint32(len(m.exports)))
			for i, e := range m.exports {
				w.name(e.Name)
				w.byte(byte(e.Kind))
				if e.Kind == Func {
					w.function(m.exportIndex[i])
				} else {
					w.u32(m.exportIndex[i])
				}
			}
		})
	}
	if m.start >= 0 {
		w.section(sectionStart, func() { w.function(uint32(m.start)) })
	}
	if m.elements > 0 {
		w.section(sectionElement, func() {
			r := m.reader(m.sections[sectionElement])
			w.u32(r.u32())
			for range m.elements {
				m.element(r, w)
			}
		})
	}
	w.raw(m, sectionDataCount)
	if len(m.bodies) > 0 {
		var err error
		w.section(sectionCode, func() {
			w.u32(uint32(len(m.bodies)))
			for i := range m.bodies {
				if err = w.body(m, i); err != nil {
					return
				}
			}
		})
		if err != nil {
			return nil, err
		}
	}
	w.data(m)
	w.names(m)
	return w.out, nil
}

// groups are the declarations of a body's locals, after their count.
type groups struct {
	span
	count uint32
}

// decode puts d before the code of an own function, after its locals.
func (m *Module) decode(i int, d *decoder) groups {
	b := m.bodies[i]
	*d = decoder{reader: reader{data: m.data, pos: b.from, end: b.to}, m: m}
	var g groups
	g.count = d.u32()
	g.from = d.pos
	d.pos = b.from
	d.locals = uint32(len(m.types[m.functions[i]].Params)) + uint32(d.reader.locals())
	g.to = d.pos
	return g
}

// block is an open block of a body.
type block struct {
	cost  int // where in the code its cost goes, 0 when it is no loop
	start int // where it begins in the module
	calls int // how many calls came before it
}

// types writes the types with that of the fuel function among them, and returns its index.
func (w *rewriter) types(m *Module) uint32 {
	fuel := Signature{Results: []ValueType{I64}}
	index, more := uint32(len(m.types)), uint32(1)
	for i, t := range m.types {
		if t.Equal(fuel) {
			index, more = uint32(i), 0
			break
		}
	}
	w.section(sectionType, func() {
		w.list(m, sectionType, uint32(len(m.types)), more)
		if more > 0 {
			w.copy([]byte{0x60, 0, 1, I64})
		}
	})
	return index
}

func (w *rewriter) tables(m *Module) error {
	if len(m.tables) == 0 {
		return nil
	}
	var min uint64
	for _, t := range m.tables {
		min += t.min
	}
	if min > TableLimit {
		return fmt.Errorf("the tables start with %d entries, more than the limit of %d", min, TableLimit)
	}
	spare := (TableLimit - min) / uint64(len(m.tables))
	w.section(sectionTable, func() {
		w.u32(uint32(len(m.tables)))
		for _, t := range m.tables {
			w.byte(t.element)
			w.limits(t.limits, t.min+spare)
		}
	})
	return nil
}

func (w *rewriter) memories(m *Module, limitPages uint32) error {
	if len(m.memories) == 0 {
		return nil
	}
	memory := m.memories[0]
	if memory.min > uint64(limitPages) {
		return fmt.Errorf("the memory starts with %d pages of 64 KiB, more than the limit of %d", memory.min, limitPages)
	}
	w.section(sectionMemory, func() {
		w.u32(1)
		w.limits(memory, uint64(min(limitPages, 1<<16)))
	})
	return nil
}

// What fuel a piece of code takes. A unit is a turn or a call, 64 bytes of code
// or of data, so that a unit is nowhere much longer than elsewhere: code is
// counted, or a loop around a megabyte of instructions would be one turn.
const shiftPerUnit = 6

// smallLeaf is how much code a function may have that takes no fuel, for it has
// no loop and no call. Each call is counted where it stands.
const smallLeaf = 256

func cost(bytes, calls int) int64 { return 1 + int64(bytes>>shiftPerUnit) + int64(calls) }

// body writes an own function's body.
func (w *rewriter) body(m *Module, i int) error {
	d := &w.decoder
	groups := m.decode(i, d)
	from, copied := d.pos, d.pos // copied: up to where the code is in w.code
	w.code, w.blocks = w.code[:0], w.blocks[:0]
	calls, bulk := 0, false
	upTo := func(pos int) {
		w.code = append(w.code, m.data[copied:pos]...)
		copied = pos
	}
	for d.next() {
		switch {
		case d.op == opBlock || d.op == opIf:
			w.blocks = append(w.blocks, block{})
		case d.op == opLoop:
			upTo(d.pos)
			w.code = append(w.code, w.load...)
			w.code = append(w.code, 0x42) // i64.const
			w.blocks = append(w.blocks, block{len(w.code), d.start, calls})
			w.code = append(w.code, 0, 0, 0, 0) // the cost, known at the loop's end
			w.code = append(w.code, w.charge...)
		case d.op == opEnd && len(w.blocks) > 0:
			b := w.blocks[len(w.blocks)-1]
			w.blocks = w.blocks[:len(w.blocks)-1]
			if b.cost > 0 {
				c := cost(d.pos-b.start, calls-b.calls) // below 2^27, as bodies are bounded
				for i := range 4 {
					w.code[b.cost+i] = byte(c>>(7*i))&0x7f | 0x80
				}
				w.code[b.cost+3] &= 0x7f
			}
		case d.op == opCall:
			calls++
			fallthrough
		case d.op == opRefFunc:
			upTo(d.start)
			w.code = appendU32(append(w.code, d.op), w.moved(d.index))
			copied = d.pos
		case d.op == opCallIndirect:
			calls++
		case d.bulk():
			bulk = true
			upTo(d.start)
			w.code = appendU32(append(w.code, 0x22), d.locals) // local.tee: the size, in a new local
			w.code = append(w.code, w.load...)
			w.code = appendU32(append(w.code, 0x20), d.locals)           // local.get
			w.code = append(w.code, 0xad, 0x42, shiftPerUnit&0x7f, 0x88) // i64.extend_i32_u, i64.const, i64.shr_u
			w.code = append(w.code, w.charge...)
		}
	}
	if d.err != nil {
		return fmt.Errorf("function %d: %w", w.imported+uint32(i), d.err)
	}
	upTo(d.end)

	w.head = w.head[:0]
	locals := m.data[groups.from:groups.to]
	if bulk {
		w.head = append(appendU32(w.head, groups.count+1), locals...)
		w.head = append(w.head, 1, I32)
	} else {
		w.head = append(appendU32(w.head, groups.count), locals...)
	}
	if size := d.end - from; calls > 0 || size > smallLeaf {
		w.head = append(w.head, w.load...)
		w.head = appendI64(append(w.head, 0x42), cost(size, calls))
		w.head = append(w.head, w.charge...)
	}
	w.u32(uint32(len(w.head) + len(w.code)))
	w.copy(w.head)
	w.copy(w.code)
	return nil
}

// names writes the section with the module's and the functions' names. One that
// is not well formed is left out: it is no part of what the module does.
func (w *rewriter) names(m *Module) {
	start := len(w.out)
	for _, c := range m.customs {
		if c.name != "name" {
			continue
		}
		r := m.reader(c.span)
		w.section(sectionCustom, func() {
			w.name("name")
			for r.err == nil && r.pos < r.end {
				id := r.byte()
				content := r.bytes()
				if r.err != nil || id > 1 {
					continue // of locals, labels, types …
				}
				s := m.reader(span{r.pos - len(content), r.pos})
				w.section(id, func() {
					if id == 0 {
						w.name(s.name())
					} else {
						n := s.count(2, maxFunctions)
						w.u32(n)
						for range n {
							w.function(s.index(m.functionCount(), "function"))
							w.name(s.name())
						}
					}
				})
				if s.err != nil || s.pos != s.end {
					r.fail("a name subsection that is not well formed")
				}
			}
		})
		if r.err != nil {
			w.out = w.out[:start]
		}
		return
	}
}
