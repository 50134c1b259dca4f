package main

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/files"
)

// lateErrors are the recorded documents that the rules accept, as the real
// system does, and of which a later stage reports an error: the reason.
var lateErrors = map[string]string{
	"dataplane-105.yaml":       "two listeners on one port: the proxy could not open the second",
	"dataplane-118.yaml":       "two listeners on one port: the proxy could not open the second",
	"externalservice-047.yaml": "its CA is no certificate, and Kuma leaves the endpoint out with a line in its log",
}

// TestConformancePartial checks each recorded document by itself, as validate
// --partial does. Package schema compares what the rules say with what the real
// systems said; here it is shown that the other stages add nothing to that.
func TestConformancePartial(t *testing.T) {
	t.Parallel()
	var all []string
	for _, dir := range []string{"testdata/conformance/kong", "testdata/conformance/kuma", "internal/plan/testdata/conformance/kubernetes"} {
		found, err := filepath.Glob(filepath.Join("..", "..", "schema", dir, "cases", "*.yaml"))
		if err != nil || len(found) == 0 {
			t.Fatalf("no documents in %s: %v", dir, err)
		}
		all = append(all, found...)
	}
	late := map[string]bool{}
	for _, path := range all {
		tree, err := files.NewReader([]string{path}, nil).Read(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		rules := errorsOf(schema.NewLoader().Load(context.Background(), tree).Diagnostics)
		whole, err := newDocuments([]string{path}, nil, toValidate).load(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		whole.dropReferencesOut()
		name := filepath.Base(path)
		if got := errorsOf(whole.diags); !slices.Equal(got, rules) {
			late[name] = true
			if lateErrors[name] == "" {
				t.Errorf("%s:\nthe rules say %q\nthe command says %q", name, rules, got)
			}
		}
	}
	for name, reason := range lateErrors {
		if !late[name] {
			t.Errorf("%s: no deviation any more (%s): remove it from the list", name, reason)
		}
	}
}

func errorsOf(ds []diag.Diagnostic) []string {
	var out []string
	for _, d := range ds {
		if d.Severity == diag.Error {
			out = append(out, d.Place.String()+" "+d.Code+" "+d.Path)
		}
	}
	slices.Sort(out)
	return out
}
