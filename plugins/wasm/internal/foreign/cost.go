package foreign

import (
	"regexp"
	"regexp/syntax"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// costs says what a call in an expression costs, by the sizes of its arguments
// and its result: cel-go's own costs go by overloads, which are not known
// without a type check, and take most calls for 1. It is asked after a call, so
// nothing may be made in one that is not in proportion to what was there.
type costs struct{}

// CallCost is part of interpreter.ActualCostEstimator.
func (costs) CallCost(_, _ string, arguments []ref.Val, result ref.Val) *uint64 {
	total := 1
	if _, ok := result.(traits.MutableLister); ok { // a macro's result, which grows by its last argument
		arguments, result = arguments[len(arguments)-1:], nil
	}
	for _, a := range append(arguments[:len(arguments):len(arguments)], result) {
		total += weight(a, maxCost+1-total)
	}
	cost := uint64(total)
	return &cost
}

// weight is the size of a value with all that is in it: 1 for each, and for 16
// bytes of text. It stops when it is over limit.
func weight(v ref.Val, limit int) int {
	switch v := v.(type) {
	case nil:
		return 0
	case types.String:
		return 1 + len(v)/16
	case types.Bytes:
		return 1 + len(v)/16
	case traits.Mapper:
		total := 1
		for it := v.Iterator(); total <= limit && it.HasNext() == types.True; {
			key := it.Next()
			total += weight(key, limit-total)
			total += weight(v.Get(key), limit-total)
		}
		return total
	case traits.Lister:
		total := 1
		for it := v.Iterator(); total <= limit && it.HasNext() == types.True; {
			total += weight(it.Next(), limit-total)
		}
		return total
	}
	return 1
}

// Bounds on a regular expression: its program, in instructions, and that times
// the length of the text.
const (
	maxPattern = 1 << 12
	maxMatch   = 1 << 22
)

// matches is CEL's function of this name. How much work it is depends on the
// pattern, which may be anything, so that is looked at before.
func matches(text, pattern ref.Val) ref.Val {
	s, ok := text.(types.String)
	p, ok2 := pattern.(types.String)
	if !ok || !ok2 {
		return types.MaybeNoSuchOverloadErr(text)
	}
	if len(p) > maxExpression {
		return types.NewErr("pattern too long")
	}
	parsed, err := syntax.Parse(string(p), syntax.Perl)
	if err != nil {
		return types.WrapErr(err)
	}
	if n := instructions(parsed); n > maxPattern || n*(len(s)+1) > maxMatch {
		return types.NewErr("too much to match")
	}
	re, err := regexp.Compile(string(p))
	if err != nil {
		return types.WrapErr(err)
	}
	return types.Bool(re.MatchString(string(s)))
}

// instructions is about the length of the program of a regular expression, or
// more than maxPattern.
func instructions(re *syntax.Regexp) int {
	n := 1 + len(re.Rune)
	for _, sub := range re.Sub {
		n = min(n+instructions(sub), maxPattern+1)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max, 1)
	}
	return min(n, maxPattern+1)
}
