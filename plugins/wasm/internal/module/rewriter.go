package module

func (m *Module) reader(s span) *reader { return &reader{data: m.data, pos: s.from, end: s.to} }

// rewriter writes the metered module. Those of its methods that Parse's readers call do nothing on a nil one.
type rewriter struct {
	out      []byte
	imported uint32 // how many functions the module imports: the index of the fuel function

	// Pieces of code: the fuel on the stack; what is above it taken from it, and more asked for below zero.
	load, charge []byte

	head, code []byte // the body that is being written, before and after the first instruction of its own
	blocks     []block
	decoder    decoder
}

func (w *rewriter) byte(b byte) {
	if w != nil {
		w.out = append(w.out, b)
	}
}

func (w *rewriter) u32(v uint32) {
	if w != nil {
		w.out = appendU32(w.out, v)
	}
}

func (w *rewriter) copy(b []byte) {
	if w != nil {
		w.out = append(w.out, b...)
	}
}

// function writes the index that a function has now.
func (w *rewriter) function(index uint32) {
	if w != nil {
		w.out = appendU32(w.out, w.moved(index))
	}
}

// moved is the new index of a function: the fuel function is the last of the imported ones.
func (w *rewriter) moved(index uint32) uint32 {
	if index >= w.imported {
		return index + 1
	}
	return index
}

func (w *rewriter) name(s string) {
	w.u32(uint32(len(s)))
	w.out = append(w.out, s...)
}

// section writes a section whose content body writes.
func (w *rewriter) section(id byte, body func()) {
	w.byte(id)
	at := len(w.out)
	w.out = append(w.out, 0x80, 0x80, 0x80, 0x80, 0)
	body()
	size := uint32(len(w.out) - at - 5)
	for i := range 4 {
		w.out[at+i] = byte(size>>(7*i)) | 0x80
	}
	w.out[at+4] = byte(size >> 28)
}

// raw writes a section as it was, if there was one.
func (w *rewriter) raw(m *Module, id byte) {
	if s := m.sections[id]; s.from > 0 {
		w.byte(id)
		w.u32(uint32(s.to - s.from))
		w.copy(m.data[s.from:s.to])
	}
}

// list writes the content of a section that is a list of n entries, for more to follow.
func (w *rewriter) list(m *Module, id byte, n, more uint32) {
	w.u32(n + more)
	if s := m.sections[id]; s.from > 0 {
		r := m.reader(s)
		r.u32()
		w.copy(m.data[r.pos:r.end])
	}
}

// limits writes limits with a maximum of at most limit.
func (w *rewriter) limits(l limits, limit uint64) {
	if l.hasMax {
		limit = min(limit, l.max)
	}
	w.byte(1)
	w.u32(uint32(l.min))
	w.u32(uint32(limit))
}

func appendU32(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

// appendI64 appends a number that is not negative, in signed form.
func appendI64(b []byte, v int64) []byte {
	for v >= 0x40 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}
