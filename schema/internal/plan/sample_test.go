package plan_test

import (
	"regexp/syntax"
	"strconv"
	"strings"

	"github.com/meshc/meshc/schema/tree"
)

// Values that rules draw lines at, beside those that they name.
var (
	edges = []string{
		"", "a", "a", "web", "A", "-a", "a-", "a.b", "a/b", "10.0.0.1", "127.0.0.1", "fe80::1", "example.com", "example.com.", "/x", "x y", "*", "80",
		"10s", "0s", "-5s", "1h30m", "10", "mbps", "dGVzdAo=", "true", "null",
	}
	numbers = []int{-1, 0, 1, 2, 80, 80, 100, 101, 443, 500, 65535, 65536, 86400, 1 << 31, 1<<32 - 1, 1 << 40}
)

func (m maker) ofType(name string) *tree.Node {
	switch name {
	case "string":
		return m.ofKind(tree.String)
	case "bool":
		return m.ofKind(tree.Bool)
	case "int", "int32", "int64", "uint16", "uint32":
		return m.ofKind(tree.Int)
	case "number", "float":
		return m.ofKind(pick(m, []tree.Kind{tree.Int, tree.Float}))
	}
	return m.anything(1)
}

func (m maker) ofKind(k tree.Kind) *tree.Node {
	switch k {
	case tree.Bool:
		return &tree.Node{Kind: k, Text: strconv.FormatBool(m.chance(50))}
	case tree.Int:
		if m.chance(3) {
			return &tree.Node{Kind: k, Text: pick(m, []string{"9223372036854775807", "9223372036854775808", "-9223372036854775809"})}
		}
		return num(pick(m, numbers))
	case tree.Float:
		return &tree.Node{Kind: k, Text: pick(m, []string{"0.5", "99.9", "-0.25", "1.0", "1e2", "100.5"})}
	case tree.String:
		if m.chance(3) { // longer than names may be
			return str(strings.Repeat("a", pick(m, []int{63, 64, 253, 254})) + pick(m, []string{"", "/b"}))
		}
		return str(pick(m, edges))
	}
	return &tree.Node{Kind: k}
}

// anything makes a value of any type.
func (m maker) anything(depth int) *tree.Node {
	k := pick(m, []tree.Kind{tree.Null, tree.Bool, tree.Int, tree.Int, tree.Float, tree.String, tree.String, tree.String, tree.List, tree.Map})
	n := m.ofKind(k)
	if depth > 0 && m.chance(70) {
		switch k {
		case tree.List:
			n.Items = []*tree.Node{m.anything(depth - 1)}
		case tree.Map:
			n.Fields = []tree.Field{{Key: pick(m, m.keys), Value: m.anything(depth - 1)}}
		}
	}
	return n
}

// sample makes a string that re matches, but for what it wants around it.
func (m maker) sample(re *syntax.Regexp) string {
	switch re.Op {
	case syntax.OpLiteral:
		return string(re.Rune)
	case syntax.OpCharClass:
		return string(m.char(re.Rune))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return string(m.char([]rune{' ', '~'}))
	case syntax.OpCapture:
		return m.sample(re.Sub[0])
	case syntax.OpConcat:
		var b strings.Builder
		for _, sub := range re.Sub {
			b.WriteString(m.sample(sub))
		}
		return b.String()
	case syntax.OpAlternate:
		return m.sample(pick(m, re.Sub))
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		low, high := re.Min, re.Max
		switch re.Op {
		case syntax.OpStar:
			low, high = 0, -1
		case syntax.OpPlus:
			low, high = 1, -1
		case syntax.OpQuest:
			low, high = 0, 1
		}
		if high < 0 {
			high = low + 4
		}
		count := low + m.IntN(min(high-low, 5)+1)
		if m.chance(5) {
			count = high
		}
		if low > 50 {
			return strings.Repeat("a", low) // something long, that other patterns may match as well
		}
		var b strings.Builder
		for range count {
			b.WriteString(m.sample(re.Sub[0]))
		}
		return b.String()
	}
	return ""
}

// char is a character of a class, an ASCII one that can be printed if there is one.
func (m maker) char(ranges []rune) rune {
	for range 8 {
		i := 2 * m.IntN(len(ranges)/2)
		low, high := max(ranges[i], ' '), min(ranges[i+1], '~')
		if low <= high {
			return low + rune(m.IntN(int(high-low)+1))
		}
	}
	return ranges[0]
}
