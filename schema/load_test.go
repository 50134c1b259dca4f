package schema_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/kong"
	"github.com/meshc/meshc/schema/kuma"
)

// TestLoad loads the files of each archive in testdata/load and compares what
// comes out with the archive's last two sections. MESHC_UPDATE=1 rewrites them.
func TestLoad(t *testing.T) {
	archives, err := filepath.Glob("testdata/load/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, path := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var input []txtar.File
			want := map[string]string{}
			in := tree()
			for _, f := range archive.Files {
				if f.Name == "documents" || f.Name == "diagnostics" {
					want[f.Name] = string(f.Data)
					continue
				}
				input = append(input, f)
				in.Files = append(in.Files, file(f.Name, string(f.Data)))
			}
			result := schema.NewLoader().Load(context.Background(), in)
			ds := schema.ApplySilences(result.Silences, result.Diagnostics)
			for _, d := range result.Documents {
				checkCanonical(t, d.JSON)
			}
			got := map[string]string{"documents": documents(result), "diagnostics": diagnostics(ds)}
			if os.Getenv("MESHC_UPDATE") != "" {
				archive.Files = append(input,
					txtar.File{Name: "documents", Data: []byte(got["documents"])},
					txtar.File{Name: "diagnostics", Data: []byte(got["diagnostics"])})
				if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			for _, section := range []string{"documents", "diagnostics"} {
				if got[section] != want[section] {
					t.Errorf("%s:\n got %s\nwant %s", section, got[section], want[section])
				}
			}
		})
	}
}

// checkCanonical wants JSON as encoding/json writes it: sorted, without blanks.
func checkCanonical(t *testing.T, doc string) {
	d := json.NewDecoder(strings.NewReader(doc))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", doc, err)
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSuffix(b.String(), "\n"); got != doc {
		t.Errorf("not canonical:\n got %s\nwant %s", doc, got)
	}
}

func documents(r schema.Result) string {
	var b strings.Builder
	for _, d := range r.Documents {
		fmt.Fprintf(&b, "%s %s:%d:%d\n\t%s\n", d.ID(), d.Origin, d.Tree.Pos.Line, d.Tree.Pos.Column, d.JSON)
		if d.Body != nil {
			fmt.Fprintf(&b, "\t%T\n", d.Body)
		}
	}
	fmt.Fprintf(&b, "files %d, documents %d, ignored %d\n", r.Summary.Files, r.Summary.Documents, r.Summary.Ignored)
	return b.String()
}

func diagnostics(ds []diag.Diagnostic) string {
	var b strings.Builder
	for _, d := range ds {
		fmt.Fprintf(&b, "%s: %s %s: %s: %s\n", d.Place, d.Severity, d.Code, d.Path, d.Message)
		if d.Hint != "" {
			fmt.Fprintf(&b, "\thint: %s\n", d.Hint)
		}
		for _, rel := range d.Related {
			fmt.Fprintf(&b, "\t%s: %s\n", rel.Place, rel.Message)
		}
	}
	return b.String()
}

func TestLoadChecksOnlyWhatChanged(t *testing.T) {
	const mesh = "type: Mesh\nname: %s\n"
	l := schema.NewLoader()
	a, b := file("a.yaml", fmt.Sprintf(mesh, "a")), file("b.yaml", fmt.Sprintf(mesh, "b"))
	c, d := file("c/c.cue", "package c\nmesh: {type: \"Mesh\", name: \"c\"}\n"), file("d/d.cue", "package d\nmesh: {type: \"Mesh\", name: \"d\"}\n")
	first := l.Load(context.Background(), tree(a, b, c, d)).Documents
	if len(first) != 4 {
		t.Fatalf("got %d documents, want 4", len(first))
	}
	again := l.Load(context.Background(), tree(a, b, c, d)).Documents
	if !slices.Equal(first, again) {
		t.Error("nothing changed, and the documents are others")
	}
	b = file("b.yaml", fmt.Sprintf(mesh, "b")+"# a comment\n")
	changed := l.Load(context.Background(), tree(a, b, c, d)).Documents
	for i, name := range []string{"a", "b", "c", "d"} {
		if same := changed[i] == first[i]; same != (name != "b") {
			t.Errorf("%s: same document: %v", name, same)
		}
	}
	// What a .cue file imports may lie in any other, so they go together.
	d = file("d/d.cue", "package d\n\nmesh: {type: \"Mesh\", name: \"d\"}\n")
	changed = l.Load(context.Background(), tree(a, b, c, d)).Documents
	if changed[0] != first[0] || changed[2] == first[2] || changed[3] == first[3] {
		t.Error("a changed .cue file must reload the .cue files and nothing else")
	}
	// A file that was away is loaded anew: nothing is kept for what is not there.
	l.Load(context.Background(), tree(a))
	if back := l.Load(context.Background(), tree(a, b)).Documents; back[1] == changed[1] {
		t.Error("a document outlived its file")
	}
}

func TestLoadStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	l := schema.NewLoader()
	in := tree(file("a.yaml", "type: Mesh\nname: a\n"))
	if r := l.Load(ctx, in); len(r.Documents) != 0 {
		t.Errorf("got %d documents", len(r.Documents))
	}
	if r := l.Load(context.Background(), in); len(r.Documents) != 1 {
		t.Errorf("after a cancelled load: got %d documents, want 1", len(r.Documents))
	}
}

func TestSecretsDoNotShow(t *testing.T) {
	const secret = "c2VjcmV0LWtleQ="
	r := schema.NewLoader().Load(context.Background(), tree(file("a.yaml", `
type: Secret
name: s
data: `+secret+`=
---
type: ExternalService
name: e
networking: {address: 'a.test:1', tls: {clientCert: {inline: ''}, clientKey: {inline: `+secret+`=}}}
tags: {kuma.io/service: e}
---
type: ExternalService
name: broken
networking: {address: 'a.test:1', tls: {clientCert: {inline: ''}, clientKey: {inline: `+secret+`}}}
tags: {kuma.io/service: e}
---
type: Mesh
name: m
mtls: {backends: [{name: a, type: provided, conf: {cert: {inline: YQ==}, key: {inlineString: `+secret+`}}}]}
`)))
	if len(r.Documents) != 3 || len(r.Diagnostics) != 1 {
		t.Fatalf("got %d documents and %v", len(r.Documents), r.Diagnostics)
	}
	for _, d := range r.Documents {
		if strings.Contains(d.JSON, secret) || !strings.Contains(d.JSON, "[redacted]") {
			t.Errorf("%s: %s", d.ID(), d.JSON)
		}
	}
	if d := r.Diagnostics[0]; strings.Contains(d.Message+d.Hint, secret) || d.Path != "networking.tls.clientKey.inline" {
		t.Errorf("the finding: %+v", d)
	}
}

// TestHeadersDoNotShow makes mistakes with headers, which may hold a token.
func TestHeadersDoNotShow(t *testing.T) {
	const secret = "S3CR3T"
	selectors := "sources: [{match: {service: '*'}}]\ndestinations: [{match: {service: a}}]\n"
	probe := "type: HealthCheck\nname: a\n" + selectors +
		"conf: {interval: 1s, timeout: 1s, unhealthyThreshold: 1, healthyThreshold: 1, http: {path: /, requestHeadersToAdd: [%s]}}\n"
	route := "type: TrafficRoute\nname: a\n" + selectors +
		"conf: {destination: {service: a}, http: [{destination: {service: a}, match: {path: {exact: /}, headers: {x-a: %s}}, modify: {requestHeaders: {add: [%s]}}}]}\n"
	kongRoute := "_format_version: '3.0'\nroutes: [{headers: {X-A: %s}}]\n"
	kongUpstream := "_format_version: '3.0'\nupstreams: [{name: a, healthchecks: {active: {headers: {X-A: %s}}}}]\n"
	for _, text := range []string{
		fmt.Sprintf(probe, `{header: {key: Authorization, value: "Bearer S3CR3T\n"}}`),
		fmt.Sprintf(probe, `{header: {key: Authorization, value: "Bearer S3CR3T `+strings.Repeat("x", 100)+`\n"}}`),
		fmt.Sprintf(probe, `{header: {key: "Authorization: S3CR3T"}}`),
		fmt.Sprintf(probe, `{header: "Authorization: S3CR3T"}`),
		fmt.Sprintf(probe, `{header: {key: a, value: !S3CR3T b}}`),
		fmt.Sprintf(probe, `"Authorization=S3CR3T"`),
		fmt.Sprintf(route, `{exact: a}`, `{name: Authorization, value: "S3CR3T\n"}`),
		fmt.Sprintf(route, `{exact: a}`, `{name: "Authorization=S3CR3T", value: a b}`),
		fmt.Sprintf(route, `{exact: a}`, `"Authorization=S3CR3T"`),
		fmt.Sprintf(route, `S3CR3T`, `{name: a, value: b}`),
		fmt.Sprintf(route, `{regex: [S3CR3T]}`, `{name: a, value: b}`),
		fmt.Sprintf(kongRoute, "S3CR3T"), fmt.Sprintf(kongRoute, "[{a: S3CR3T}]"), fmt.Sprintf(kongRoute, "[!S3CR3T a]"),
		fmt.Sprintf(kongUpstream, "S3CR3T"), fmt.Sprintf(kongUpstream, "[!S3CR3T a]"),
	} {
		r := schema.NewLoader().Load(context.Background(), tree(file("a.yaml", text)))
		if !diag.HasErrors(r.Diagnostics) {
			t.Errorf("nothing is said against\n%s", text)
		}
		for _, d := range r.Diagnostics {
			if strings.Contains(d.Message+d.Hint+d.Path, secret) {
				t.Errorf("%s: %s; %s\n%s", d.Path, d.Message, d.Hint, text)
			}
		}
	}
}

