package plan_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/meshc/meshc/schema/internal/plan"
	"github.com/meshc/meshc/schema/kubernetes"
	"github.com/meshc/meshc/schema/tree"
)

func TestResultSharesWhatDidNotChange(t *testing.T) {
	s := compileRules(t)
	n := parseYAML(t, documents["Service"])
	out, findings := definition(t, s, "#Service").Check(n)
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	if out.Get("metadata") != n.Get("metadata") {
		t.Error("metadata needed no default and was copied")
	}
	if n.Get("spec").Get("sessionAffinity") != nil {
		t.Error("the input was changed")
	}
	filled := out.Get("spec").Get("sessionAffinity")
	if !filled.Default || filled.Pos != n.Field("spec").KeyPos {
		t.Errorf("a default at %v (Default %v), want it marked, at the place of spec %v", filled.Pos, filled.Default, n.Field("spec").KeyPos)
	}
	if written := out.Get("spec").Get("type"); written.Default {
		t.Error("a written value is marked as a default")
	}
	again, _ := definition(t, s, "#Service").Check(out)
	if again != out {
		t.Error("a document with all its defaults was copied")
	}
}

// TestResultsAreApart: what was returned for one document stays as it was when
// the next one is checked.
func TestResultsAreApart(t *testing.T) {
	s := compileRules(t)
	for kind, src := range documents {
		d := definition(t, s, "#"+kind)
		first, _ := d.Check(parseYAML(t, src))
		want := text(first)
		for range 3 {
			second, _ := d.Check(parseYAML(t, src))
			if text(first) != want || text(second) != want {
				t.Fatalf("%s: %s and %s, want %s", kind, text(first), text(second), want)
			}
			for i := range second.Fields {
				second.Fields[i].Value.Text += "changed"
			}
			second.Fields = append(second.Fields, tree.Field{Key: "another", Value: second})
			if text(first) != want {
				t.Fatalf("%s: %s changes with another result, want %s", kind, text(first), want)
			}
		}
	}
}

func TestCheckConcurrently(t *testing.T) {
	s := compileRules(t)
	var wg sync.WaitGroup
	for kind, src := range documents {
		d := definition(t, s, "#"+kind)
		good := parseYAML(t, src)
		bad := parseYAML(t, src+"\nbogus: 1\n")
		for range 4 {
			wg.Go(func() {
				for range 50 {
					if _, findings := d.Check(good); len(findings) != 0 {
						t.Errorf("%s: %v", kind, findings)
					}
					if _, findings := d.Check(bad); len(findings) != 1 {
						t.Errorf("%s: %v, want one finding", kind, findings)
					}
				}
			})
		}
	}
	wg.Wait()
}

// TestAcceptedDocumentsDecode: what the rules accept fits the Go types.
func TestAcceptedDocumentsDecode(t *testing.T) {
	s := compileRules(t)
	for _, c := range readRecorded(t) {
		out, findings := definition(t, s, "#"+c.Kind).Check(c.document(t))
		if len(findings) > 0 {
			continue
		}
		var dst any = new(kubernetes.Service)
		if c.Kind == "Endpoints" {
			dst = new(kubernetes.Endpoints)
		}
		if err := tree.Decode(out, dst); err != nil {
			t.Errorf("%s: %v", c.ID, err)
		}
	}
	n := parseYAML(t, documents["EndpointSlice"])
	out, _ := definition(t, s, "#EndpointSlice").Check(n)
	if err := tree.Decode(out, new(kubernetes.EndpointSlice)); err != nil {
		t.Error(err)
	}
}

func TestEveryCheckIsUsed(t *testing.T) {
	var all strings.Builder
	for _, src := range sources(t) {
		all.Write(src)
	}
	for name := range plan.Checks {
		if !strings.Contains(all.String(), "@check("+name+")") {
			t.Errorf("no rule uses the check %s", name)
		}
	}
}

// FuzzCheck gives every definition any JSON: a verdict, always the same, and
// never a panic or a changed input.
func FuzzCheck(f *testing.F) {
	s := compileRules(f)
	for _, src := range documents {
		f.Add(text(parseYAML(f, src)))
	}
	for _, c := range readRecorded(f) {
		if src := text(c.document(f)); len(src) < 1<<12 {
			f.Add(src)
		}
	}
	f.Fuzz(func(t *testing.T, src string) {
		dec := json.NewDecoder(strings.NewReader(src))
		dec.UseNumber()
		var v any
		if dec.Decode(&v) != nil || strings.Count(src, "[")+strings.Count(src, "{") > 1000 {
			return
		}
		n := fromJSON(v)
		before := text(n)
		for kind := range documents {
			d := definition(t, s, "#"+kind)
			out, findings := d.Check(n)
			if text(n) != before {
				t.Fatalf("%s changed its input", kind)
			}
			for _, f := range findings {
				if f.Code == "" || f.Message == "" {
					t.Errorf("%s: incomplete finding %+v", kind, f)
				}
			}
			if len(findings) > 0 {
				continue
			}
			// What has its defaults is accepted as it is.
			if again, findings := d.Check(out); len(findings) > 0 || text(again) != text(out) {
				t.Errorf("%s: checked twice: %v\n%s\n%s", kind, findings, text(out), text(again))
			}
		}
	})
}

func fromJSON(v any) *tree.Node {
	switch v := v.(type) {
	case bool:
		n := &tree.Node{Kind: tree.Bool, Text: "false"}
		if v {
			n.Text = "true"
		}
		return n
	case json.Number:
		if integer.MatchString(v.String()) {
			return &tree.Node{Kind: tree.Int, Text: v.String()}
		}
		return &tree.Node{Kind: tree.Float, Text: v.String()}
	case string:
		return &tree.Node{Kind: tree.String, Text: v}
	case []any:
		n := &tree.Node{Kind: tree.List}
		for _, x := range v {
			n.Items = append(n.Items, fromJSON(x))
		}
		return n
	case map[string]any:
		n := &tree.Node{Kind: tree.Map}
		for k, x := range v {
			n.Fields = append(n.Fields, tree.Field{Key: k, Value: fromJSON(x)})
		}
		return n
	}
	return &tree.Node{}
}
