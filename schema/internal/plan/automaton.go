package plan

import (
	"encoding/binary"
	"regexp"
	"regexp/syntax"
	"slices"
	"sync"
	"unicode/utf8"
)

// matcher decides whether a string matches a pattern. The patterns of the rules
// are short and the strings ASCII, where a table of states is twenty times as
// fast as package regexp; everything else is left to that package.
type matcher struct {
	re *regexp.Regexp
	// Built at the first use: a run seldom needs every pattern.
	once  sync.Once
	table *automaton // nil where the pattern does not fit in one
}

func newMatcher(re *regexp.Regexp) *matcher { return &matcher{re: re} }

func (m *matcher) match(s string) bool {
	m.once.Do(m.compile)
	a := m.table
	if a == nil {
		return m.re.MatchString(s)
	}
	row := a.start
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= utf8.RuneSelf {
			return m.re.MatchString(s)
		}
		row = a.next[row+uint32(a.class[c])]
		if row == found {
			return true
		}
	}
	return a.next[row+a.end] == found
}

func (m *matcher) compile() { m.table = compileAutomaton(m.re.String()) }

// automaton is a deterministic automaton over ASCII. Characters that no part of
// the pattern tells apart share a class; the end of the string is one of its own.
// A state is the index of its row in next.
type automaton struct {
	class [utf8.RuneSelf]uint8
	end   uint32
	next  []uint32 // state + class → state
	start uint32
}

const (
	found     = 0 // the state in which a match has ended
	maxStates = 4096
)

// compileAutomaton returns nil for a pattern with word boundaries or line
// anchors, and for one of too many states.
func compileAutomaton(pattern string) *automaton {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil
	}
	for _, in := range prog.Inst {
		if in.Op == syntax.InstEmptyWidth && syntax.EmptyOp(in.Arg)&^(syntax.EmptyBeginText|syntax.EmptyEndText) != 0 {
			return nil
		}
	}
	b := &builder{prog: prog, a: &automaton{}, ids: map[string]uint32{}, mark: make([]int, len(prog.Inst))}
	b.classify()
	if !b.build() {
		return nil
	}
	return b.a
}

// builder makes an automaton from prog by the subset construction. A state is
// the set of instructions that wait for a character.
type builder struct {
	prog    *syntax.Prog
	a       *automaton
	samples []rune // one character of each class
	sets    [][]uint32
	ids     map[string]uint32
	mark    []int // instruction → closure in which it was last reached
	closure int
}

// classify finds the characters that prog does not tell apart.
func (b *builder) classify() {
	var distinct []*syntax.Inst
	for i := range b.prog.Inst {
		in := &b.prog.Inst[i]
		switch in.Op {
		case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			if !slices.ContainsFunc(distinct, func(d *syntax.Inst) bool {
				return d.Op == in.Op && d.Arg == in.Arg && slices.Equal(d.Rune, in.Rune)
			}) {
				distinct = append(distinct, in)
			}
		}
	}
	classes := map[string]uint8{}
	for c := range rune(utf8.RuneSelf) {
		signature := make([]byte, len(distinct))
		for i, in := range distinct {
			if in.MatchRune(c) {
				signature[i] = 1
			}
		}
		id, ok := classes[string(signature)]
		if !ok {
			id = uint8(len(classes))
			classes[string(signature)] = id
			b.samples = append(b.samples, c)
		}
		b.a.class[c] = id
	}
	b.a.end = uint32(len(classes))
}

func (b *builder) build() bool {
	row := b.a.end + 1
	b.state(nil) // found
	first, done := b.follow([]uint32{uint32(b.prog.Start)}, syntax.EmptyBeginText)
	start := b.state(first)
	if !done {
		b.a.start = start * row
	}
	b.a.next = make([]uint32, row)
	for s := 1; s < len(b.sets); s++ {
		if len(b.sets) > maxStates {
			return false
		}
		_, accepts := b.follow(b.sets[s], syntax.EmptyEndText)
		if s == int(start) {
			_, empty := b.follow([]uint32{uint32(b.prog.Start)}, syntax.EmptyBeginText|syntax.EmptyEndText)
			accepts = accepts || empty
		}
		for _, c := range b.samples {
			// A match may begin at every character.
			heads := []uint32{uint32(b.prog.Start)}
			for _, pc := range b.sets[s] {
				if in := &b.prog.Inst[pc]; in.Op != syntax.InstEmptyWidth && in.MatchRune(c) {
					heads = append(heads, in.Out)
				}
			}
			set, done := b.follow(heads, 0)
			next := uint32(found)
			if !done {
				next = b.state(set) * row
			}
			b.a.next = append(b.a.next, next)
		}
		atEnd := row // any but found
		if accepts {
			atEnd = found
		}
		b.a.next = append(b.a.next, atEnd)
	}
	return true
}

// state returns the number of the state that waits at set.
func (b *builder) state(set []uint32) uint32 {
	key := make([]byte, 0, 4*len(set))
	for _, pc := range set {
		key = binary.LittleEndian.AppendUint32(key, pc)
	}
	if len(b.sets) == 0 {
		key = []byte("found") // unlike any set
	}
	id, ok := b.ids[string(key)]
	if !ok {
		id = uint32(len(b.sets))
		b.ids[string(key)] = id
		b.sets = append(b.sets, set)
	}
	return id
}

// follow goes on from heads to the instructions that wait for a character, or
// for an anchor that does not hold here, and reports whether a match ended.
func (b *builder) follow(heads []uint32, here syntax.EmptyOp) (waiting []uint32, matched bool) {
	b.closure++
	stack := slices.Clone(heads)
	for len(stack) > 0 {
		pc := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if b.mark[pc] == b.closure {
			continue
		}
		b.mark[pc] = b.closure
		in := &b.prog.Inst[pc]
		switch in.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			stack = append(stack, in.Out, in.Arg)
		case syntax.InstCapture, syntax.InstNop:
			stack = append(stack, in.Out)
		case syntax.InstEmptyWidth:
			switch need := syntax.EmptyOp(in.Arg); {
			case need&^here == 0:
				stack = append(stack, in.Out)
			case need&^here&syntax.EmptyBeginText == 0:
				waiting = append(waiting, pc) // $ may hold later
			}
		case syntax.InstMatch:
			matched = true
		case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			waiting = append(waiting, pc)
		}
	}
	slices.Sort(waiting)
	return waiting, matched
}