func TestBodies(t *testing.T) {
	r := schema.NewLoader().Load(context.Background(), tree(
		file("a.yaml", `
type: TrafficRoute
name: r
sources: [{match: {service: '*'}}]
destinations: [{match: {service: stock}}]
conf: {split: [{weight: "70", destination: {service: stock, version: b}}]}
`),
		file("b.yaml", "host: a.test\nconnect_timeout: null\nread_timeout: 5\n"),
	))
	if len(r.Documents) != 2 {
		t.Fatalf("got %d documents: %v", len(r.Documents), r.Diagnostics)
	}
	service, route := r.Documents[0].Body.(*kong.Service), r.Documents[1].Body.(*kuma.TrafficRoute)
	if service.ConnectTimeout != 60000 || service.ReadTimeout != 5 || service.Port != 80 {
		t.Errorf("service: %+v", service)
	}
	split := route.Conf.Split[0]
	if split.Weight != 70 || split.Destination[kuma.ServiceTag] != "stock" || split.Destination["version"] != "b" || split.Destination["service"] != "" {
		t.Errorf("split: %+v", split)
	}
	if want := `{"service":"stock"}`; !strings.Contains(r.Documents[1].JSON, want) {
		t.Errorf("JSON does not hold %s as it was written: %s", want, r.Documents[1].JSON)
	}
	if p := r.Documents[1].Place("conf", "split", 0, "weight"); p.String() != "a.yaml:6:25" {
		t.Errorf("the weight is at %s", p)
	}
}

func TestApplySilences(t *testing.T) {
	r := schema.NewLoader().Load(context.Background(), tree(file("a.yaml", `# meshc:ignore MC0401
# meshc:ignore MC0410
type: Mesh
name: a
---
type: Mesh
name: b
`)))
	at := func(severity diag.Severity, code string, line int) diag.Diagnostic {
		return diag.Diagnostic{Severity: severity, Code: code, Place: diag.Place{File: "a.yaml", Line: line, Column: 1}}
	}
	for _, c := range []struct {
		name string
		in   []diag.Diagnostic
		want string
	}{
		{"warnings and notes of the document", []diag.Diagnostic{at(diag.Warning, "MC0401", 3), at(diag.Note, "MC0410", 4)}, ""},
		{"not its neighbour's", []diag.Diagnostic{at(diag.Warning, "MC0401", 6), at(diag.Warning, "MC0410", 3)}, "MC0601:1 MC0401:6"},
		{"not errors, and then no idle silence", []diag.Diagnostic{at(diag.Error, "MC0401", 3)}, "MC0401:3"},
		{"idle", nil, "MC0601:1 MC0601:2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, d := range schema.ApplySilences(r.Silences, c.in) {
				got = append(got, fmt.Sprintf("%s:%d", d.Code, d.Line))
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %v, want %s", got, c.want)
			}
		})
	}
}
