package plan_test

import (
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
