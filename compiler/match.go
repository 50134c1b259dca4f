package compiler

import (
	"cmp"
	"time"

	"github.com/meshc/meshc/schema/kuma"
)

// rank is how closely a selector fits: more tags win, of as many the one with
// more exact values (Kuma's rule).
type rank struct{ total, exact int }

func (r rank) plus(o rank) rank { return rank{r.total + o.total, r.exact + o.exact} }

func (r rank) compare(o rank) int {
	return cmp.Or(cmp.Compare(r.total, o.total), cmp.Compare(r.exact, o.exact))
}

// matches reports whether every tag of selector is among tags, with the same
// value or any where it says "*", and how closely it fits.
func matches(selector, tags map[string]string) (rank, bool) {
	var r rank
	for k, v := range selector {
		have, ok := tags[k]
		if !ok || v != "*" && v != have {
			return rank{}, false
		}
		r.total++
		if v != "*" {
			r.exact++
		}
	}
	return r, true
}

// best returns the highest rank of the selectors that match any of the tag sets.
func best(selectors []kuma.Selector, sets []map[string]string) (rank, bool) {
	var top rank
	found := false
	for _, s := range selectors {
		for _, tags := range sets {
			if r, ok := matches(s.Match, tags); ok && (!found || r.compare(top) > 0) {
				top, found = r, true
			}
		}
	}
	return top, found
}

// creation is the time that a document says it was created at; the zero time,
// which is the earliest, where it says none.
func creation(text string) time.Time {
	t, _ := time.Parse(time.RFC3339Nano, text)
	return t
}
