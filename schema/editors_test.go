package schema_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/internal/parse"
	doctree "github.com/meshc/meshc/schema/tree"
)

// TestJSONSchemasAcceptWhatMeshcAccepts takes every document of the tests and
// examples, and many with each of their values changed a little: what the loader
// accepts, the JSON Schema has to accept.
func TestJSONSchemasAcceptWhatMeshcAccepts(t *testing.T) {
	s, l := anyKind(t), schema.NewLoader()
	accepted, refused, agreed := 0, 0, 0
	for where, doc := range exampleDocuments(t) {
		ok, left := loads(t, l, doc)
		if left {
			continue
		}
		err := s.Validate(doc)
		switch {
		case !ok && err != nil:
			agreed++
			fallthrough
		case !ok:
			refused++
			continue
		case err != nil:
			t.Errorf("%s: meshc accepts this document, the JSON Schema does not: %v\n%s", where, err, marshal(t, doc))
			continue
		}
		accepted++
		if strings.Contains(where, "conformance/") || strings.Contains(where, "rules/") && !strings.HasSuffix(where, "#0") {
			continue // these are changes of one document already
		}
		forEachChange(doc, func() {
			err := s.Validate(doc)
			if err == nil {
				return
			}
			if ok, left := loads(t, l, doc); ok && !left {
				t.Errorf("%s, changed: meshc accepts this document, the JSON Schema does not: %v\n%s", where, err, marshal(t, doc))
			}
		})
	}
	t.Logf("%d documents that meshc accepts; of %d that it refuses, the schema refuses %d", accepted, refused, agreed)
	if accepted < 300 || refused < 300 {
		t.Errorf("only %d accepted and %d refused documents", accepted, refused)
	}
	if agreed < refused/2 {
		t.Errorf("the schema refuses only %d of %d wrong documents: it is hardly of use", agreed, refused)
	}
}

func TestJSONSchemasRefuseThePlainestMistakes(t *testing.T) {
	s := anyKind(t)
	for _, tc := range []struct{ right, wrong string }{
		{`{"type": "Mesh", "name": "a"}`, `{"type": "Mesh", "name": "a", "colour": 1}`},
		{`{"type": "Mesh", "name": "a"}`, `{"type": "Mesh"}`},
		{`{"type": "Mesh", "name": "a"}`, `{"type": "Mash", "name": "a"}`},
		{`{"type": "Mesh", "name": "a"}`, `["Mesh"]`},
		{
			`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}`,
			`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"type": "NodePart", "ports": [{"port": 80}]}}`,
		},
		{
			`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": [{"port": 80}]}}`,
			`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": [{"port": "80"}]}}`,
		},
		{
			`{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "a"}}]}`,
			`{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Endpoints", "metadata": {"nam": "a"}}]}`,
		},
		{`{"apiVersion": "apps/v1", "kind": "Deployment", "whatever": 1}`, `{"type": "Deployment"}`},
		{`{"name": "a", "host": "b", "port": 80}`, `{"name": "a", "host": "b", "port": 70000}`},
		{`{"_format_version": "3.0", "services": [{"host": "a", "routes": [{"paths": ["/"]}]}]}`, `{"_format_version": "3.0", "services": [{"hots": "a"}]}`},
		{`{"_format_version": "3.0", "services": [{"host": "a", "routes": [{"paths": ["/"]}]}]}`, `{"_format_version": "3.0", "services": [{"host": "a", "routes": [{"path": "/"}]}]}`},
		{
			`{"type": "Dataplane", "name": "a", "networking": {"address": "10.0.0.1", "inbound": [{"port": 80, "tags": {"service": "a"}}]}}`,
			`{"type": "Dataplane", "name": "a", "networking": {"address": "10.0.0.1", "inbound": [{"port": 80, "tags": {"version": "a"}}]}}`,
		},
		{ // only the branch of the type knows the fields of conf
			`{"type": "Mesh", "name": "a", "logging": {"backends": [{"name": "f", "type": "file", "conf": {"path": "/tmp/log"}}]}}`,
			`{"type": "Mesh", "name": "a", "logging": {"backends": [{"name": "f", "type": "file", "conf": {"address": "a:1"}}]}}`,
		},
	} {
		if err := s.Validate(unmarshal(t, tc.right)); err != nil {
			t.Errorf("%s: %v", tc.right, err)
		}
		if s.Validate(unmarshal(t, tc.wrong)) == nil {
			t.Errorf("%s is accepted", tc.wrong)
		}
	}
}

