package module

import (
	"fmt"
)

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
