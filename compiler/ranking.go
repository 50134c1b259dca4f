package compiler

import (
	"maps"
	"slices"
)

// ranking puts keys into order. It remembers the keys of the last compile,
// since those of the next are most often the same: then nothing is sorted and
// nothing looked up.
type ranking[K comparable] struct {
	met    []K   // as they came
	places []int // of met in order; a key that came twice has one place
	length int   // how many different ones there are
}

// order takes the keys met in this compile; compare is the order they are to
// have. It reports whether they are those of the last compile.
func (r *ranking[K]) order(met []K, compare func(a, b K) int) (same bool) {
	if slices.Equal(r.met, met) {
		return true
	}
	place := make(map[K]int, len(met))
	for _, k := range met {
		place[k] = 0
	}
	sorted := slices.SortedFunc(maps.Keys(place), compare)
	for i, k := range sorted {
		place[k] = i
	}
	r.met, r.places, r.length = met, make([]int, len(met)), len(sorted)
	for i, k := range met {
		r.places[i] = place[k]
	}
	return false
}
