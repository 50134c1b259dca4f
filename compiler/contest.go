package compiler

import (
	"fmt"
	"maps"
	"slices"

	"github.com/meshc/meshc/schema/kuma"
)

// contest finds out which policies of a ruleset win anywhere. Policies meet at
// members of a population; which of them take part depends on what else is
// given, as the service that the traffic goes to: that is a round.
type contest struct {
	rules *ruleset
	arena *population
	// united says that policies of equal rank apply together.
	united bool
	// effort is how many more comparisons may be made. When it is spent, who
	// has not lost yet counts as a winner: nothing is reported that is not so.
	effort int
	fates  map[*policy]*fate
	// exact are, by policy, the members that a selector with a value in it may select.
	exact map[*policy][]int
	seen  []outlook // by member, once it was met
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
func newContest(rules *ruleset, f family, w *world) *contest {
	c := &contest{
		rules: rules, arena: w.proxies, united: f == inbound, effort: maxEffort,
		fates: map[*policy]*fate{}, exact: map[*policy][]int{},
	}
	if f == inbound {
		c.arena = w.inbounds
	}
	rounds := map[string][]*policy{} // by service, "*" for those that no policy names
	for _, p := range rules.policies {
		c.fates[p] = &fate{}
		for _, s := range p.selectors {
			c.arena.addStranger(s.Match)
		}
		for _, name := range p.services {
			if name == "" || w.hasService(map[string]string{kuma.ServiceTag: name}) {
				rounds[name] = append(rounds[name], p)
			}
		}
	}
	c.seen = make([]outlook, len(c.arena.members))
	for _, p := range rules.policies {
		for _, s := range p.selectors {
			if hasValue(s.Match) {
				c.exact[p] = append(c.exact[p], c.arena.candidates(s.Match)...)
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
	var exact []int
	for _, p := range entries {
		exact = append(exact, c.exact[p]...)
		c.effort -= len(p.selectors)
	}
	slices.Sort(exact)
	exact = slices.Compact(exact)
	for _, n := range exact {
		c.meet(n, at)
	}
	for _, shape := range c.arena.shapes {
		rest := c.arena.byShape[shape]
		i := slices.IndexFunc(rest, func(n int) bool { _, found := slices.BinarySearch(exact, n); return !found })
		if i >= 0 {
			c.meet(rest[i], at)
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

// meet lets the policies that are for traffic to at meet at member n.
func (c *contest) meet(n int, at string) {
	if c.effort < 0 {
		return
	}
	if c.seen[n] == nil {
		c.seen[n] = append(outlook{}, c.rules.of(c.arena.members[n].tags...)...)
	}
	all := c.seen[n].contenders(at)
	c.effort -= 1 + len(all)
	for _, x := range all {
		top, fate := all[0], c.fates[x.policy]
		switch order := x.rank.compare(top.rank); {
		case x.policy == top.policy, c.united && order == 0:
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
