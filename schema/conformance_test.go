package schema_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"maps"
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

const (
	unknownKey = "an unknown key is a mistake"
	negative   = "no time is less than none"
)

// deviations are the cases in which meshc says something else than the real
// system on purpose: the reason, and the fields that meshc reports; none where
// it accepts the document.
var deviations = map[string]struct {
	reason string
	fields []string
}{
	"kuma/cases/trafficroute-028.yaml": {"one mistake, told once", []string{"conf.split"}},
	"kuma/cases/trafficroute-031.yaml": {"one mistake, told once", []string{"conf.split"}},

	"kong/cases/165-url-17.yaml": {"the host is what the url lacks, and the url is what was written", []string{"url"}},
	"kong/cases/170-url-22.yaml": {"the host is what the url lacks, and the url is what was written", []string{"url"}},

	"kuma/cases/trafficroute-025.yaml":   {unknownKey, []string{"comment"}},
	"kuma/cases/mesh-059.yaml":           {unknownKey, []string{"tracing.backends[0].config.color"}},
	"kuma/cases/trafficlog-024.yaml":     {unknownKey, []string{"comment"}},
	"kuma/cases/retry-032.yaml":          {unknownKey, []string{"comment"}},
	"kuma/cases/faultinjection-033.yaml": {unknownKey, []string{"comment"}},
	"kuma/cases/healthcheck-024.yaml":    {unknownKey + ", and the one at fault here", []string{"destination"}},
	"kuma/cases/faultinjection-032.yaml": {unknownKey + ", and the one at fault here", []string{"destination"}},

	"kuma/cases/healthcheck-044.yaml": {negative, []string{"conf.interval"}},
	"kuma/cases/timeout-031.yaml":     {negative, []string{"conf.connectTimeout"}},
	"kuma/cases/timeout-037.yaml":     {negative, []string{"conf.tcp.idleTimeout"}},
	"kuma/cases/timeout-042.yaml":     {negative, []string{"conf.http.requestTimeout"}},
	"kuma/cases/timeout-047.yaml":     {negative, []string{"conf.http.idleTimeout"}},
	"kuma/cases/timeout-052.yaml":     {negative, []string{"conf.grpc.streamIdleTimeout"}},
	"kuma/cases/timeout-057.yaml":     {negative, []string{"conf.grpc.maxStreamDuration"}},

	"kuma/cases/healthcheck-092.yaml":  {"a field of seed 004, which Kuma 1.1.6 does not look at", []string{"conf.http.useHttp1"}},
	"kuma/cases/zone-006.yaml":         {"a field of seed 004, which Kuma 1.1.6 does not look at", []string{"ingress.address"}},
	"kuma/cases/mesh-093.yaml":         {"the field at fault, not <default>", []string{"metrics.backends[0].conf.port"}},
	"kuma/cases/dataplane-117.yaml":    {"a name that no service can have", []string{"networking.outbound[0].service"}},
	"kuma/cases/dataplane-135.yaml":    {"nothing listens on port 0", []string{"networking.inbound[0].port"}},
	"kuma/cases/secret-004.yaml":       {"a secret without bytes keeps none", []string{"data"}},
	"kuma/cases/globalsecret-004.yaml": {"a secret without bytes keeps none", []string{"data"}},

	"kuma/cases/proxytemplate-017.yaml": {"n is a string, not a boolean, in the YAML that meshc reads", nil},
	"kuma/cases/proxytemplate-019.yaml": {"n is a string, not a boolean, in the YAML that meshc reads", nil},
	"kuma/cases/proxytemplate-030.yaml": {"seed 004's raw resource is of Envoy's API version 2", []string{"conf.resources[0].resource"}},
	"kuma/cases/proxytemplate-031.yaml": {"seed 004's raw resource is of Envoy's API version 2", []string{"conf.resources[0].resource"}},
}

// seedForm are the cases in which Kuma refuses a form that seed 004 prints, and
// meshc reads: the short tags, and resources without a mesh.
var seedForm = map[string]bool{
	"kuma/cases/trafficroute-023.yaml": true, "kuma/cases/trafficlog-022.yaml": true, "kuma/cases/healthcheck-023.yaml": true,
	"kuma/cases/secret-006.yaml": true,
}

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
	for _, id := range slices.AppendSeq(slices.Collect(maps.Keys(deviations)), maps.Keys(seedForm)) {
		if !seen[id] {
			t.Errorf("%s stands in a list and is no case", id)
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
		if seedForm[id] && c.Valid {
			t.Error("Kuma takes it: remove it from the list of seed forms")
		}
		c.Valid, want = true, nil
	}
	if d, ok := deviations[id]; ok {
		if c.Valid == (len(got) == 0) && slices.Equal(got, want) {
			t.Errorf("no deviation any more (%s): remove it from the list", d.reason)
		}
		want = set(d.fields)
		c.Valid = len(want) == 0
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
