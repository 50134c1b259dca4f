package plan_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/meshc/meshc/schema/internal/parse"
	"github.com/meshc/meshc/schema/internal/plan"
	"github.com/meshc/meshc/schema/tree"
)

// ruleExamples are the documents of a kind that show what rules accept and
// refuse, as far as they are plain YAML.
func ruleExamples(t testing.TB, kind string) []*tree.Node {
	t.Helper()
	paths, err := filepath.Glob("../../testdata/rules/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatal("no archives", err)
	}
	var out []*tree.Node
	for _, path := range paths {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.Files {
			if !strings.HasSuffix(f.Name, ".yaml") {
				continue
			}
			docs, _ := parse.YAML(f.Data)
			for _, doc := range docs {
				n := doc.Root
				if n.Get("kind").Str() == kind || n.Get("type").Str() == kind {
					out = append(out, n)
				}
				eachKongEntity(n, func(name string, entity *tree.Node) {
					if name == "#"+kind {
						out = append(out, entity)
					}
				})
			}
		}
	}
	return out
}

// keep writes the fewest documents found that hit every rule.
func (c *comparison) keep(t *testing.T) {
	covered := map[plan.Outcome]bool{}
	var b strings.Builder
	for _, o := range c.outcomes {
		if covered[o] || len(c.examples[o]) == 0 {
			continue
		}
		n := c.examples[o][0]
		for _, m := range c.examples[o] {
			if len(text(m)) < len(text(n)) {
				n = m
			}
		}
		for p, examples := range c.examples {
			if slices.Contains(examples, n) {
				covered[p] = true
			}
		}
		fmt.Fprintln(&b, text(n))
	}
	if err := os.MkdirAll(corpusDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.corpus(), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// tableOf says for each kind what was compared, and how often its rules were hit.
func tableOf(cs []*comparison) string {
	var b strings.Builder
	row := "%-18s %9v %9v %9v %7v %6v %9v %6v\n"
	fmt.Fprintf(&b, "\n"+row, "kind", "made", "compared", "accepted", "share", "rules", "outcomes", "least")
	var sum comparison
	rules, outcomes, least := 0, 0, 1<<62
	for _, c := range cs {
		few := 1 << 62
		for _, o := range c.outcomes {
			few = min(few, c.hits[o])
		}
		n := c.cover.Rules(c.plan)
		fmt.Fprintf(&b, row, c.kind, c.made, c.compared, c.accepted, percent(c.accepted, c.compared), n, len(c.outcomes), few)
		sum.made, sum.compared, sum.accepted = sum.made+c.made, sum.compared+c.compared, sum.accepted+c.accepted
		rules, outcomes, least = rules+n, outcomes+len(c.outcomes), min(least, few)
	}
	fmt.Fprintf(&b, row, "all", sum.made, sum.compared, sum.accepted, percent(sum.accepted, sum.compared), rules, outcomes, least)
	return b.String()
}

func percent(n, of int) string { return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(max(of, 1))) }
