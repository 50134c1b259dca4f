package foreign

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"regexp/syntax"
	"sort"
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"

	"github.com/meshc/meshc/plugins/wasm/internal/abi"
	"github.com/meshc/meshc/runtime/filter"
)

// Bounds that Envoy does not have: an expression is the guest's, but runs outside of its limits.
const (
	maxExpressions = 100 // of one root context
	maxExpression  = 2 << 10
	maxDepth       = 100     // of an expression
	maxCost        = 1 << 16 // see costs
	maxValue       = 1 << 20 // bytes of what an evaluation returns
)

// Work, in the units of Env.Spend, and memory that a byte of an expression's
// text stands for.
const (
	parseCost    = 16 << 10
	evaluateCost = 4 << 10
	stepCost     = 64
	heldOfText   = 256
)

// expression is one that expr_create made.
type expression struct {
	program cel.Program
	held    int
}

// language is CEL with its standard functions. Names are resolved when an
// expression is evaluated, so none is declared.
var language = sync.OnceValues(func() (*cel.Env, error) {
	standard := cel.StdLib(cel.StdLibSubset(env.NewLibrarySubset().AddExcludedFunctions(env.NewFunction(overloads.Matches))))
	text := []*cel.Type{cel.StringType, cel.StringType}
	return cel.NewCustomEnv(standard, cel.ParserExpressionSizeLimit(maxExpression), cel.ParserRecursionLimit(maxDepth),
		cel.Function(overloads.Matches,
			cel.Overload(overloads.Matches, text, cel.BoolType),
			cel.MemberOverload(overloads.MatchesString, text, cel.BoolType),
			cel.SingletonBinaryBinding(matches)))
})

// create takes an expression's text and returns its token, 4 bytes little-endian.
func (s *State) create(e Env, text []byte) ([]byte, abi.Status) {
	if len(text) > maxExpression {
		return nil, abi.BadArgument
	}
	e.Spend(parseCost * len(text))
	held := heldOfText * len(text)
	if len(s.expressions) >= maxExpressions || !e.Hold(held) {
		return nil, abi.InternalFailure
	}
	program, err := compile(string(text))
	if err != nil {
		e.Hold(-held)
		return nil, abi.BadArgument
	}
	if s.expressions == nil {
		s.expressions = map[uint32]expression{}
	}
	for {
		token := s.next
		s.next++
		if _, taken := s.expressions[token]; !taken {
			s.expressions[token] = expression{program, held}
			return binary.LittleEndian.AppendUint32(nil, token), abi.Ok
		}
	}
}

func compile(text string) (cel.Program, error) {
	env, err := language()
	if err != nil {
		return nil, err
	}
	ast, issues := env.Parse(text)
	if issues.Err() != nil {
		return nil, issues.Err()
	}
	celast.PreOrderVisit(ast.NativeRep().Expr(), celast.NewExprVisitor(func(e celast.Expr) {
		switch {
		case e.Kind() == celast.CallKind && !env.HasFunction(e.AsCall().FunctionName()):
			err = fmt.Errorf("no function %s", e.AsCall().FunctionName())
		case e.Kind() == celast.ComprehensionKind && nests(e):
			err = errors.New("a macro in a macro")
		}
	}))
	if err != nil {
		return nil, err
	}
	return env.Program(ast, cel.CostTracking(costs{}), cel.CostLimit(maxCost))
}

// nests reports whether a macro has another one in it. Each level of them could
// make a value that holds the one of the level before many times, which costs
// nothing to make and everything to compare: with one level, what there is to
// do is at most the square of the text.
func nests(macro celast.Expr) (found bool) {
	celast.PreOrderVisit(macro, celast.NewExprVisitor(func(e celast.Expr) {
		found = found || e.Kind() == celast.ComprehensionKind && e.ID() != macro.ID()
	}))
	return found
}

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

