package foreign

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"sort"
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"

	"github.com/meshc/meshc/plugins/wasm/internal/abi"
	"github.com/meshc/meshc/runtime/filter"
)

// Bounds that Envoy does not have: an expression is the guest's, but runs outside of its limits.
const (
	maxExpressions = 1024 // of one root context
	maxExpression  = 16 << 10
	maxCost        = 1 << 17 // in steps of the evaluation: below a tenth of a second
)

// expression is one that expr_create made.
type expression struct{ program cel.Program }

// language is CEL with its standard functions. Names are resolved when an
// expression is evaluated, so none is declared.
var language = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewCustomEnv(cel.StdLib(), cel.ParserExpressionSizeLimit(maxExpression), cel.ParserRecursionLimit(100))
})

// create takes an expression's text and returns its token, 4 bytes little-endian.
func (s *State) create(text []byte) ([]byte, abi.Status) {
	if len(s.expressions) >= maxExpressions {
		return nil, abi.InternalFailure
	}
	program, err := compile(string(text))
	if err != nil {
		return nil, abi.BadArgument
	}
	if s.expressions == nil {
		s.expressions = map[uint32]expression{}
	}
	for {
		token := s.next
		s.next++
		if _, taken := s.expressions[token]; !taken {
			s.expressions[token] = expression{program}
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
		if e.Kind() == celast.CallKind && !env.HasFunction(e.AsCall().FunctionName()) {
			err = fmt.Errorf("no function %s", e.AsCall().FunctionName())
		}
	}))
	if err != nil {
		return nil, err
	}
	return env.Program(ast, cel.CostLimit(maxCost))
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
	value, _, err := e.program.Eval(attributes{env})
	if err != nil || types.IsUnknownOrError(value) {
		return nil, abi.InternalFailure
	}
	return serialise(value, 0)
}

// delete takes a token; one that is unknown is no error.
func (s *State) delete(token []byte) abi.Status {
	if len(token) != 4 {
		return abi.BadArgument
	}
	delete(s.expressions, binary.LittleEndian.Uint32(token))
	return abi.Ok
}

// serialise is the form in which a guest gets a value.
func serialise(value ref.Val, depth int) ([]byte, abi.Status) {
	failed := func() ([]byte, abi.Status) { return nil, abi.SerializationFailure }
	if depth > 8 {
		return failed()
	}
	var native filter.Value
	switch v := value.(type) {
	case types.String:
		return []byte(v), abi.Ok
	case types.Bytes:
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
		return serialiseAll(v, func(key ref.Val) ref.Val { return v.Get(key) }, depth)
	case traits.Lister:
		return serialiseAll(v, nil, depth)
	default:
		return failed()
	}
	b, ok := abi.AppendValue(nil, native)
	if !ok {
		return failed()
	}
	return b, abi.Ok
}

// serialiseAll is a map as pairs, or a list as pairs without values. Maps are in
// the order of their keys, where Envoy has none.
func serialiseAll(all traits.Iterable, get func(ref.Val) ref.Val, depth int) ([]byte, abi.Status) {
	type pair struct{ key, value []byte }
	var pairs []pair
	for it := all.Iterator(); it.HasNext() == types.True; {
		var p pair
		var status abi.Status
		element := it.Next()
		if p.key, status = serialise(element, depth+1); status != abi.Ok {
			return nil, abi.SerializationFailure
		}
		if get != nil {
			if p.value, status = serialise(get(element), depth+1); status != abi.Ok {
				return nil, abi.SerializationFailure
			}
		}
		pairs = append(pairs, p)
	}
	if get != nil {
		sort.Slice(pairs, func(i, j int) bool { return string(pairs[i].key) < string(pairs[j].key) })
	}
	if len(pairs) > math.MaxInt32 {
		return nil, abi.SerializationFailure
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
