package compiler

import (
	"fmt"
	"slices"
	"time"

	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/kuma"
)

// contest finds out which policies of one kind and mesh win anywhere. Policies
// meet at members of a population; which of them take part depends on what
// else is given, as the service that the traffic goes to: that is a round.
type contest struct {
	policies []*policy // by name
	arena    *population
	// united says that policies of equal rank apply together.
	united bool
	// effort is how many more comparisons may be made. When it is spent, who
	// has not lost yet counts as a winner: nothing is reported that is not so.
	effort int
}

// policy is one that takes part in a contest, and how it fared.
type policy struct {
	doc       *schema.Document
	selectors []kuma.Selector // over the members
	created   time.Time

	won  bool
	lost []defeat // one for each that beat it
	tied []defeat // those by name alone
}

func (p *policy) addStrangers(arena *population) {
	for _, s := range p.selectors {
		arena.addStranger(s.Match)
	}
}

// defeat is who won against a policy, and why; at is the round.
type defeat struct {
	by      *policy
	why, at string
}

// maxEffort bounds a contest to some tenths of a second. A thousand policies
// for as many services take a hundredth of it.
const maxEffort = 2_000_000

// entry is a policy in a round: its rank there is added to that at a member.
type entry struct {
	*policy
	rank rank
	// any says that it selects every member there is, whatever its selectors.
	any bool
}

// round lets entries meet at every member. Members that differ in nothing that
// a selector of them looks at are represented by one.
func (c *contest) round(entries []entry, at string) {
	var exact []int // selected, perhaps, by a selector with a value in it
	for _, e := range entries {
		for _, s := range e.selectors {
			if hasValue(s.Match) {
				exact = append(exact, c.arena.candidates(s.Match)...)
			}
		}
		c.effort -= len(e.selectors)
	}
	slices.Sort(exact)
	exact = slices.Compact(exact)
	for _, n := range exact {
		c.meet(entries, n, at)
	}
	for _, shape := range c.arena.shapes {
		rest := c.arena.byShape[shape]
		i := slices.IndexFunc(rest, func(n int) bool { _, found := slices.BinarySearch(exact, n); return !found })
		if i >= 0 {
			c.meet(entries, rest[i], at)
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

// meet lets entries meet at member n.
func (c *contest) meet(entries []entry, n int, at string) {
	c.effort -= len(entries)
	if c.effort < 0 {
		return
	}
	type result struct {
		*policy
		rank rank
	}
	var results []result
	for _, e := range entries {
		r, ok := best(e.selectors, c.arena.members[n].tags)
		if ok || e.any {
			results = append(results, result{e.policy, r.plus(e.rank)})
		}
	}
	if len(results) == 0 {
		return
	}
	top := results[0]
	for _, r := range results[1:] {
		if order := r.rank.compare(top.rank); order > 0 || order == 0 && r.created.After(top.created) {
			top = r
		}
	}
	for _, r := range results {
		switch order := r.rank.compare(top.rank); {
		case r.policy == top.policy, c.united && order == 0:
			r.won = true
		case order == 0 && r.created.Equal(top.created):
			r.tied = appendDefeat(r.tied, defeat{top.policy, "its name comes first", at})
		default:
			r.lost = appendDefeat(r.lost, defeat{top.policy, whyBetter(top.rank, r.rank), at})
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