// evaluate takes a token and returns the expression's value as a property is
// serialised.
func (s *State) evaluate(env Env, token []byte) ([]byte, abi.Status) {
	if len(token) != 4 {
		return nil, abi.BadArgument
	}
	e, ok := s.expressions[binary.LittleEndian.Uint32(token)]
	if !ok {
		return nil, abi.NotFound
	}
	env.Spend(evaluateCost)
	value, details, err := e.program.Eval(attributes{env})
	if cost := details.ActualCost(); cost != nil {
		env.Spend(stepCost * int(*cost))
	}
	if err != nil || types.IsUnknownOrError(value) {
		return nil, abi.InternalFailure
	}
	room := maxValue
	return serialise(value, 0, &room)
}

// delete takes a token; one that is unknown is no error.
func (s *State) delete(env Env, token []byte) abi.Status {
	if len(token) != 4 {
		return abi.BadArgument
	}
	n := binary.LittleEndian.Uint32(token)
	env.Hold(-s.expressions[n].held)
	delete(s.expressions, n)
	return abi.Ok
}

// serialise is the form in which a guest gets a value, where it has room.
func serialise(value ref.Val, depth int, room *int) ([]byte, abi.Status) {
	failed := func() ([]byte, abi.Status) { return nil, abi.SerializationFailure }
	if depth > 8 {
		return failed()
	}
	var native filter.Value
	switch v := value.(type) {
	case types.String:
		if *room -= len(v); *room < 0 {
			return nil, abi.InternalFailure
		}
		return []byte(v), abi.Ok
	case types.Bytes:
		if *room -= len(v); *room < 0 {
			return nil, abi.InternalFailure
		}
		return []byte(v), abi.Ok
	case types.Bool:
		native = bool(v)
	case types.Int:
		native = int64(v)
	case types.Uint:
		native = uint64(v)
	case types.Double:
		native = float64(v)
	case types.Timestamp:
		native = v.Time
	case types.Duration:
		native = v.Duration
	case object:
		headers, ok := v.headers()
		if !ok {
			return failed()
		}
		native = headers
	case traits.Mapper:
		return serialiseAll(v, func(key ref.Val) ref.Val { return v.Get(key) }, depth, room)
	case traits.Lister:
		return serialiseAll(v, nil, depth, room)
	default:
		return failed()
	}
	b, ok := abi.AppendValue(nil, native)
	if !ok {
		return failed()
	}
	if *room -= len(b); *room < 0 {
		return nil, abi.InternalFailure
	}
	return b, abi.Ok
}

// pairSize is what a pair takes besides its texts.
const pairSize = 10

// serialiseAll is a map as pairs, or a list as pairs without values. Maps are in
// the order of their keys, where Envoy has none.
func serialiseAll(all traits.Iterable, get func(ref.Val) ref.Val, depth int, room *int) ([]byte, abi.Status) {
	type pair struct{ key, value []byte }
	var pairs []pair
	for it := all.Iterator(); it.HasNext() == types.True; {
		var p pair
		var status abi.Status
		if *room -= pairSize; *room < 0 {
			return nil, abi.InternalFailure
		}
		element := it.Next()
		if p.key, status = serialise(element, depth+1, room); status != abi.Ok {
			return nil, status
		}
		if get != nil {
			if p.value, status = serialise(get(element), depth+1, room); status != abi.Ok {
				return nil, status
			}
		}
		pairs = append(pairs, p)
	}
	if get != nil {
		sort.Slice(pairs, func(i, j int) bool { return string(pairs[i].key) < string(pairs[j].key) })
	}
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(pairs)))
	for _, p := range pairs {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(p.key)))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(p.value)))
	}
	for _, p := range pairs {
		b = append(append(b, p.key...), 0)
		b = append(append(b, p.value...), 0)
	}
	return b, abi.Ok
}

// attributes are the names that an expression begins with.
type attributes struct{ env Env }

func (a attributes) Parent() interpreter.Activation { return nil }

