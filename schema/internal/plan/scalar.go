package plan

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// basic is a type: string, int, _.
type basic struct {
	set  kinds
	rule *rule
	seen *tally
}

func (b *basic) kinds() kinds            { return b.set }
func (b *basic) holds(n *tree.Node) bool { return b.seen.note(b.set.has(n.Kind)) }
func (b *basic) wants() string           { return b.set.String() }

func (b *basic) fill(r *run, _ int) *tree.Node {
	if b.set == kindSet(tree.Null) {
		return r.slab.node(tree.Node{Kind: tree.Null, Pos: r.inside(), Default: true})
	}
	return nil
}

func (b *basic) check(r *run, _ int, n *tree.Node) *tree.Node {
	if !b.holds(n) {
		r.wrongType(n, b.set)
	}
	return n
}

// scalarLiteral is one scalar value.
type scalarLiteral struct {
	node *tree.Node
	rule *rule
	seen *tally
}

func (l *scalarLiteral) kinds() kinds            { return kindSet(l.node.Kind) }
func (l *scalarLiteral) holds(n *tree.Node) bool { return l.seen.note(equal(n, l.node)) }
func (l *scalarLiteral) wants() string           { return show(l.node) }

func (l *scalarLiteral) fill(r *run, _ int) *tree.Node {
	return r.slab.node(tree.Node{Kind: l.node.Kind, Text: l.node.Text, Pos: r.inside(), Default: true})
}

func (l *scalarLiteral) check(r *run, _ int, n *tree.Node) *tree.Node {
	switch {
	case l.holds(n):
	case n.Kind != l.node.Kind:
		r.wrongType(n, l.kinds())
	default:
		r.fail(n, diag.CodeInvalid, show(n)+" is not "+show(l.node), l.rule)
	}
	return n
}

// predicate is a test of a scalar's value: a bound, a pattern, a length.
type predicate struct {
	set  kinds
	test func(n *tree.Node) bool
	want string // what values pass, as in "between 1 and 65535"
	// fault completes a message about one that does not; "is not " + want where empty.
	fault string
	code  string
	rule  *rule
	seen  *tally
	// merged are the tallies of the two bounds that it was made of.
	merged []*tally
	// Of a pattern.
	matcher *matcher
	not     bool
	// Of >= and <= with a number, for mergeBounds.
	lower, upper *number
}

func (p *predicate) kinds() kinds              { return p.set }
func (p *predicate) fill(*run, int) *tree.Node { return nil }
func (p *predicate) holds(n *tree.Node) bool   { return p.set.has(n.Kind) && p.seen.note(p.test(n)) }
func (p *predicate) wants() string             { return p.want }

func (p *predicate) check(r *run, _ int, n *tree.Node) *tree.Node {
	switch {
	case !p.set.has(n.Kind):
		r.wrongType(n, p.set, p)
	case !p.seen.note(p.test(n)):
		fault := p.fault
		if fault == "" {
			fault = "is not " + p.want
		}
		r.fail(n, p.code, r.subject(n)+" "+fault, p.rule)
	}
	return n
}

// matches is =~ re, or !~ re where not is set.
func matches(re *regexp.Regexp, not bool, rl *rule) *predicate {
	p := &predicate{set: kindSet(tree.String), code: diag.CodeInvalid, rule: rl, want: "a match of " + re.String(), fault: "does not match " + re.String()}
	p.matcher, p.not = newMatcher(re), not
	p.test = func(n *tree.Node) bool { return p.matcher.match(n.Text) != not }
	if not {
		p.want, p.fault = "no match of "+re.String(), "matches "+re.String()
	}
	return p
}

// runes is strings.MinRunes and strings.MaxRunes.
func runes(atLeast, atMost int, rl *rule) *predicate {
	p := &predicate{set: kindSet(tree.String), code: diag.CodeTooLong, rule: rl}
	p.test = func(n *tree.Node) bool {
		if len(n.Text) <= atMost && atLeast == 0 {
			return true // there are no more characters than bytes
		}
		count := utf8.RuneCountInString(n.Text)
		return count >= atLeast && (atMost < 0 || count <= atMost)
	}
	if atMost < 0 {
		p.code, p.want = diag.CodeInvalid, "of at least "+plural(atLeast, "character")
		p.fault = "is shorter than " + plural(atLeast, "character")
	} else {
		p.want = "of at most " + plural(atMost, "character")
		p.fault = "is longer than " + plural(atMost, "character")
	}
	return p
}

// number is a numeric literal as far as comparing needs it. Integers are exact;
// other numbers are compared as float64, into which they are decoded too.
type number struct {
	isInt bool
	i     int64
	f     float64
}

func parseNumber(text string) number {
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return number{true, i, float64(i)}
	}
	f, _ := strconv.ParseFloat(text, 64) // out of range is ±Inf, which compares as it should
	return number{f: f}
}

func (a number) compare(b number) int {
	switch {
	case a.isInt && b.isInt && a.i < b.i, !(a.isInt && b.isInt) && a.f < b.f:
		return -1
	case a.isInt && b.isInt && a.i > b.i, !(a.isInt && b.isInt) && a.f > b.f:
		return 1
	}
	return 0
}

// equal reports whether two nodes are the same value; 1 and 1.0 are not.
func equal(a, b *tree.Node) bool {
	if a.Kind != b.Kind || len(a.Items) != len(b.Items) || len(a.Fields) != len(b.Fields) {
		return false
	}
	switch a.Kind {
	case tree.Int:
		return a.Text == b.Text || isZero(a) && isZero(b)
	case tree.Float:
		return a.Text == b.Text || parseNumber(a.Text).compare(parseNumber(b.Text)) == 0
	case tree.Bool, tree.String:
		return a.Text == b.Text
	}
	for i := range a.Items {
		if !equal(a.Items[i], b.Items[i]) {
			return false
		}
	}
	for _, f := range a.Fields {
		if v := b.Get(f.Key); v == nil || !equal(f.Value, v) {
			return false
		}
	}
	return true
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	if strings.HasSuffix(what, "y") {
		return strconv.Itoa(n) + " " + strings.TrimSuffix(what, "y") + "ies"
	}
	return strconv.Itoa(n) + " " + what + "s"
}
