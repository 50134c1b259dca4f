package diag

import (
	"fmt"
	"maps"
	"slices"
)

// Suggest returns "did you mean "x"? " for the key of known that is nearest to
// name by edit distance, or "" where none is near.
func Suggest[V any](name string, known map[string]V) string {
	if n := Nearest(name, slices.Sorted(maps.Keys(known))); n != "" {
		return fmt.Sprintf("did you mean %q? ", n)
	}
	return ""
}

// Nearest returns the candidate with the smallest edit distance to name, if it
// is at most a third of name's length and at least 1; else "". Of equally near
// ones the first wins.
func Nearest(name string, candidates []string) string {
	best, limit := "", max(1, len(name)/3)
	for _, c := range candidates {
		if d := distance(name, c, limit); d > 0 && d <= limit {
			best, limit = c, d-1
		}
	}
	return best
}

// distance is the edit distance of a and b, in which two neighbours that have
// changed places count as one edit, or anything above limit where it is above limit.
func distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, last, row = last, row, before
		row[0] = i + 1
		for j := range len(b) {
			cost := last[j]
			if a[i] != b[j] {
				cost++
			}
			row[j+1] = min(cost, row[j]+1, last[j+1]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