// ResolveName is also asked for "request.path" as one name, which is none here.
func (a attributes) ResolveName(name string) (any, bool) {
	if strings.Contains(name, ".") {
		return nil, false
	}
	value := object{a.env, []string{name}}.resolve()
	return value, value != nil
}

// object is an attribute that has attributes, as request or request.headers.
// Its own are asked for one by one.
type object struct {
	env  Env
	path []string
}

var objectRoots = map[string]bool{"request": true, "response": true, "connection": true, "source": true, "destination": true,
	"upstream": true, "metadata": true, "filter_state": true, "upstream_filter_state": true, "node": true, "xds": true}

// whole says whether the path is that of an object, of those that Envoy has.
func (o object) whole() bool {
	p := o.path
	switch {
	case len(p) == 1:
		return objectRoots[p[0]]
	case p[0] == "request" || p[0] == "response":
		return len(p) == 2 && o.ofHeaders()
	case p[0] == "metadata":
		return len(p) <= 3 && p[1] == "filter_metadata"
	case p[0] == "xds" && strings.HasSuffix(p[1], "_metadata"):
		return len(p) == 2 || len(p) <= 4 && p[2] == "filter_metadata"
	}
	return false
}

func (o object) ofHeaders() bool {
	return len(o.path) == 2 && (o.path[1] == "headers" || o.path[1] == "trailers")
}

// resolve is the value at the path: the object itself, what it is when it has
// no attributes, or nil.
func (o object) resolve() ref.Val {
	if o.whole() {
		return o
	}
	v, ok := o.env.Property(o.path...)
	if !ok {
		return nil
	}
	switch v := v.(type) {
	case string:
		return types.String(v)
	case []byte:
		return types.Bytes(v)
	case bool:
		return types.Bool(v)
	case int64:
		return types.Int(v)
	case uint64:
		return types.Uint(v)
	case float64:
		return types.Double(v)
	case time.Time:
		return types.Timestamp{Time: v}
	case time.Duration:
		return types.Duration{Duration: v}
	case *filter.Headers:
		return o
	}
	return types.NewErr("%s has no value", strings.Join(o.path, "."))
}

func (o object) headers() (*filter.Headers, bool) {
	v, ok := o.env.Property(o.path...)
	headers, isHeaders := v.(*filter.Headers)
	return headers, ok && isHeaders
}

// child is the attribute of a name; header names are in lower case.
func (o object) child(name ref.Val) ref.Val {
	s, ok := name.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(name)
	}
	key := string(s)
	if o.ofHeaders() {
		key = strings.ToLower(key)
	}
	path := append(append(make([]string, 0, len(o.path)+1), o.path...), key)
	return object{o.env, path}.resolve()
}

// Get is the attribute of a name, or an error.
func (o object) Get(name ref.Val) ref.Val {
	if v := o.child(name); v != nil {
		return v
	}
	return types.NewErr("no such key: %v", name.Value())
}

// IsSet says whether there is an attribute of a name: CEL's has().
func (o object) IsSet(name ref.Val) ref.Val {
	v := o.child(name)
	if types.IsUnknownOrError(v) {
		return v
	}
	return types.Bool(v != nil)
}

// Contains is CEL's in.
func (o object) Contains(name ref.Val) ref.Val { return o.IsSet(name) }

// ConvertToNative is not possible: an object is no value of Go.
func (o object) ConvertToNative(reflect.Type) (any, error) {
	return nil, errors.New("an attribute object has no native form")
}

// ConvertToType is not possible: an object is of no type of CEL.
func (o object) ConvertToType(t ref.Type) ref.Val {
	return types.NewErr("no such conversion to %s", t.TypeName())
}

// Equal is an error: attribute objects are not compared.
func (o object) Equal(ref.Val) ref.Val { return types.NewErr("no such overload") }

// Type is a map's.
func (o object) Type() ref.Type { return types.MapType }

// Value is the object itself.
func (o object) Value() any { return o }