// TestJSONSchemasHelp looks at what an editor shows.
func TestJSONSchemasHelp(t *testing.T) {
	schemas, err := schema.JSONSchemas()
	if err != nil {
		t.Fatal(err)
	}
	var service map[string]any
	if err := json.Unmarshal(schemas["Service"], &service); err != nil {
		t.Fatal(err)
	}
	spec := at(t, service, "properties", "spec", "properties")
	typ := at(t, spec, "type")
	if typ["default"] != "ClusterIP" || !slices.Contains(typ["enum"].([]any), any("NodePort")) {
		t.Errorf("spec.type: %v", typ)
	}
	port := at(t, spec, "ports", "items", "properties", "port")
	if d, _ := port["description"].(string); !strings.Contains(d, "Use a number between 1 and 65535.") {
		t.Errorf("spec.ports[].port: %v", port)
	}
	for name, text := range schemas {
		compiled(t, name, text)
		for _, slip := range []string{"seed 00", "#Kuma", "_kuma", "#Kong"} {
			if bytes.Contains(text, []byte(slip)) {
				t.Errorf("%s: %q is nothing to show in an editor", name, slip)
			}
		}
	}
}

func at(t *testing.T, v map[string]any, path ...string) map[string]any {
	t.Helper()
	for _, p := range path {
		next, ok := v[p].(map[string]any)
		if !ok {
			t.Fatalf("no %s in %v", p, v)
		}
		v = next
	}
	return v
}

func anyKind(t *testing.T) *jsonschema.Schema {
	t.Helper()
	schemas, err := schema.JSONSchemas()
	if err != nil {
		t.Fatal(err)
	}
	return compiled(t, schema.AnyKind, schemas[schema.AnyKind])
}

func compiled(t *testing.T, name string, text []byte) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	if err := c.AddResource(name, unmarshal(t, string(text))); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return s
}

func unmarshal(t *testing.T, text string) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// loads reports whether the loader accepts a document, and whether it leaves
// the document out.
func loads(t *testing.T, l *schema.Loader, doc any) (ok, left bool) {
	r := l.Load(context.Background(), tree(file("doc.json", string(marshal(t, doc)))))
	return !diag.HasErrors(r.Diagnostics), r.Summary.Ignored > 0 || r.Summary.Documents == 0
}

// exampleDocuments returns every document in the tests' data and the examples,
// by where it comes from.
func exampleDocuments(t *testing.T) map[string]any {
	t.Helper()
	out := map[string]any{}
	add := func(where string, data []byte) {
		docs, _ := parse.YAML(data)
		for i, d := range docs {
			if len(d.Problems) == 0 {
				out[where+"#"+strconv.Itoa(i)] = plain(d.Root)
			}
		}
	}
	isYAML := func(name string) bool { return slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name)) }
	for _, root := range []string{"testdata", "internal/plan/testdata", "diag/pages", "../compiler/testdata", "../examples"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Base(path) == "manifest.json" {
				return err
			}
			data, err := os.ReadFile(path)
			switch {
			case err != nil:
				return err
			case isYAML(path):
				add(path, data)
			case filepath.Ext(path) == ".txtar":
				for _, f := range txtar.Parse(data).Files {
					if isYAML(f.Name) {
						add(path+"/"+f.Name, f.Data)
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// plain returns a tree as encoding/json would decode it.
func plain(n *doctree.Node) any {
	switch n.Kind {
	case doctree.Map:
		out := map[string]any{}
		for _, f := range n.Fields {
			out[f.Key] = plain(f.Value)
		}
		return out
	case doctree.List:
		out := make([]any, len(n.Items))
		for i, item := range n.Items {
			out[i] = plain(item)
		}
		return out
	case doctree.String:
		return n.Text
	case doctree.Bool:
		return n.Text == "true"
	case doctree.Null:
		return nil
	}
	return json.Number(n.Text)
}

// forEachChange changes one value of v after the other, in ways that a rule may
// be lenient about, calls f, and puts it back. What a url has no regard for is
// left alone: the schema looks at it, though it has no effect.
func forEachChange(v any, f func()) {
	try := func(old any, set func(any)) {
		changes := []any{nil}
		switch old := old.(type) {
		case json.Number:
			changes = append(changes, json.Number("0"), old.String())
		case string:
			changes = append(changes, "", strings.ToUpper(old))
		case []any:
			changes = append(changes, []any{})
		case map[string]any:
			changes = append(changes, map[string]any{})
		}
		for _, to := range changes {
			set(to)
			f()
		}
		set(old)
		forEachChange(old, f)
	}
	switch v := v.(type) {
	case map[string]any:
		for key, old := range v {
			if v["url"] != nil && slices.Contains([]string{"protocol", "host", "port", "path"}, key) {
				continue
			}
			delete(v, key)
			f()
			try(old, func(to any) { v[key] = to })
		}
	case []any:
		for i, old := range v {
			try(old, func(to any) { v[i] = to })
		}
	}
}
