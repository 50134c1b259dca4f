package schema

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"

	rules "github.com/meshc/meshc/schema/cue"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/internal/jsonschema"
	"github.com/meshc/meshc/schema/internal/parse"
)

// CUEModule is the import path of the rules: import "meshc.dev/schema".
const CUEModule = parse.CUEModule

// CheckCUEModule returns what keeps the .cue files below dir, the root of a CUE
// module, from importing the rules: in the module file, for one, a language that
// is older than they are. The findings' files are paths as dir is one.
func CheckCUEModule(dir string) ([]diag.Diagnostic, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	importer := parse.CUEFile{
		Path: filepath.Join(root, "meshc_check.cue"), Named: true,
		Data: fmt.Appendf(nil, "import %q\n_any: schema.#Mesh\n", CUEModule),
	}
	_, problems := parse.CUE(root, []parse.CUEFile{importer}, rules.FS)
	var out []diag.Diagnostic
	for _, p := range problems {
		p.Diagnostic.File = filepath.Join(dir, p.Diagnostic.File)
		out = append(out, p.Diagnostic)
	}
	return out, nil
}

// CUEPackage returns the .cue files of the rules, as they lie in a folder.
func CUEPackage() fs.FS { return rules.FS }

// AnyKind is the name, in JSONSchemas, of the schema of every document.
const AnyKind = "meshc"

const draft7 = "http://json-schema.org/draft-07/schema#"

// JSONSchemas returns a JSON Schema (draft 7) of each kind, by the kind's name,
// and under AnyKind one that looks at a document to find its kind. They help to
// write documents; what is right is for Loader to say. An error is a mistake in
// the rules.
func JSONSchemas() (map[string][]byte, error) {
	g, err := jsonschema.Parse(rules.FS)
	if err != nil {
		return nil, err
	}
	b := schemaBuilder{rules: g, kinds: map[string]jsonschema.Schema{}}
	if err := b.build(); err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for name, s := range b.kinds {
		s = maps.Clone(s)
		s["$schema"], s["title"] = draft7, name
		if out[name], err = json.MarshalIndent(s, "", " "); err != nil {
			return nil, err
		}
	}
	any := b.anyKind()
	any["$schema"], any["title"] = draft7, "A document that meshc reads"
	any["definitions"] = b.kinds
	out[AnyKind], err = json.Marshal(any)
	return out, err
}

// schemaBuilder makes the schemas of all kinds.
type schemaBuilder struct {
	rules *jsonschema.Rules
	kinds map[string]jsonschema.Schema
}

// kongFileName is the name of the schema of a declarative file of Kong.
const kongFileName = "Kong"

func (b *schemaBuilder) build() error {
	for _, k := range kubernetesKinds {
		if err := b.add(k.name, jsonschema.Kind{Definition: k.definition}); err != nil {
			return err
		}
	}
	for name, k := range byType {
		spec := jsonschema.Kind{Definition: k.definition, Tags: kumaTags[name], Short: shortTag}
		for _, s := range kumaScalars[name] {
			spec.Scalars = append(spec.Scalars, s.at...)
		}
		if err := b.add(name, spec); err != nil {
			return err
		}
	}
	return b.addKong()
}

func (b *schemaBuilder) add(name string, k jsonschema.Kind) error {
	s, err := b.rules.Schema(k)
	if err != nil {
		return fmt.Errorf("JSON Schema of %s: %w", name, err)
	}
	b.kinds[name] = s
	return nil
}

// addKong adds Kong's Service, which may be a document of its own, and the
// declarative file.
func (b *schemaBuilder) addKong() error {
	file := jsonschema.Schema{
		"_format_version": jsonschema.Schema{"enum": kongFormats, "description": "The version of Kong's declarative format."},
	}
	for name, e := range kongEntities {
		items, err := b.kongEntity(e, "")
		if err != nil {
			return err
		}
		file[name] = listOf(items)
	}
	service, err := b.kongEntity(kongEntities["services"], "")
	if err != nil {
		return err
	}
	b.kinds["KongService"] = service
	b.kinds[kongFileName] = jsonschema.Schema{
		"type": "object", "description": "A declarative configuration file of Kong.", "properties": file,
	}
	return nil
}

