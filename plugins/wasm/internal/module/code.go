package module

import "fmt"

// decoder walks over the instructions of one function body. It decodes every
// immediate exactly as the engine does: a body that two decoders read in
// different ways could hide a loop from one of them. So what is ambiguous
// (an instruction's number that is longer than it need be) is an error.
type decoder struct {
	reader
	m      *Module
	locals uint32 // parameters and locals
	depth  int    // of open blocks; the body itself is not one

	// The instruction that next read:
	start int    // where it begins in data
	op    byte   // its first byte
	sub   uint32 // its number, when op is a prefix
	index uint32 // of call, ref.func
}

const (
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opEnd          = 0x0b
	opCall         = 0x10
	opCallIndirect = 0x11
	opRefFunc      = 0xd2
	opBulk         = 0xfc
)

// bulk says whether the instruction works on as many bytes or entries as the
// number on top of the stack says.
func (d *decoder) bulk() bool {
	if d.op != opBulk {
		return false
	}
	switch d.sub {
	case 8, 10, 11, 12, 14, 17: // memory.init .copy .fill, table.init .copy .fill
		return true
	}
	return false
}

// next reads an instruction. It is false after the body's end and at an error, which is in err.
func (d *decoder) next() bool {
	if d.err != nil || d.depth < 0 {
		if d.err == nil && d.pos != d.end {
			d.fail("code after the end")
		}
		return false
	}
	d.start = d.pos
	d.op = d.byte()
	switch op := d.op; {
	case op >= 0x45 && op <= 0xc4, op == 0x00, op == 0x01, op == 0x0f, op == 0x1a, op == 0x1b, op == 0xd1:
	case op >= 0x20 && op <= 0x22: // locals
		d.reader.index(d.locals, "local")
	case op == 0x23 || op == 0x24:
		d.reader.index(d.m.globalCount(), "global")
	case op >= 0x28 && op <= 0x3e:
		d.memory()
	case op == 0x41:
		d.sleb(5)
	case op == 0x42:
		d.sleb(10)
	case op == opBlock || op == opLoop || op == opIf:
		d.blockType()
		d.depth++
	case op == 0x05:
		if d.depth == 0 {
			d.fail("else outside of a block")
		}
	case op == opEnd:
		d.depth--
	case op == 0x0c || op == 0x0d:
		d.reader.index(uint32(d.depth)+1, "label")
	case op == 0x0e:
		for range d.count(1, maxBody) + 1 {
			d.reader.index(uint32(d.depth)+1, "label")
		}
	case op == opCall || op == opRefFunc:
		d.index = d.reader.index(d.m.functionCount(), "function")
	case op == opCallIndirect:
		d.reader.index(uint32(len(d.m.types)), "type")
		d.reader.index(d.m.tableCount(), "table")
	case op == 0x1c:
		for range d.count(1, maxParams) {
			d.valueType()
		}
	case op == 0x25 || op == 0x26:
		d.reader.index(d.m.tableCount(), "table")
	case op == 0x3f || op == 0x40:
		d.memoryIndex()
	case op == 0x43:
		d.skip(4)
	case op == 0x44:
		d.skip(8)
	case op == 0xd0:
		if t := d.byte(); t != FuncRef && t != ExternRef {
			d.unsupported("typed function references")
		}
	case op == opBulk:
		d.misc()
	case op == 0xfd:
		d.vector()
	case op >= 0x06 && op <= 0x0a, op == 0x18, op == 0x19, op == 0x1f:
		d.unsupported("exceptions")
	case op == 0x12 || op == 0x13:
		d.unsupported("tail calls")
	case op == 0x14, op == 0x15, op >= 0xd3 && op <= 0xd6:
		d.unsupported("typed function references")
	case op == 0xfb:
		d.unsupported("garbage collection")
	case op == 0xfe:
		d.unsupported("threads")
	default:
		d.fail("unknown instruction 0x%02x at %#x", op, d.start)
	}
	return d.err == nil
}

func (d *decoder) unsupported(feature string) {
	if d.err == nil {
		d.err = &FeatureError{feature, fmt.Sprintf("the code at %#x", d.start)}
	}
}

func (d *decoder) memory() {
	if d.m.memoryCount() == 0 {
		d.fail("an instruction on memory at %#x, and there is no memory", d.start)
	}
	if align := d.u32(); align >= 32 {
		if align&0x40 != 0 {
			d.unsupported("several memories")
		}
		d.fail("an alignment of 2^%d at %#x", align, d.start)
	}
	d.u32()
}

func (d *decoder) memoryIndex() {
	if d.m.memoryCount() == 0 {
		d.fail("an instruction on memory at %#x, and there is no memory", d.start)
	}
	if d.byte() != 0 {
		d.unsupported("several memories")
	}
}

func (d *decoder) blockType() {
	if d.pos < d.end {
		switch b := d.data[d.pos]; b {
		case 0x40, I32, I64, F32, F64, V128, FuncRef, ExternRef:
			d.pos++
			return
		case 0x63, 0x64:
			d.unsupported("typed function references")
			return
		case 0x69, 0x68, 0x74, 0x75:
			d.unsupported("exceptions")
			return
		}
	}
	// A signed number of 33 bits that is not negative: unsigned, with the sign's bit zero.
	from := d.pos
	v := d.uleb(5)
	if d.err == nil && (d.data[d.pos-1]&0x40 != 0 || v >= uint64(len(d.m.types))) {
		d.fail("a block of an unknown type at %#x", from)
	}
}

// number reads the number that follows a prefix.
func (d *decoder) number() {
	from := d.pos
	d.sub = d.u32()
	if d.err == nil && (d.pos-from > 1) != (d.sub > 0x7f) || d.pos-from > 2 {
		d.fail("instruction 0x%02x %d at %#x is not in its shortest form", d.op, d.sub, d.start)
	}
}

func (d *decoder) misc() {
	d.number()
	switch d.sub {
	case 0, 1, 2, 3, 4, 5, 6, 7: // saturating conversions
	case 8: // memory.init
		d.segment()
		d.memoryIndex()
	case 9: // data.drop
		d.segment()
	case 10: // memory.copy
		d.memoryIndex()
		d.memoryIndex()
	case 11: // memory.fill
		d.memoryIndex()
	case 12: // table.init
		d.reader.index(d.m.elements, "element segment")
		d.reader.index(d.m.tableCount(), "table")
	case 13: // elem.drop
		d.reader.index(d.m.elements, "element segment")
	case 14: // table.copy
		d.reader.index(d.m.tableCount(), "table")
		d.reader.index(d.m.tableCount(), "table")
	case 15, 16, 17: // table.grow .size .fill
		d.reader.index(d.m.tableCount(), "table")
	default:
		d.fail("unknown instruction 0xfc %d at %#x", d.sub, d.start)
	}
}

func (d *decoder) segment() {
	if d.m.dataCount < 0 {
		d.fail("an instruction on a data segment at %#x without a data count section", d.start)
		return
	}
	d.reader.index(d.m.dataSegments, "data segment")
}

func (d *decoder) vector() {
	d.number()
	switch n := d.sub; {
	case n <= 11, n == 92, n == 93: // loads, stores
		d.memory()
	case n == 12, n == 13: // v128.const, i8x16.shuffle
		d.skip(16)
	case n >= 21 && n <= 34: // lanes
		d.skip(1)
	case n >= 84 && n <= 91: // loads and stores of lanes
		d.memory()
		d.skip(1)
	case n > 255:
		d.unsupported("relaxed SIMD")
	}
	// What else has no immediate, or is not an instruction and the engine says so.
}
