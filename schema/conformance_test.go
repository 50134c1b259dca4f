package schema_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/files"
)

// conformanceCase is a document and what the real system says of it.
type conformanceCase struct {
	File, Note, Origin string
	Valid              bool
	Fields             []string // Kong: the fields in error
	Entity             map[string]any
	Violations         []struct{ Field string } // Kuma; "" where only the verdict is known
}

// deviations are the cases in which meshc says something else than the real
// system on purpose: the reason, and the fields that meshc reports.
var deviations = map[string]struct {
	reason string
	fields []string
}{
	"kuma/cases/trafficroute-028.yaml": {"one mistake, told once", []string{"conf.split"}},
	"kuma/cases/trafficroute-031.yaml": {"one mistake, told once", []string{"conf.split"}},
	"kuma/cases/trafficroute-025.yaml": {"an unknown key is a mistake", []string{"comment"}},
	"kuma/cases/mesh-059.yaml":         {"an unknown key is a mistake", []string{"tracing.backends[0].config.color"}},
	"kuma/cases/mesh-093.yaml":         {"the field at fault, not <default>", []string{"metrics.backends[0].conf.port"}},
	"kuma/cases/dataplane-117.yaml":    {"a name that no service can have", []string{"networking.outbound[0].service"}},
	"kuma/cases/dataplane-135.yaml":    {"nothing listens on port 0", []string{"networking.inbound[0].port"}},
}

// seedForm are the cases in which Kuma refuses the short tags that its own
// documentation prints: meshc reads them.
var seedForm = map[string]bool{"kuma/cases/trafficroute-023.yaml": true}

func TestConformance(t *testing.T) {
	seen := map[string]bool{}
	for _, system := range []string{"kong", "kuma"} {
		var cases []conformanceCase
		dir := filepath.Join("testdata", "conformance", system)
		data, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &cases); err != nil {
			t.Fatal(err)
		}
		for _, c := range cases {
			seen[system+"/"+c.File] = true
			t.Run(system+"/"+c.File, func(t *testing.T) { testConformance(t, system, dir, c) })
		}
	}
	for id := range deviations {
		if !seen[id] {
			t.Errorf("the deviation %s is of no case", id)
		}
	}
}

func testConformance(t *testing.T, system, dir string, c conformanceCase) {
	data, err := os.ReadFile(filepath.Join(dir, c.File))
	if err != nil {
		t.Fatal(err)
	}
	result := schema.NewLoader().Load(context.Background(), tree(file(c.File, string(data))))
	got := errorPaths(result.Diagnostics)
	if system == "kong" { // Kong names only the top field
		for i, p := range got {
			got[i] = strings.FieldsFunc(p, func(c rune) bool { return c == '.' || c == '[' })[0]
		}
	}
	got = set(got)
	want := set(c.Fields)
	for _, v := range c.Violations {
		want = append(want, v.Field)
	}
	want = set(want)
	id := system + "/" + c.File
	if c.Origin == "seed" || seedForm[id] {
		c.Valid, want = true, nil
	}
	if d, ok := deviations[id]; ok {
		if c.Valid == (len(got) == 0) && slices.Equal(got, want) {
			t.Errorf("no deviation any more (%s): remove it from the list", d.reason)
		}
		c.Valid, want = false, set(d.fields)
	}
	if (len(got) == 0) != c.Valid {
		t.Fatalf("valid: got %v, want %v: %+v", len(got) == 0, c.Valid, result.Diagnostics)
	}
	if !slices.Equal(got, want) && !slices.Equal(want, []string{""}) {
		t.Errorf("fields in error: got %q, want %q", got, want)
	}
	if c.Valid && len(result.Documents) != 1 {
		t.Fatalf("got %d documents, want 1", len(result.Documents))
	}
	if c.Valid && c.Entity != nil {
		checkEntity(t, result.Documents[0].JSON, c.Entity)
	}
}

// checkEntity compares a document with the entity that Kong makes of it. Kong
// makes up an id where none is written.
func checkEntity(t *testing.T, doc string, want map[string]any) {
	var got map[string]any
	if err := json.Unmarshal([]byte(doc), &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "id")
	delete(want, "id")
	g, _ := json.Marshal(got)
	w, _ := json.Marshal(want)
	if string(g) != string(w) {
		t.Errorf("entity:\n got %s\nwant %s", g, w)
	}
}

func errorPaths(ds []diag.Diagnostic) []string {
	var out []string
	for _, d := range ds {
		if d.Severity == diag.Error {
			out = append(out, d.Path)
		}
	}
	return out
}

func set(in []string) []string {
	out := slices.Clone(in)
	slices.Sort(out)
	return slices.Compact(out)
}

func file(name, data string) files.File {
	return files.File{Name: name, Shown: name, Data: []byte(data), Sum: sha256.Sum256([]byte(data))}
}

func tree(fs ...files.File) files.Tree { return files.Tree{Files: fs} }
