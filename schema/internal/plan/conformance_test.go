package plan_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/meshc/meshc/schema/internal/plan"
	"github.com/meshc/meshc/schema/tree"
)

// verdict is what an API server answered: each error's field and class.
type verdict struct {
	Valid  bool `json:"valid"`
	Errors []struct {
		Field string `json:"field"`
		Class string `json:"class"`
	} `json:"errors"`
}

func (v verdict) faults() string {
	set := map[string]bool{}
	for _, e := range v.Errors {
		set[e.Field+" "+e.Class] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(set)), ", ")
}

// recorded is one document of testdata/conformance/kubernetes: what
// kube-apiserver 1.18.20 said to it, and 1.36.3 where that said something else.
type recorded struct {
	verdict
	File      string          `json:"file"`
	ID        string          `json:"id"`
	Kind      string          `json:"kind"`
	V136      *verdict        `json:"v136"`
	Unknown   string          `json:"unknown_field"`
	Group     string          `json:"group"`
	Defaulted json.RawMessage `json:"defaulted_118"`
}

// deviations are the documents on which meshc differs from both servers on
// purpose, by ID, with the reason.
var deviations = map[string]string{}

func readRecorded(t testing.TB) []recorded {
	t.Helper()
	b, err := os.ReadFile("testdata/conformance/kubernetes/manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []recorded
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) == 0 {
		t.Fatal("no cases")
	}
	return cases
}

// document returns the recorded document. The two whose annotations are as
// large as they may be, and one byte larger, are made here.
func (c recorded) document(t testing.TB) *tree.Node {
	t.Helper()
	const limit = 256 << 10
	switch c.ID {
	case "annotation-max":
		return largeAnnotation(t, limit)
	case "annotation-too-big":
		return largeAnnotation(t, limit+1)
	}
	src, err := os.ReadFile(filepath.Join("testdata/conformance/kubernetes", c.File))
	if err != nil {
		t.Fatal(err)
	}
	return parseYAML(t, string(src))
}

// largeAnnotation is a Service whose annotations hold size bytes.
func largeAnnotation(t testing.TB, size int) *tree.Node {
	t.Helper()
	const key = "a"
	return parseYAML(t, fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, annotations: {%s: %s}}
spec: {selector: {k: v}, ports: [{name: p, port: 80}]}
`, key, strings.Repeat("x", size-len(key))))
}

func TestKubernetesConformance(t *testing.T) {
	s := compileRules(t)
	stale := maps.Clone(deviations)
	for _, c := range readRecorded(t) {
		t.Run(c.ID, func(t *testing.T) {
			_, findings := definition(t, s, "#"+c.Kind).Check(c.document(t))
			problem := c.differs(findings)
			if c.V136 != nil && problem != "" {
				newer := c
				newer.verdict = *c.V136
				problem = newer.differs(findings)
			}
			_, expected := deviations[c.ID]
			delete(stale, c.ID)
			switch {
			case expected && problem == "":
				t.Error("agrees with the servers: take it from the list of deviations")
			case !expected && problem != "":
				t.Errorf("%s\nfindings: %+v", problem, findings)
			}
		})
	}
	for id := range stale {
		t.Errorf("deviation %s names no case", id)
	}
}

// differs says how findings differ from the recorded verdict, or "".
func (c recorded) differs(findings []plan.Finding) string {
	if c.Valid != (len(findings) == 0) {
		return fmt.Sprintf("the server says valid: %v", c.Valid)
	}
	got := map[string]bool{}
	for _, f := range findings {
		switch {
		case f.Class != "":
			got[f.Path+" "+f.Class] = true
		case c.Unknown != "" && f.Path != c.Unknown:
			return "the server names the unknown field " + c.Unknown
		}
	}
	// A document that does not decode gets an error without fields.
	if got := strings.Join(slices.Sorted(maps.Keys(got)), ", "); got != c.faults() {
		return fmt.Sprintf("the server finds %s, meshc %s", c.faults(), got)
	}
	return ""
}

// TestKubernetesDefaults compares the spec with what the API server stored,
// where it says so, but for what the server allocates and what only old ones fill in.
func TestKubernetesDefaults(t *testing.T) {
	s := compileRules(t)
	compared := 0
	for _, c := range readRecorded(t) {
		if c.Defaulted == nil {
			continue
		}
		t.Run(c.ID, func(t *testing.T) {
			out, _ := definition(t, s, "#"+c.Kind).Check(c.document(t))
			var want map[string]any
			if err := json.Unmarshal(c.Defaulted, &want); err != nil {
				t.Fatal(err)
			}
			b, err := json.Marshal(plain(out))
			if err != nil {
				t.Fatal(err)
			}
			var got map[string]any
			if err := json.Unmarshal(b, &got); err != nil {
				t.Fatal(err)
			}
			clean(want)
			clean(got)
			for key, value := range want {
				a, _ := json.Marshal(value)
				b, _ := json.Marshal(got[key])
				if string(a) != string(b) {
					t.Errorf("%s: the server stored\n%s\nmeshc has\n%s", key, a, b)
				}
			}
		})
		compared++
	}
	if compared < 50 {
		t.Errorf("compared only %d documents", compared)
	}
}

// clean takes out of a spec what is not worth comparing: values that the
// server allocates, fields that 1.18 alone fills in, and zeros, which the
// server leaves out.
func clean(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range []string{"ipFamily", "clusterIP", "healthCheckNodePort", "nodePort"} {
			delete(v, key)
		}
		if v["type"] == "ClusterIP" {
			delete(v, "externalTrafficPolicy") // 1.36 sets it where there are external IPs
		}
		for key, x := range v {
			clean(x)
			switch x := x.(type) {
			case nil:
				delete(v, key)
			case string:
				if x == "" {
					delete(v, key)
				}
			case bool:
				if !x {
					delete(v, key)
				}
			case []any:
				if len(x) == 0 {
					delete(v, key)
				}
			case map[string]any:
				if len(x) == 0 {
					delete(v, key)
				}
			}
		}
	case []any:
		for _, x := range v {
			clean(x)
		}
	}
}
