package envoy

import (
	"fmt"
	"math"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode"
	"unicode/utf8"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshc/meshc/compiler/snapshot"
)

// routeMatch returns the conditions of r.
func routeMatch(r snapshot.Route) (*routev3.RouteMatch, error) {
	out := &routev3.RouteMatch{}
	switch {
	case r.PathRegex != "":
		regex, err := fullMatch(r.PathRegex)
		if err != nil {
			return nil, fmt.Errorf("path: %w", err)
		}
		out.PathSpecifier = &routev3.RouteMatch_SafeRegex{SafeRegex: regex}
	case r.PathExact != "":
		out.PathSpecifier = &routev3.RouteMatch_Path{Path: r.PathExact}
	default:
		out.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: r.PathPrefix}
	}
	conditions := r.Headers.Slice()
	if r.Methods.Len() > 0 {
		conditions = append(conditions, snapshot.HeaderMatch{Name: ":method", Values: r.Methods})
	}
	for _, h := range conditions {
		m, err := headerMatcher(h)
		if err != nil {
			return nil, fmt.Errorf("header %s: %w", h.Name, err)
		}
		out.Headers = append(out.Headers, m)
	}
	if r.ServerNames.Len() > 0 {
		exprs := make([]string, r.ServerNames.Len())
		for i, pattern := range r.ServerNames.All() {
			exprs[i] = snapshot.ServerNameRegex(pattern)
		}
		out.FilterState = []*matcherv3.FilterStateMatcher{{
			Key: serverNameState,
			Matcher: &matcherv3.FilterStateMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
				MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: regexMatcher(strings.Join(exprs, "|"))},
			}},
		}}
	}
	return out, nil
}

func headerMatcher(h snapshot.HeaderMatch) (*routev3.HeaderMatcher, error) {
	out := &routev3.HeaderMatcher{Name: h.Name}
	expr := h.Regex
	switch {
	case expr != "":
	case h.Prefix != "":
		out.HeaderMatchSpecifier = stringMatch(&matcherv3.StringMatcher{
			MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: h.Prefix},
		})
		return out, nil
	case h.Values.Len() == 0:
		out.HeaderMatchSpecifier = &routev3.HeaderMatcher_PresentMatch{PresentMatch: true}
		return out, nil
	case h.Values.Len() == 1:
		out.HeaderMatchSpecifier = stringMatch(&matcherv3.StringMatcher{
			MatchPattern: &matcherv3.StringMatcher_Exact{Exact: h.Values.At(0)},
		})
		return out, nil
	default:
		// Envoy has no list of values to choose from.
		expr = alternatives(h.Values)
	}
	regex, err := fullMatch(expr)
	if err != nil {
		return nil, err
	}
	out.HeaderMatchSpecifier = stringMatch(&matcherv3.StringMatcher{
		MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: regex},
	})
	return out, nil
}

// alternatives returns the expression for one of values.
func alternatives(values snapshot.List[string]) string {
	quoted := make([]string, values.Len())
	for i, v := range values.All() {
		quoted[i] = regexp.QuoteMeta(v)
	}
	return strings.Join(quoted, "|")
}

func stringMatch(m *matcherv3.StringMatcher) *routev3.HeaderMatcher_StringMatch {
	return &routev3.HeaderMatcher_StringMatch{StringMatch: m}
}

// pathRewrite returns nil for the zero PathRewrite.
func pathRewrite(r snapshot.PathRewrite) (*matcherv3.RegexMatchAndSubstitute, error) {
	if r == (snapshot.PathRewrite{}) {
		return nil, nil
	}
	if _, _, err := r.Parse(); err != nil {
		return nil, err
	}
	return &matcherv3.RegexMatchAndSubstitute{Pattern: regexMatcher(r.Regex), Substitution: r.Substitution}, nil
}

// fullMatch returns the matcher for an expression that is to match all of a text.
func fullMatch(expr string) (*matcherv3.RegexMatcher, error) {
	if _, err := snapshot.ParseRegex(expr); err != nil {
		return nil, err
	}
	return regexMatcher(expr), nil
}

// envoyRegexSize is how large a program Envoy takes where nobody says more.
const envoyRegexSize = 100

// regexMatcher returns the matcher for an expression that is known to be good.
// A large one lifts Envoy's limit for itself. That field is deprecated, and
// Envoy logs it; but its successor is a setting of Envoy's bootstrap, and
// without it one long path would have all routes of a listener refused.
func regexMatcher(expr string) *matcherv3.RegexMatcher {
	out := &matcherv3.RegexMatcher{Regex: expr}
	if programSize(expr) >= envoyRegexSize {
		out.EngineType = &matcherv3.RegexMatcher_GoogleRe2{GoogleRe2: &matcherv3.RegexMatcher_GoogleRE2{
			MaxProgramSize: wrapperspb.UInt32(math.MaxUint32),
		}}
	}
	return out
}

// programSize estimates, rather too high, how large RE2's program for expr is.
// RE2 matches bytes: what is beyond ASCII takes it several instructions.
func programSize(expr string) int {
	const beyondASCII = 8
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return math.MaxInt
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return math.MaxInt
	}
	size := 10
	for _, i := range program.Inst {
		switch {
		case i.Op == syntax.InstRuneAny || i.Op == syntax.InstRuneAnyNotNL:
			size += beyondASCII
		case i.Op != syntax.InstRune && i.Op != syntax.InstRune1:
			size++
		case len(i.Rune) == 1: // with its other cases, where case does not count
			size++
			for r := unicode.SimpleFold(i.Rune[0]); r != i.Rune[0]; r = unicode.SimpleFold(r) {
				if r >= utf8.RuneSelf {
					size += beyondASCII
				}
			}
		default: // a class, as pairs of the first and the last
			for n := 1; n < len(i.Rune); n += 2 {
				size++
				if i.Rune[n] >= utf8.RuneSelf {
					size += beyondASCII
				}
			}
		}
	}
	return size
}
