package plan_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/meshc/meshc/schema/internal/plan"
	"github.com/meshc/meshc/schema/tree"
)

var update = flag.Bool("update", false, "write what the plan says into testdata")

// TestEngine runs testdata/engine: each archive holds rules.cue, which defines
// #D, and pairs of NAME.yaml and NAME.want. A .want is the document with its
// defaults as JSON, then one line a finding. CUE must give the same verdict.
func TestEngine(t *testing.T) {
	runArchives(t, "testdata/engine/*.txtar", func(t *testing.T, a *txtar.Archive) func(n *tree.Node) (*tree.Node, []plan.Finding) {
		if a.Files[0].Name != "rules.cue" {
			t.Fatal("no rules.cue")
		}
		fsys := fstest.MapFS{"rules.cue": {Data: a.Files[0].Data}}
		s, err := plan.Compile(fsys)
		if err != nil {
			t.Fatal(err)
		}
		o := newOracle(t, fsys)
		// Attributes change verdicts in ways that CUE cannot know.
		likeCUE := !notCUE.Match(a.Files[0].Data)
		return func(n *tree.Node) (*tree.Node, []plan.Finding) {
			out, findings := definition(t, s, "#D").Check(n)
			if _, err := o.check("#D", n); likeCUE && (err == nil) != (len(findings) == 0) {
				t.Errorf("%s: CUE says %v, the plan says %v", text(n), err, findings)
			}
			return out, findings
		}
	})
}

// TestRules runs testdata/rules in the same way against the rules that meshc
// ships, by each document's kind.
func TestRules(t *testing.T) {
	s := compileRules(t)
	runArchives(t, "testdata/rules/*.txtar", func(t *testing.T, a *txtar.Archive) func(n *tree.Node) (*tree.Node, []plan.Finding) {
		return func(n *tree.Node) (*tree.Node, []plan.Finding) {
			return definition(t, s, "#"+n.Get("kind").Str()).Check(n)
		}
	})
}

func runArchives(t *testing.T, pattern string, prepare func(*testing.T, *txtar.Archive) func(*tree.Node) (*tree.Node, []plan.Finding)) {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatal("no archives", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			check := prepare(t, a)
			want := map[string]string{}
			for _, f := range a.Files {
				want[f.Name] = string(f.Data)
			}
			out := &txtar.Archive{Comment: a.Comment}
			for _, f := range a.Files {
				name, isDocument := strings.CutSuffix(f.Name, ".yaml")
				if !isDocument {
					if !strings.HasSuffix(f.Name, ".want") {
						out.Files = append(out.Files, f)
					}
					continue
				}
				checked, findings := check(parseYAML(t, string(f.Data)))
				got := report(t, plain(checked), findings)
				out.Files = append(out.Files, f, txtar.File{Name: name + ".want", Data: []byte(got)})
				if !*update && got != want[name+".want"] {
					t.Errorf("%s: got\n%swant\n%s", name, got, want[name+".want"])
				}
			}
			if *update {
				if err := os.WriteFile(path, txtar.Format(out), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func report(t *testing.T, value any, findings []plan.Finding) string {
	t.Helper()
	b, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{string(b)}
	for _, f := range findings {
		line := fmt.Sprintf("%d:%d %s: %s [%s %s]", f.Pos.Line, f.Pos.Column, f.Path, f.Message, f.Code, f.Class)
		if f.Hint != "" {
			line += "; " + f.Hint
		}
		for _, r := range f.Related {
			line += fmt.Sprintf(" (%d:%d %s)", r.Pos.Line, r.Pos.Column, r.Message)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n") + "\n"
}

func TestCompileRefuses(t *testing.T) {
	for name, c := range map[string]struct{ src, want string }{
		"for":               {"#D: a: [for x in [1] {x}]", "rules.cue:1:9: unknown construct"},
		"for in a struct":   {"#D: {\n\tfor x in [1] {a: x}\n}", "rules.cue:2:2: unknown construct: a comprehension other than if"},
		"else":              {"#D: {\n\ta?: int\n\tif a == 1 {b: 1} else {b: 2}\n}", "rules.cue:3:"},
		"interpolation":     {`#D: a: "\(1)"`, "rules.cue:1:8: unknown construct"},
		"arithmetic":        {"#D: {a?: int, if a + 1 == 2 {b: 1}}", "rules.cue:1:18: unknown construct in a condition"},
		"unknown name":      {"#D: a: nope", "rules.cue:1:8: unknown name nope"},
		"bytes":             {"#D: a: bytes", "rules.cue:1:8: unknown name bytes"},
		"unknown function":  {`import "strings"` + "\n#D: a: strings.ToUpper(\"a\")", "rules.cue:2:8: unknown construct: strings.ToUpper"},
		"let":               {"#D: {\n\tlet x = 1\n\ta: x\n}", "rules.cue:2:2: unknown construct: let"},
		"alias":             {"#D: {X=a: int}", "rules.cue:1:6: unknown construct"},
		"inner definition":  {"#D: {#E: int}", "rules.cue:1:6: unknown construct: a definition inside a struct"},
		"regular at top":    {"a: 1", `rules.cue:1:1: unknown construct: "a" is neither`},
		"declared twice":    {"#D: a: 1\n#D: b: 1", "rules.cue:2:1: unknown construct: a second declaration"},
		"bad pattern":       {`#D: a: =~"("`, "rules.cue:1:10: error parsing regexp"},
		"circle":            {"#D: a: _x\n_x: _y\n_y: _x", "refers to itself"},
		"unknown check":     {"#D: a: int @check(nope)", `rules.cue:1:12: @check: no check is named "nope"`},
		"unknown attribute": {"#D: a: int @rules(x)", "rules.cue:1:12: unknown attribute"},
		"unknown rule key":  {"#D: a: int @rule(hints=x)", `rules.cue:1:12: @rule: unknown key "hints"`},
		"unknown class":     {"#D: a: int @rule(class=Wrong)", `rules.cue:1:12: @rule: unknown class "Wrong"`},
		"syntax":            {"#D: {", "rules.cue:1"},
		"unclosed in list":  {"import \"list\"\n#D: a: list.MaxItems(1) & [...{b: int}]", "rules.cue:2:28: unknown construct: a struct literal in a list behind &"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := plan.Compile(fstest.MapFS{"rules.cue": {Data: []byte(c.src)}})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}
