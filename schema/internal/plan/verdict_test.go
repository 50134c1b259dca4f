package plan_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/meshc/meshc/schema/tree"
)

// BenchmarkVerdict checks a document of every kind, parsed before: by the plan,
// and by CUE with the same rules.
func BenchmarkVerdict(b *testing.B) {
	s := compileRules(b)
	o := newOracle(b, pureCUE(b))
	kinds := slices.Sorted(maps.Keys(documents))
	parsed := make([]*tree.Node, len(kinds))
	for i, kind := range kinds {
		parsed[i] = parseYAML(b, documents[kind])
	}
	b.Run("plan", func(b *testing.B) {
		for b.Loop() {
			for i, kind := range kinds {
				definition(b, s, "#"+kind).Check(parsed[i])
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(kinds)), "ns/doc")
	})
	b.Run("cue", func(b *testing.B) {
		for b.Loop() {
			for i, kind := range kinds {
				if _, err := o.check("#"+kind, parsed[i]); err != nil {
					b.Fatal(kind, err)
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(kinds)), "ns/doc")
	})
}
