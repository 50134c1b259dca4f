package module

import (
	"cmp"
	"slices"
)

// maxGap is how far two data segments may be apart to be joined, in bytes.
const maxGap = 256

// data writes the data segments, those that nearly touch as one: a program in Go
// has 30,000, and each costs every start a little. Segments of which code could
// speak are left alone, and so are those that overlap, whose order counts. Joining
// adds no more zeros than the section is long.
func (w *rewriter) data(m *Module) {
	s := m.sections[sectionData]
	joined, ok := m.joinData(s)
	if !ok {
		w.raw(m, sectionData)
		return
	}
	w.section(sectionData, func() {
		w.u32(uint32(len(joined)))
		for _, d := range joined {
			w.copy([]byte{0, 0x41}) // active, i32.const
			w.out = appendS32(w.out, int32(d.at))
			w.byte(opEnd)
			w.u32(uint32(d.size))
			for at, p := d.at, d.pieces; len(p) > 0; p = p[1:] {
				w.out = append(w.out, make([]byte, p[0].at-at)...)
				w.copy(p[0].content)
				at = p[0].at + uint64(len(p[0].content))
			}
		}
	})
}

// piece is a data segment and where in memory it goes.
type piece struct {
	at      uint64
	content []byte
}

// run are pieces that become one segment.
type run struct {
	at, size uint64
	pieces   []piece
}

// joinData groups the segments; ok is false where they have to stay as they are.
func (m *Module) joinData(s span) (joined []run, ok bool) {
	if m.dataCount >= 0 || m.dataSegments < 2 {
		return nil, false
	}
	r := m.reader(s)
	r.u32()
	pieces := make([]piece, m.dataSegments)
	for i := range pieces {
		if mode := r.u32(); mode != 0 || r.byte() != 0x41 {
			return nil, false
		}
		p := &pieces[i]
		p.at = uint64(uint32(r.s32()))
		r.byte() // the end
		p.content = r.bytes()
		if r.err != nil {
			return nil, false
		}
	}
	end, zeros := uint64(0), uint64(0)
	slices.SortStableFunc(pieces, func(a, b piece) int { return cmp.Compare(a.at, b.at) })
	for i, p := range pieces {
		if p.at < end {
			return nil, false
		}
		gap := p.at - end
		end = p.at + uint64(len(p.content))
		if n := len(joined); n > 0 && gap <= maxGap && zeros+gap <= uint64(s.to-s.from) {
			zeros += gap
			joined[n-1].size += gap + uint64(len(p.content))
			joined[n-1].pieces = joined[n-1].pieces[:len(joined[n-1].pieces)+1]
			continue
		}
		joined = append(joined, run{p.at, uint64(len(p.content)), pieces[i : i+1]})
	}
	return joined, end <= 1<<32
}

// s32 reads a signed number of 32 bits; what is more than that an engine refuses.
func (r *reader) s32() int32 {
	var v uint32
	for shift := 0; shift < 35; shift += 7 {
		b := r.byte()
		v |= uint32(b&0x7f) << shift
		if b < 0x80 {
			if shift < 28 && b&0x40 != 0 {
				v |= ^uint32(0) << (shift + 7)
			}
			if unused := b >> 3; shift == 28 && unused != 0 && unused != 0x0f {
				r.fail("a number that is too large at %#x", r.pos)
			}
			return int32(v)
		}
	}
	r.fail("a number that is too long at %#x", r.pos)
	return 0
}

// appendS32 appends a signed number.
func appendS32(b []byte, v int32) []byte {
	for {
		c := byte(v) & 0x7f
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

// Hollow returns a module with all that it says of itself, but with functions
// that only trap. Its compiled code could be that of the module: an engine that
// has that has nothing to check.
func Hollow(data []byte) ([]byte, error) {
	m, err := Parse(data)
	if err != nil {
		return nil, err
	}
	w := &rewriter{out: append(make([]byte, 0, len(data)), data[:8]...)}
	for r := (&reader{data: data, pos: 8, end: len(data)}); r.pos < r.end; {
		at := r.pos
		id := r.byte()
		size := int(r.u32())
		r.pos += size
		if id != sectionCode {
			w.copy(data[at:r.pos])
			continue
		}
		w.section(id, func() {
			w.u32(uint32(len(m.bodies)))
			for range m.bodies {
				w.copy([]byte{3, 0, 0, opEnd}) // size, no locals, unreachable
			}
		})
	}
	return w.out, nil
}
