package plan_test

import (
	"io/fs"
	"testing"

	rules "github.com/meshc/meshc/schema/cue"
	"github.com/meshc/meshc/schema/internal/plan"
)

// compileRules compiles the rules that meshc ships.
func compileRules(t testing.TB) *plan.Schema {
	t.Helper()
	s, err := plan.Compile(rules.FS)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func definition(t testing.TB, s *plan.Schema, name string) *plan.Definition {
	t.Helper()
	d, ok := s.Definition(name)
	if !ok {
		t.Fatalf("no definition %s", name)
	}
	return d
}

// sources are the rules that meshc ships, by file name.
func sources(t testing.TB) map[string][]byte {
	t.Helper()
	paths, err := fs.Glob(rules.FS, "*.cue")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for _, p := range paths {
		if out[p], err = fs.ReadFile(rules.FS, p); err != nil {
			t.Fatal(err)
		}
	}
	return out
}
