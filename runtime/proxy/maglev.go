package proxy

import (
	"cmp"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// maglevSize is the number of entries of Envoy's table, a prime.
const maglevSize = 65537

// maglev is a table of endpoints, by their indexes: each has its share of the
// entries, and keeps nearly all of them when others come or go (Eisenbud and
// others, "Maglev", section 3.4). Of more endpoints than fit, the rest has none.
type maglev []uint16

// newMaglev makes Envoy's table: in each round every endpoint takes the next
// free entry of a walk of its own, and lighter ones sit rounds out.
func newMaglev(endpoints []*endpoint, size uint64) maglev {
	type walk struct {
		index        uint16
		entry, skip  uint64
		weight, turn float64
	}
	n := min(len(endpoints), int(size)-1)
	walks := make([]walk, n)
	heaviest := 0.0
	for i, e := range endpoints[:n] {
		d := xxhash.NewWithSeed(1)
		d.WriteString(e.pool.text)
		walks[i] = walk{
			index: uint16(i), entry: xxhash.Sum64String(e.pool.text) % size, skip: d.Sum64()%(size-1) + 1,
			weight: float64(e.weight),
		}
		heaviest = max(heaviest, walks[i].weight)
	}
	slices.SortFunc(walks, func(a, b walk) int { return cmp.Compare(endpoints[a.index].pool.text, endpoints[b.index].pool.text) })
	table := make(maglev, size)
	taken := make([]bool, size)
	left := size
	for round := 1.0; ; round++ {
		for i := range walks {
			w := &walks[i]
			if round*w.weight < w.turn {
				continue
			}
			w.turn += heaviest
			for taken[w.entry] {
				w.entry = (w.entry + w.skip) % size
			}
			table[w.entry], taken[w.entry] = w.index, true
			if left--; left == 0 {
				return table
			}
		}
	}
}

// choose returns the index of the endpoint for hash.
func (m maglev) choose(hash uint64) int { return int(m[hash%uint64(len(m))]) }
