package compiler_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/meshc/meshc/compiler"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
)

// TestWithhold says which references are told beside a document that is refused.
func TestWithhold(t *testing.T) {
	const (
		outbound    = "type: Dataplane\nname: a\nnetworking: {address: 10.0.0.1, inbound: [{port: 80, tags: {kuma.io/service: a}}], outbound: [{port: 81, tags: {kuma.io/service: SERVICE}}]}\n"
		inMesh      = "type: Timeout\nmesh: prod\nname: t\nsources: [{match: {kuma.io/service: '*'}}]\ndestinations: [{match: {kuma.io/service: '*'}}]\nconf: {connectTimeout: 1s}\n"
		plugin      = "_format_version: '3.0'\nplugins: [{name: cors, route: {name: r}}]\n"
		permission  = "type: TrafficPermission\nname: p\nsources: [{match: {kuma.io/service: '*'}}]\ndestinations: [{match: {kuma.io/service: '*'}}]\n"
		secret      = "type: ExternalService\nname: e\ntags: {kuma.io/service: e}\nnetworking: {address: 'e.test:443', tls: {caCert: {secret: ca}}}\n"
		service     = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{name: http, port: 80}]}\n"
		timeoutFrom = "type: Timeout\nname: t\nsources: [{match: {kuma.io/service: SERVICE}}]\ndestinations: [{match: {kuma.io/service: '*'}}]\nconf: {connectTimeout: 1s}\n"
	)
	of := func(text, service string) string { return strings.ReplaceAll(text, "SERVICE", service) }
	for name, c := range map[string]struct{ refused, text, want string }{
		"a Dataplane that has the service":     {"type: Dataplane\nname: b\nnetworking: {address: 10.0.0.2, inbound: [{port: 800000, tags: {kuma.io/service: b}}]}\n", of(outbound, "b"), ""},
		"a Dataplane that has another":         {"type: Dataplane\nname: b\nnetworking: {address: 10.0.0.2, inbound: [{port: 800000, tags: {kuma.io/service: b}}]}\n", of(outbound, "c"), "MC0403"},
		"a Dataplane that has who knows which": {"type: Dataplane\nname: b\nnetworking: {address: 10.0.0.2, inbound: [{port: 80, tags: {version: b}}]}\n", of(outbound, "c"), ""},
		"a wrong tag":                          {"type: ExternalService\nname: b\ntags: {kuma.io/service: 'b b'}\nnetworking: {address: 'b.test:80'}\n", of(outbound, "b"), ""},
		"a Kubernetes Service":                 {"apiVersion: v1\nkind: Service\nmetadata: {name: b}\nspec: {ports: [{port: 800000}]}\n", of(outbound, "b_default_svc_80"), ""},
		"another Kubernetes Service":           {"apiVersion: v1\nkind: Service\nmetadata: {name: b}\nspec: {ports: [{port: 800000}]}\n", of(outbound, "c_default_svc_80"), "MC0403"},
		"a Kubernetes Service without a name":  {"apiVersion: v1\nkind: Service\nspec: {ports: [{port: 80}]}\n", of(outbound, "c_default_svc_80"), ""},
		"a Kong service without a name":        {"host: b\npath: 1\n", of(outbound, "b-80"), ""},
		"a kind that defines no service":       {"type: Secret\nname: b\ndata: '?'\n", of(outbound, "b"), "MC0403"},
		"a Mesh":                               {"type: Mesh\nname: prod\nmtls: {x: 1}\n", inMesh, ""},
		"another Mesh":                         {"type: Mesh\nname: stage\nmtls: {x: 1}\n", inMesh, "MC0404"},
		"a key that is there twice":            {"type: Mesh\nname: prod\nname: prod\n", inMesh, ""},
		"a route in a service that is refused": {"_format_version: '3.0'\nservices: [{name: s, host: s, port: 800000, routes: [{name: r, paths: [/r]}]}]\n", plugin, ""},
		"another route":                        {"_format_version: '3.0'\nservices: [{name: s, host: s, port: 800000, routes: [{name: q, paths: [/r]}]}]\n", plugin, "MC0414"},
		"a list that is misspelt":              {"_format_version: '3.0'\nroute: [{name: q, paths: [/r]}]\n", plugin, ""},
		"a Secret":                             {"type: Secret\nname: ca\ndata: '?'\n", secret, ""},
		"another Secret":                       {"type: Secret\nname: cb\ndata: '?'\n", secret, "MC0413"},
		"the Mesh that may have mTLS":          {"type: Mesh\nname: default\nmtls: {x: 1}\n", permission, ""},
		"Endpoints":                            {"apiVersion: v1\nkind: Endpoints\nmetadata: {name: web}\nsubsets: 1\n", service, ""},
		"Endpoints of another Service":         {"apiVersion: v1\nkind: Endpoints\nmetadata: {name: db}\nsubsets: [{addresses: [{ip: x}], ports: [{port: 80}]}]\n", service, "MC0407"},
		"a Dataplane that a policy may select": {"type: Dataplane\nname: b\nnetworking: {address: 10.0.0.2, inbound: [{port: 800000, tags: {kuma.io/service: b}}]}\n", of(timeoutFrom, "b"), ""},
		"a Dataplane that the policy does not": {"type: Dataplane\nname: b\nnetworking: {address: 10.0.0.2, inbound: [{port: 800000, tags: {kuma.io/service: b}}]}\n", of(timeoutFrom, "c"), "MC0409"},
		"text that does not parse":             {"a: [\n", of(outbound, "b"), ""},
		"a right document before such text":    {"type: Mesh\nname: m\nx: 1\n---\na: [\n", of(outbound, "b"), ""},
		"a document of no kind":                {"a: b\n", of(outbound, "b"), ""},
		"a kind that is misspelt":              {"type: Dataplan\nname: b\n", of(outbound, "b"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			state := map[string]string{"refused.yaml": c.refused, "text.yaml": c.text}
			cache := schema.NewCache("", schema.Program{})
			for range 2 { // made, and read from the cache
				loader := schema.NewLoader()
				loader.UseCache(cache)
				r := loader.Load(t.Context(), treeOf(state))
				if !diag.HasErrors(r.Diagnostics) {
					t.Fatal("nothing is refused")
				}
				var got []string
				for _, d := range compiler.Withhold(compiler.New().Compile(r.Documents).Diagnostics, r.Refused) {
					got = append(got, d.Code)
				}
				if text := strings.Join(got, " "); text != c.want {
					t.Errorf("got %q, want %q, beside %+v", text, c.want, r.Refused)
				}
				var b strings.Builder
				if err := cache.Write(&b); err != nil {
					t.Fatal(err)
				}
				cache = schema.NewCache(b.String(), schema.Program{})
			}
		})
	}
}

// TestEveryReferenceMayBeWithheld holds what Withhold knows to be complete.
func TestEveryReferenceMayBeWithheld(t *testing.T) {
	var all []schema.Refused
	for dialect, kinds := range map[schema.Dialect][]string{
		schema.Kubernetes: {"Service", "Endpoints"}, schema.Kuma: {"Mesh", "Dataplane", "Secret"}, schema.Kong: {"Service"},
	} {
		for _, kind := range kinds {
			all = append(all, schema.Refused{Dialect: dialect, Kind: kind})
		}
	}
	elsewhere := []string{diag.CodeNoInput, diag.CodeNoFile} // not the compiler's
	for _, code := range diag.Codes() {
		told := len(compiler.Withhold([]diag.Diagnostic{{Code: code, Missing: "x"}}, all)) > 0
		if want := !diag.LeadsOut(code) || slices.Contains(elsewhere, code); told != want {
			t.Errorf("%s: told: %v, want %v", code, told, want)
		}
	}
}