// kongEntity returns the schema of one entity, which stands inside one that the
// field owner refers to, or at the top.
func (b *schemaBuilder) kongEntity(e *kongEntity, owner string) (jsonschema.Schema, error) {
	if e.kind == nil {
		return jsonschema.Schema{"type": "object"}, nil
	}
	k := jsonschema.Kind{
		Definition: e.kind.definition, References: e.refs, Given: []string{owner},
		Extra: jsonschema.Schema{"_comment": jsonschema.Schema{}, "_ignore": jsonschema.Schema{}},
	}
	if e.kind == kongServiceKind {
		k.Computed = []string{"protocol", "host", "port", "path"} // by url
		k.Nullable = []string{"url"}
		k.References = append(slices.Clone(k.References), "client_certificate")
	}
	for _, name := range e.inside {
		items, err := b.kongEntity(kongEntities[name], e.one)
		if err != nil {
			return nil, err
		}
		if kongEntities[name].kind == kongSNIKind {
			items = jsonschema.Schema{"anyOf": []jsonschema.Schema{{"type": "string"}, items}}
		}
		k.Extra[name] = listOf(items)
	}
	s, err := b.rules.Schema(k)
	if err == nil && e.keep != nil {
		delete(s, "additionalProperties") // what is not looked at may be anything
	}
	return s, err
}

func listOf(items jsonschema.Schema) jsonschema.Schema {
	return jsonschema.Schema{"type": []string{"array", "null"}, "items": items}
}

// anyKind returns the schema that picks the kind, by the marks that recognise
// goes by.
func (b *schemaBuilder) anyKind() jsonschema.Schema {
	type schema = jsonschema.Schema
	has := func(names ...string) schema { return schema{"required": names} }
	constant := func(name string, value any) schema {
		return schema{"required": []string{name}, "properties": schema{name: schema{"const": value}}}
	}
	all := func(ss ...schema) schema { return schema{"allOf": ss} }
	kubernetes := schema{"anyOf": []schema{has("apiVersion"), has("kind", "metadata"), has("kind", "spec"), has("kind", "items")}}
	not := func(s schema) schema { return schema{"not": s} }
	typed := all(not(kubernetes), has("type"))
	kongFile := all(not(kubernetes), not(has("type")), schema{"anyOf": []schema{
		has("_format_version"), {"required": []string{"services"}, "properties": schema{"services": schema{"type": "array"}}},
	}})
	kongService := all(not(kubernetes), not(has("type")), not(has("_format_version")), not(has("services")),
		schema{"anyOf": []schema{has("host"), has("url")}})

	var types []string
	var branches []schema
	pick := func(test schema, name string) {
		branches = append(branches, schema{"if": test, "then": schema{"$ref": "#/definitions/" + name}})
	}
	var apis, kinds []string
	for _, g := range sortedKinds() {
		pick(all(constant("apiVersion", g.apiVersion), constant("kind", g.kind)), g.kind)
		apis, kinds = append(apis, g.apiVersion), append(kinds, g.kind)
	}
	branches = append(branches, schema{
		"if":   all(constant("apiVersion", "v1"), constant("kind", "List")),
		"then": schema{"properties": schema{"items": schema{"items": schema{"$ref": "#"}}}},
	})
	for _, name := range slices.Sorted(maps.Keys(byType)) {
		pick(all(typed, constant("type", name)), name)
		types = append(types, name)
	}
	branches = append(branches, schema{"if": typed, "then": schema{"properties": schema{"type": schema{"enum": types}}}})
	pick(kongFile, kongFileName)
	pick(kongService, "KongService")

	// The marks, for whoever begins a document. A Kubernetes kind that is not
	// among the examples is left out by meshc, and right.
	slices.Sort(apis)
	return schema{
		"type": "object",
		"properties": schema{
			"apiVersion":      schema{"description": "Of a Kubernetes object.", "examples": slices.Compact(apis)},
			"kind":            schema{"description": "Of a Kubernetes object. Kinds that meshc does not know are left out.", "examples": kinds},
			"type":            schema{"description": "The kind of a resource of Kuma or meshc.", "examples": types},
			"_format_version": schema{"description": "Begins a declarative file of Kong.", "examples": kongFormats},
		},
		"allOf": branches,
	}
}
