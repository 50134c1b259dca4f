// Package jsonschema makes JSON Schemas of the rules in schema/cue, for editors:
// completion, texts on hovering, and the plainest mistakes underlined. They gate
// nothing. Whatever the rules accept, the schemas accept; a rule that JSON
// Schema cannot state, or not simply, is left out.
//
// The schemas are of draft 7, which yaml-language-server and Visual Studio Code
// know best. They come from the syntax of the rules, not from CUE's own
// generator, which turns conditions into demands and closes embedded structs.
package jsonschema

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/parser"
)

// Rules are the named rules of a package, by name: "#Service", "_kumaPort".
type Rules struct {
	names map[string]*ast.Field
}

// Parse reads the .cue files of one package. The error says which file does not
// parse.
func Parse(fsys fs.FS) (*Rules, error) {
	paths, err := fs.Glob(fsys, "*.cue")
	if err != nil {
		return nil, err
	}
	r := &Rules{names: map[string]*ast.Field{}}
	for _, path := range paths {
		src, err := fs.ReadFile(fsys, path)
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(path, src, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.Field); ok {
				if name, _, err := ast.LabelName(f.Label); err == nil {
					r.names[name] = f
				}
			}
		}
	}
	return r, nil
}

// Kind says how documents of a kind are written: their definition, and what is
// allowed in a file beyond it, because it is gone before the rules are applied.
type Kind struct {
	Definition string // as in "#Service"
	// Computed are fields that another one sets: that they are not written does
	// not mean that they have their default.
	Computed []string
	// Given are required fields that the place of the document says.
	Given []string
	// Nullable are fields that count as not written when they are null, beyond
	// those of which the rules say so.
	Nullable []string
	// References are the fields that may be a name or an id alone.
	References []string
	// Tags are the places of maps of tags, and Short the short names that tags
	// may have there, with their full ones. "*" is every item of a list.
	Tags  [][]string
	Short map[string]string
	// Scalars are the places where a number may stand in quotes, or an index for
	// the name of an enumeration.
	Scalars [][]string
	// Extra are properties that the definition does not have.
	Extra Schema
}

// Schema returns the schema of documents of a kind. The error says that there
// is no such definition.
func (r *Rules) Schema(k Kind) (Schema, error) {
	f := r.names[k.Definition]
	if f == nil {
		return nil, fmt.Errorf("the rules have no %s", k.Definition)
	}
	c := &converter{names: r.names, computed: k.Computed, inside: []string{k.Definition}}
	s := described(c.expr(f.Value, context{closed: true}), documentation(f), nil)
	for _, place := range k.Tags {
		s = at(s, place, func(s Schema) Schema { return shortTags(s, k.Short) })
	}
	for _, place := range k.Scalars {
		s = at(s, place, looseScalar)
	}
	for _, name := range k.References {
		s = at(s, []string{name}, func(s Schema) Schema {
			if len(s) == 0 {
				return s // a branch mentions it, no more
			}
			return Schema{"anyOf": []Schema{{"type": "string"}, s}}
		})
	}
	for _, name := range k.Nullable {
		s = at(s, []string{name}, orNull)
	}
	if hasAttribute(f.Attrs, "null", "absent") {
		s = nullsInside(s)
	}
	if required, ok := s["required"].([]string); ok {
		s["required"] = slices.DeleteFunc(slices.Clone(required), func(name string) bool { return slices.Contains(k.Given, name) })
	}
	if len(k.Extra) > 0 {
		properties := maps.Clone(s["properties"].(Schema))
		maps.Copy(properties, k.Extra)
		s["properties"] = properties
	}
	return s, nil
}
