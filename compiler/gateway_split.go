package compiler

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/kuma"
)

// splitKey is a route, and one of the conf.http of the TrafficRoute that its service has.
// Neither ever changes.
type splitKey struct {
	route *gatewayRoute
	rule  *kuma.HTTPRoute
}

// tellUnsplit warns of each of a TrafficRoute's conf.http that is not looked at
// for requests which come in by a route.
func (b *build) tellUnsplit() {
	told := map[*kuma.HTTPRoute]bool{}
	for _, r := range b.gatewayRoutes {
		to := b.targets[r.service]
		if to == nil {
			continue
		}
		for i, x := range to.http {
			if told[x.rule] {
				continue
			}
			err := r.obstacle(x.rule)
			if m := x.rule.Match.Path; err == nil && m != nil && m.Regex != "" { // which may grow too large
				err = b.c.unsplit.get(splitKey{r, x.rule}, nil, func() error {
					_, _, err := r.meet(i, x.rule)
					return err
				})
			}
			if err != nil {
				told[x.rule] = true
				b.unsupported = append(b.unsupported, finding(diag.CodeNotApplied, diag.Warning, to.route, []any{"conf", "http", i},
					fmt.Sprintf("it is not looked at for requests that come to service %s by %s, for %v", r.service.name, describe(r.doc), err),
					"", diag.Related{Place: r.doc.Place(), Message: "the route"}))
			}
		}
	}
}

// obstacle returns why requests that r takes cannot be looked at by a rule.
func (r *gatewayRoute) obstacle(rule *kuma.HTTPRoute) error {
	changes := rule.Modify.Path.Regex != nil || rule.Modify.Host.FromPath != nil
	switch {
	case r.unclear && (rule.Match.Path != nil || changes):
		return errors.New("a pattern says what is stripped of the path, and the rest is not known before")
	case r.stripped != "" && changes:
		return errors.New("an expression can change the path as it came alone, and " + r.stripped + " is stripped of it")
	}
	return nil
}

// meet returns the requests that r takes and number i of a TrafficRoute's
// conf.http matches, with what becomes of them; ok is false where there are none,
// and err says why it cannot be told. The path of the rule is that of the service,
// without what r strips.
func (r *gatewayRoute) meet(i int, rule *kuma.HTTPRoute) (out snapshot.Route, ok bool, err error) {
	if err := r.obstacle(rule); err != nil {
		return out, false, err
	}
	out = lowerHTTPRoute(fmt.Sprintf("%s http[%d]", r.match.Name, i), rule)
	if r.stripped != "" {
		prefixPath(&out, r.stripped)
	}
	if out.Rewrite == (snapshot.PathRewrite{}) {
		out.Rewrite = r.match.Rewrite
	}
	switch methods := r.match.Methods; {
	case out.Methods.Len() == 0:
		out.Methods = methods
	case methods.Len() > 0 && !slices.Contains(methods.Slice(), out.Methods.At(0)):
		return out, false, nil
	}
	headers := slices.Concat(r.match.Headers.Slice(), out.Headers.Slice())
	more, ok, err := bothPaths(&out, r.match)
	out.Headers = snapshot.ListOf(append(headers, more...)...)
	return out, ok, err
}

// prefixPath makes r match the paths that it matches with a prefix in front, and
// change them as it would without. The prefix alone stands for "/".
func prefixPath(r *snapshot.Route, prefix string) {
	quoted := regexp.QuoteMeta(prefix)
	if r.Rewrite != (snapshot.PathRewrite{}) {
		r.Rewrite.Regex = "^" + quoted + regexp.QuoteMeta(r.PathPrefix)
		if r.PathPrefix == "/" {
			r.Rewrite.Regex += "?"
		}
	}
	switch {
	case r.PathPrefix == "/":
		r.PathPrefix = prefix
	case r.PathPrefix != "":
		r.PathPrefix = prefix + r.PathPrefix
	case r.PathExact == "/":
		r.PathExact, r.PathRegex = "", quoted+"/?"
	case r.PathExact != "":
		r.PathExact = prefix + r.PathExact
	default:
		root := takes(*r, "/")
		if r.PathRegex = quoted + "(?:" + unanchored(r.PathRegex) + ")"; root {
			r.PathRegex += "?"
		}
	}
}

// unanchored returns expr, which ParseRegex takes, without its marks of the start.
func unanchored(expr string) string {
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return expr // not reached
	}
	var edit func(*syntax.Regexp)
	edit = func(t *syntax.Regexp) {
		if t.Op == syntax.OpBeginText || t.Op == syntax.OpBeginLine {
			*t = syntax.Regexp{Op: syntax.OpEmptyMatch}
		}
		for _, sub := range t.Sub {
			edit(sub)
		}
	}
	edit(tree)
	return tree.String()
}

// takes reports whether r matches a path.
func takes(r snapshot.Route, path string) bool {
	switch {
	case r.PathExact != "":
		return path == r.PathExact
	case r.PathRegex != "":
		re, err := snapshot.ParseRegex(r.PathRegex)
		return err == nil && re.MatchString(path)
	}
	return strings.HasPrefix(path, r.PathPrefix)
}

// bothPaths narrows what out says of the path to what other says as well, as far
// as it must by conditions on headers; ok is false where no path is left.
func bothPaths(out *snapshot.Route, other snapshot.Route) (more []snapshot.HeaderMatch, ok bool, err error) {
	switch a := *out; {
	case a.PathExact != "":
		return nil, takes(other, a.PathExact), nil
	case other.PathExact != "":
		out.PathPrefix, out.PathExact, out.PathRegex = "", other.PathExact, ""
		return nil, takes(a, other.PathExact), nil
	case a.PathRegex == "" && other.PathRegex == "":
		if strings.HasPrefix(other.PathPrefix, a.PathPrefix) {
			out.PathPrefix = other.PathPrefix
			return nil, true, nil
		}
		return nil, strings.HasPrefix(a.PathPrefix, other.PathPrefix), nil
	case other.PathRegex == "": // and a is an expression
		if other.PathPrefix != "/" {
			more = []snapshot.HeaderMatch{{Name: ":path", Prefix: other.PathPrefix}}
		}
		return more, true, checkRegex(a.PathRegex)
	case a.PathRegex == "":
		out.PathPrefix, out.PathRegex = "", other.PathRegex
		if a.PathPrefix != "/" {
			more = []snapshot.HeaderMatch{{Name: ":path", Prefix: a.PathPrefix}}
		}
		return more, true, nil
	default:
		target, err := snapshot.TargetRegex(a.PathRegex)
		if err == nil {
			err = checkRegex(target)
		}
		out.PathRegex = other.PathRegex
		return []snapshot.HeaderMatch{{Name: ":path", Regex: target}}, true, err
	}
}
