package proxy

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"github.com/meshc/meshc/compiler/snapshot"
)

// Envoy's bounds of a ring where none are given.
const (
	minRing = 1 << 10
	maxRing = 8 << 20
)

// ring is a circle of hashes, sorted; each belongs to an endpoint.
type ring []ringPoint

type ringPoint struct {
	hash     uint64
	endpoint uint32 // its index
}

// newRing makes Envoy's ring: points by weight, so many that the lightest
// endpoint has a whole number of them, each the hash of "ADDRESS:PORT_NUMBER".
// An endpoint's points depend on no other's, unless the number of all changes.
func newRing(endpoints []*endpoint, spec snapshot.Ring) ring {
	total, lightest := 0.0, math.Inf(1)
	for _, e := range endpoints {
		total += float64(e.weight)
		lightest = min(lightest, float64(e.weight))
	}
	lightest /= total
	least, most := float64(cmp.Or(spec.Min, minRing)), float64(cmp.Or(spec.Max, maxRing))
	scale := min(math.Ceil(lightest*least)/lightest, most)
	hash := xxhash.Sum64
	if spec.Hash == "MURMUR_HASH_2" {
		hash = murmurHash2
	}
	r := make(ring, 0, int(math.Ceil(scale)))
	var key []byte
	made, due := 0.0, 0.0
	for i, e := range endpoints {
		due += scale * (float64(e.weight) / total)
		key = append(append(key[:0], e.pool.text...), '_')
		for n := 0; made < due; n++ {
			r = append(r, ringPoint{hash(strconv.AppendInt(key, int64(n), 10)), uint32(i)})
			made++
		}
	}
	slices.SortFunc(r, func(a, b ringPoint) int { return cmp.Compare(a.hash, b.hash) })
	return r
}

// choose returns the index of the endpoint whose point is the first at or
// after hash.
func (r ring) choose(hash uint64) int {
	i, _ := slices.BinarySearchFunc(r, hash, func(p ringPoint, hash uint64) int { return cmp.Compare(p.hash, hash) })
	if i == len(r) {
		i = 0
	}
	return int(r[i].endpoint)
}

// murmurHash2 is MurmurHash64A with the seed of libstdc++'s std::hash, as
// Envoy's MURMUR_HASH_2.
func murmurHash2(b []byte) uint64 {
	const (
		seed = 0xc70f6907
		mul  = 0xc6a4a7935bd1e995
	)
	h := seed ^ uint64(len(b))*mul
	for ; len(b) >= 8; b = b[8:] {
		k := binary.LittleEndian.Uint64(b) * mul
		k = (k ^ k>>47) * mul
		h = (h ^ k) * mul
	}
	if len(b) > 0 {
		var last [8]byte
		copy(last[:], b)
		h = (h ^ binary.LittleEndian.Uint64(last[:])) * mul
	}
	h = (h ^ h>>47) * mul
	return h ^ h>>47
}
