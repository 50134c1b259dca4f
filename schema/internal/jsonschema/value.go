package jsonschema

import (
	"maps"
	"reflect"
	"slices"
)

// Schema is a JSON Schema of draft 7, ready to be encoded as JSON.
type Schema map[string]any

// never is the schema that nothing satisfies.
func never() Schema { return Schema{"not": Schema{}} }

func isNever(s Schema) bool { return reflect.DeepEqual(s, never()) }

// both returns the schema of what satisfies a and b. Objects become one, so
// that a closed one stays right: in an allOf, additionalProperties sees only
// the properties beside it.
func both(a, b Schema) Schema {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0:
		return a
	}
	out := maps.Clone(a)
	rest := Schema{}
	for _, key := range slices.Sorted(maps.Keys(b)) {
		have, taken := out[key]
		switch value := b[key]; {
		case !taken || reflect.DeepEqual(have, value):
			out[key] = value
		case key == "type":
			out[key] = commonType(have.(string), value.(string))
		case key == "properties":
			out[key] = merge(have.(Schema), value.(Schema))
		case key == "required":
			out[key] = union(have.([]string), value.([]string))
		case key == "allOf":
			out[key] = slices.Concat(have.([]Schema), value.([]Schema))
		case key == "description", key == "patternErrorMessage":
			// The first is that of what is nearer to the reader.
		case key == "default":
			out[key] = value
		default:
			rest[key] = value
		}
	}
	if out["type"] == "" {
		return never()
	}
	if len(rest) > 0 {
		out["allOf"] = append(all(out), rest)
	}
	return out
}

// all returns the members of the schema's allOf, to append to.
func all(s Schema) []Schema {
	have, _ := s["allOf"].([]Schema)
	return slices.Clone(have)
}

func merge(a, b Schema) Schema {
	out := maps.Clone(a)
	for name, s := range b {
		if have, ok := out[name]; ok {
			s = both(have.(Schema), s.(Schema))
		}
		out[name] = s
	}
	return out
}

func union(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

// commonType returns what is of both types, "" for nothing.
func commonType(a, b string) string {
	switch {
	case a == b:
		return a
	case a == "number" && b == "integer", a == "integer" && b == "number":
		return "integer"
	}
	return ""
}

// either returns the schema of what satisfies one of the alternatives.
func either(alternatives []Schema) Schema {
	var values []any
	var rest []Schema
	for _, s := range alternatives {
		switch enum, ok := s["enum"].([]any); {
		case len(s) == 0:
			return Schema{}
		case isNever(s):
		case ok && len(s) == 1:
			values = append(values, enum...)
		default:
			rest = append(rest, s)
		}
	}
	if len(rest) == 1 { // a literal that the other alternative has in it says nothing
		values = slices.DeleteFunc(values, func(v any) bool { return plainly(rest[0], v) })
	}
	switch {
	case len(values) == 0 && len(rest) == 0:
		return never()
	case len(rest) == 0:
		return Schema{"enum": values}
	case len(values) == 1 && values[0] == nil && len(rest) == 1:
		return orNull(rest[0])
	case len(values) > 0:
		rest = append([]Schema{{"enum": values}}, rest...)
	}
	if len(rest) == 1 {
		return rest[0]
	}
	return Schema{"anyOf": rest}
}

// plainly reports whether v satisfies s, where s is no more than a type and
// bounds; false where it is more.
func plainly(s Schema, v any) bool {
	for key := range s {
		if key != "type" && key != "minimum" && key != "maximum" && key != "description" {
			return false
		}
	}
	switch v := v.(type) {
	case bool:
		return s["type"] == "boolean"
	case string:
		return s["type"] == "string"
	case float64:
		least, bounded := s["minimum"].(float64)
		most, above := s["maximum"].(float64)
		return (s["type"] == "number" || s["type"] == "integer" && v == float64(int64(v))) &&
			(!bounded || v >= least) && (!above || v <= most)
	}
	return false
}

// orNull returns the schema of what satisfies s or is null.
func orNull(s Schema) Schema {
	if isNever(s) {
		return Schema{"type": "null"}
	}
	out := maps.Clone(s)
	switch t := s["type"].(type) {
	case string:
		out["type"] = []string{t, "null"}
	case []string:
		out["type"] = union(t, []string{"null"})
	}
	if enum, ok := s["enum"].([]any); ok && !slices.Contains(enum, nil) {
		out["enum"] = append(slices.Clone(enum), nil)
	}
	if not, ok := s["not"].(Schema); ok && not["type"] == nil {
		out["not"] = both(not, Schema{"type": "string"})
	}
	if members, ok := s["allOf"].([]Schema); ok {
		out["allOf"] = each(members, orNull)
	}
	if members, ok := s["anyOf"].([]Schema); ok {
		out["anyOf"] = each(members, orNull)
	}
	return out
}

func each(ss []Schema, change func(Schema) Schema) []Schema {
	out := make([]Schema, len(ss))
	for i, s := range ss {
		out[i] = change(s)
	}
	return out
}
