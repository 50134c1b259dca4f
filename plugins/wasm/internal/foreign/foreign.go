// Package foreign answers proxy_call_foreign_function with the functions that
// Envoy has (source/extensions/common/wasm/foreign.cc of 1.40): compress,
// uncompress, verify_signature, sign, expr_create, expr_evaluate, expr_delete,
// declare_property, set_envoy_filter_state and clear_route_cache.
package foreign

import (
	"github.com/meshc/meshc/plugins/wasm/internal/abi"
	"github.com/meshc/meshc/runtime/filter"
)

// Env is what foreign functions act on: the context of the guest's call.
type Env interface {
	// Property is the value of an attribute, as proxy_get_property finds it; the
	// path is split into segments. It is asked while an expression is evaluated.
	Property(path ...string) (filter.Value, bool)

	// SetFilterState sets an object of the proxy's own: the status is NotFound when
	// there is none of this name, or no stream, BadArgument when it is none that
	// value makes.
	SetFilterState(name, value string, span LifeSpan) abi.Status

	// DeclareProperty says how the property that set_property makes is typed. The
	// status is BadArgument when the context has declared it already: its objects
	// keep their type.
	DeclareProperty(p Property) abi.Status

	// ClearRouteCache makes the proxy choose the route anew.
	ClearRouteCache()

	// Spend is told of work before it is done, and in long work again and again:
	// n is about its nanoseconds. It does not return, but panics, when the call
	// has taken too long.
	Spend(n int)

	// Hold is told of n bytes that are kept for the guest until Hold is told of
	// -n. It reports whether they may be.
	Hold(n int) bool
}

// LifeSpan is how long filter state lives.
type LifeSpan int

// The life spans, with the numbers of Envoy's messages; others are FilterChain.
const (
	FilterChain LifeSpan = iota
	Request
	Connection
)

// PropertyType is how a property's bytes are read in expressions.
type PropertyType int

// The types, with the numbers of Envoy's messages; others are Bytes.
const (
	Bytes PropertyType = iota
	String
	FlatBuffers
	Protobuf
)

// Property is a declaration of a property.
type Property struct {
	Name     string
	ReadOnly bool
	Type     PropertyType
	Schema   []byte // of FlatBuffers; of Protobuf the type's URL
	Span     LifeSpan
}

// State is what the functions keep for one root context: its expressions. The
// zero value is ready. It is not safe for concurrent use, as no guest is.
type State struct {
	expressions map[uint32]expression
	next        uint32

	// MaxResult bounds what uncompress returns, in bytes; 0 is 16 MiB.
	MaxResult int
}

// Call calls a function. known is false for a name that is none: the guest gets
// NotFound then. The arguments may lie in the guest's memory: they are read
// only during the call. The result is the caller's, nil when there is none.
func (s *State) Call(env Env, name string, arguments []byte) (result []byte, status abi.Status, known bool) {
	switch name {
	case "compress":
		result, status = compress(env, arguments)
	case "uncompress":
		result, status = uncompress(env, arguments, s.maxResult())
	case "verify_signature":
		result, status = verifySignature(env, arguments)
	case "sign":
		result, status = sign(env, arguments)
	case "expr_create":
		result, status = s.create(env, arguments)
	case "expr_evaluate":
		result, status = s.evaluate(env, arguments)
	case "expr_delete":
		status = s.delete(env, arguments)
	case "declare_property":
		status = declareProperty(env, arguments)
	case "set_envoy_filter_state":
		status = setFilterState(env, arguments)
	case "clear_route_cache":
		env.ClearRouteCache()
	default:
		return nil, abi.NotFound, false
	}
	return result, status, true
}

// Close lets go of the expressions.
func (s *State) Close(env Env) {
	for _, e := range s.expressions {
		env.Hold(-e.held)
	}
	s.expressions = nil
}

func (s *State) maxResult() int {
	if s.MaxResult > 0 {
		return s.MaxResult
	}
	return 16 << 20
}

func declareProperty(env Env, arguments []byte) abi.Status {
	m, ok := decode(arguments, fields{1: isText, 2: isNumber, 3: isNumber, 4: isBytes, 5: isNumber})
	if !ok {
		return abi.BadArgument
	}
	p := Property{Name: string(m.bytes[1]), ReadOnly: m.numbers[2] != 0, Schema: m.bytes[4], Span: span(m.numbers[5])}
	if t := int32(m.numbers[3]); t >= 0 && t <= int32(Protobuf) {
		p.Type = PropertyType(t)
	}
	return env.DeclareProperty(p)
}

func setFilterState(env Env, arguments []byte) abi.Status {
	m, ok := decode(arguments, fields{1: isText, 2: isText, 3: isNumber})
	if !ok {
		return abi.BadArgument
	}
	return env.SetFilterState(string(m.bytes[1]), string(m.bytes[2]), span(m.numbers[3]))
}

func span(n uint64) LifeSpan {
	if s := int32(n); s >= 0 && s <= int32(Connection) { // an enum is what its lower 32 bits say
		return LifeSpan(s)
	}
	return FilterChain
}
