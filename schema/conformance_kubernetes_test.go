package schema_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
)

// kubernetesVerdict is what an API server answered: the field and the class of each error.
type kubernetesVerdict struct {
	Valid  bool
	Errors []struct{ Field, Class string }
}

// kubernetesDeviations are the documents of which meshc says something else
// than both servers on purpose, with what it says.
var kubernetesDeviations = map[string]struct {
	reason string
	errors []string
}{
	"kind-missing": {"the server knows the kind from the URL, a file has none", []string{"kind"}},
}

// TestKubernetesConformance puts the documents that package plan tests the rules
// with through the loader, which reads YAML by itself and recognises kinds.
func TestKubernetesConformance(t *testing.T) {
	dir := filepath.Join("internal", "plan", "testdata", "conformance", "kubernetes")
	data, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		kubernetesVerdict
		ID, File string
		V136     *kubernetesVerdict // where the newer server says something else
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, c := range cases {
		seen[c.ID] = true
		src, err := os.ReadFile(filepath.Join(dir, c.File))
		if errors.Is(err, fs.ErrNotExist) {
			continue // made by the test in package plan: megabytes of annotations
		} else if err != nil {
			t.Fatal(err)
		}
		t.Run(c.ID, func(t *testing.T) {
			result := schema.NewLoader().Load(context.Background(), tree(file(c.File, string(src))))
			got := classes(result.Diagnostics)
			agrees := c.allows(got) || c.V136 != nil && c.V136.allows(got)
			d, deviates := kubernetesDeviations[c.ID]
			switch {
			case deviates && agrees:
				t.Errorf("no deviation any more (%s): remove it from the list", d.reason)
			case deviates && !slices.Equal(got, d.errors), !deviates && !agrees:
				t.Errorf("got %q, want %+v or %+v", got, c.kubernetesVerdict, c.V136)
			}
		})
	}
	for id := range kubernetesDeviations {
		if !seen[id] {
			t.Errorf("%s stands in a list and is no case", id)
		}
	}
}

// allows reports whether the errors, as classes returns them, are those of v. A
// document that does not even decode has no fields in error.
func (v kubernetesVerdict) allows(got []string) bool {
	if v.Valid || len(v.Errors) == 0 {
		return v.Valid == (len(got) == 0)
	}
	want := map[string]bool{}
	for _, e := range v.Errors {
		want[e.Field+" "+e.Class] = true
	}
	return slices.Equal(got, slices.Sorted(maps.Keys(want)))
}

// classes returns the fields in error with their classes, sorted, each once.
func classes(ds []diag.Diagnostic) []string {
	var out []string
	for _, d := range ds {
		if d.Severity == diag.Error {
			out = append(out, strings.TrimSpace(d.Path+" "+d.Class))
		}
	}
	return set(out)
}
