package foreign

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"

	"github.com/meshc/meshc/plugins/wasm/internal/abi"
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
