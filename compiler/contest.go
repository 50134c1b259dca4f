package compiler

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/meshc/meshc/schema/diag"
)

// contest finds out which policies of a ruleset win anywhere. Policies meet at
// members of a population; which of them take part depends on what else is
// given, as the service that the traffic goes to: that is a round.
type contest struct {
	rules *ruleset
	// arena and strangers are where policies meet.
	arena, strangers *population
	// effort is how many more comparisons may be made. When it is spent, who
	// has not lost yet counts as a winner: nothing is reported that is not so.
	effort int
	fates  map[*policy]*fate
	// exact are, by policy, the members that its selectors with a value in them
	// may select.
	exact  map[*policy][][]*member
	seen   map[*member]*sight
	rounds int // so far
}

// sight is what the policies are to a member, and the round in which it was
// taken for itself.
type sight struct {
	outlook outlook
	round   int
}

// fate is how a policy fared.
type fate struct {
	won  bool
	lost []defeat // one for each that beat it
	tied []defeat // those by name alone
}

// defeat is who won against a policy, and why; at is the round.
type defeat struct {
	by      *policy
	why, at string
}

// maxEffort bounds a contest to some tenths of a second. A thousand policies
// for as many services take a hundredth of it.
const maxEffort = 2_000_000

// newContest lets the policies of rules meet wherever they apply.
func newContest(rules *ruleset, w *world) *contest {
	c := &contest{
		rules: rules, arena: w.proxies, strangers: newPopulation(), effort: maxEffort,
		fates: map[*policy]*fate{}, exact: map[*policy][][]*member{}, seen: map[*member]*sight{},
	}
	if rules.family == inbound {
		c.arena = w.inbounds
	}
	rounds := map[string][]*policy{} // by service, "*" for those that no policy names
	for _, p := range rules.policies {
		c.fates[p] = &fate{}
		for _, s := range p.selectors {
			if m := stranger(s.Match); m != nil && c.arena.members[m.key] == nil {
				c.strangers.add(m)
			}
		}
		for _, name := range p.services {
			if name == "" || w.hasService(name) {
				rounds[name] = append(rounds[name], p)
			}
		}
	}
	for _, p := range rules.policies {
		for _, s := range p.selectors {
			if hasValue(s.Match) {
				c.exact[p] = append(c.exact[p], c.arena.candidates(s.Match), c.strangers.candidates(s.Match))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(rounds)) {
		entries := rounds[name]
		if name != "*" {
			entries = slices.Concat(entries, rounds["*"])
		}
		c.round(entries, name)
	}
	return c
}

// round lets entries meet at every member. Members that differ in nothing that
// a selector of them looks at are represented by one.
func (c *contest) round(entries []*policy, at string) {
	c.rounds++
	var exact []*member
	for _, p := range entries {
		c.effort -= len(p.selectors)
		for _, members := range c.exact[p] {
			for _, m := range members {
				if s := c.sight(m); s.round != c.rounds {
					s.round = c.rounds
					exact = append(exact, m)
				}
			}
		}
	}
	slices.SortFunc(exact, func(x, y *member) int { return strings.Compare(x.key, y.key) })
	for _, m := range exact {
		c.meet(m, at)
	}
	for _, among := range []*population{c.arena, c.strangers} {
		for _, shape := range slices.Sorted(maps.Keys(among.byShape)) {
			rest := among.byShape[shape]
			if i := slices.IndexFunc(rest, func(m *member) bool { s := c.seen[m]; return s == nil || s.round != c.rounds }); i >= 0 {
				c.meet(rest[i], at)
			}
		}
	}
}

func hasValue(selector map[string]string) bool {
	for _, v := range selector {
		if v != "*" {
			return true
		}
	}
	return false
}

func (c *contest) sight(m *member) *sight {
	s := c.seen[m]
	if s == nil {
		s = &sight{outlook: c.rules.of(m.tags...)}
		c.seen[m] = s
	}
	return s
}

// meet lets the policies that are for traffic to at meet at m.
func (c *contest) meet(m *member, at string) {
	if c.effort < 0 {
		return
	}
	all := c.sight(m).outlook.contenders(at)
	c.effort -= 1 + len(all)
	for _, x := range all {
		top, fate := all[0], c.fates[x.policy]
		switch order := x.rank.compare(top.rank); {
		case x.policy == top.policy, c.rules.family == inbound && order == 0: // those of equal rank apply together
			fate.won = true
		case order == 0 && x.created.Equal(top.created):
			fate.tied = appendDefeat(fate.tied, defeat{top.policy, "its name comes first", at})
		default:
			fate.lost = appendDefeat(fate.lost, defeat{top.policy, whyBetter(top.rank, x.rank), at})
		}
	}
}

// appendDefeat adds d unless there is one by the same policy.
func appendDefeat(list []defeat, d defeat) []defeat {
	if slices.ContainsFunc(list, func(o defeat) bool { return o.by == d.by }) {
		return list
	}
	return append(list, d)
}

func whyBetter(win, loss rank) string {
	switch {
	case win.total > loss.total:
		return fmt.Sprintf("its selectors name more tags (%d, not %d)", win.total, loss.total)
	case win.exact > loss.exact:
		return fmt.Sprintf("its selectors are more exact: fewer of their %d tags are * (%d, not %d)", win.total, win.total-win.exact, loss.total-loss.exact)
	}
	return "it was created later, and their selectors are of equal rank"
}

// findings tells who came second by name alone, and who never wins.
func (c *contest) findings() []diag.Diagnostic {
	var out []diag.Diagnostic
	for _, p := range c.rules.policies {
		fate := c.fates[p]
		for _, t := range fate.tied {
			out = append(out, finding(diag.CodeTie, diag.Warning, p.doc, []any{"name"},
				fmt.Sprintf("%s %s and %s match %s equally well; %s is used, for %s", p.doc.Kind, t.by.doc.Name, p.doc.Name, c.ground(t.at), t.by.doc.Name, t.why),
				"add a tag to the selectors of the one that should win, or give it a later creationTime",
				diag.Related{Place: t.by.doc.Place("name"), Message: "the one in use"}))
		}
		if fate.won || len(fate.tied) > 0 || len(fate.lost) == 0 || c.effort < 0 {
			continue
		}
		slices.SortFunc(fate.lost, func(x, y defeat) int { return strings.Compare(x.by.doc.Name, y.by.doc.Name) })
		const shown = 3
		var related []diag.Related
		for _, l := range fate.lost[:min(len(fate.lost), shown)] {
			related = append(related, diag.Related{Place: l.by.doc.Place("name"), Message: fmt.Sprintf("%s wins, for %s", l.by.doc.Name, l.why)})
		}
		winner := fmt.Sprintf("%s %s is used, for %s", p.doc.Kind, fate.lost[0].by.doc.Name, fate.lost[0].why)
		if n := len(fate.lost); n > 1 {
			winner = fmt.Sprintf("one of %d others is used", n)
		}
		out = append(out, finding(diag.CodeShadowed, diag.Warning, p.doc, []any{"name"},
			fmt.Sprintf("%s %s never takes effect: wherever it applies, %s", p.doc.Kind, p.doc.Name, winner),
			"remove it, or add tags to its selectors", related...))
	}
	return out
}

// ground says where two policies met, for a message.
func (c *contest) ground(at string) string {
	switch {
	case c.rules.family == proxy:
		return "the same proxies"
	case at == "*":
		return "traffic to services that no other one names"
	}
	return "traffic to " + at
}
