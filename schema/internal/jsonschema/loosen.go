package jsonschema

import (
	"maps"
	"slices"
)

// at returns s with what it says about a place changed, wherever it says it: in
// the properties as well as in branches and alternatives.
func at(s Schema, place []string, change func(Schema) Schema) Schema {
	out := maps.Clone(s)
	for _, keyword := range []string{"allOf", "anyOf"} {
		if members, ok := s[keyword].([]Schema); ok {
			out[keyword] = each(members, func(m Schema) Schema { return at(m, place, change) })
		}
	}
	if then, ok := s["then"].(Schema); ok {
		out["then"] = at(then, place, change)
	}
	if len(place) == 0 {
		return change(out)
	}
	if place[0] == "*" {
		if items, ok := s["items"].(Schema); ok {
			out["items"] = at(items, place[1:], change)
		}
		return out
	}
	if properties, ok := s["properties"].(Schema); ok {
		if p, ok := properties[place[0]].(Schema); ok {
			properties = maps.Clone(properties)
			properties[place[0]] = at(p, place[1:], change)
			out["properties"] = properties
		}
	}
	return out
}

// shortTags lets a map of tags have the short names for their full ones.
func shortTags(s Schema, short map[string]string) Schema {
	out := maps.Clone(s)
	for _, name := range slices.Sorted(maps.Keys(short)) {
		full := short[name]
		properties, _ := out["properties"].(Schema)
		if p, ok := properties[full].(Schema); ok {
			properties = maps.Clone(properties)
			properties[name] = both(Schema{"description": "Short for " + full + "."}, p)
			out["properties"] = properties
		}
		if required, ok := out["required"].([]string); ok && slices.Contains(required, full) {
			out["required"] = slices.DeleteFunc(slices.Clone(required), func(r string) bool { return r == full })
			out["allOf"] = append(all(out), Schema{"anyOf": []Schema{{"required": []string{full}}, {"required": []string{name}}}})
		}
	}
	if names, ok := out["propertyNames"].(Schema); ok {
		var allowed []any
		for _, name := range slices.Sorted(maps.Keys(short)) {
			allowed = append(allowed, name)
		}
		out["propertyNames"] = Schema{"anyOf": []Schema{names, {"enum": allowed}}}
	}
	return out
}

// looseScalar lets a number stand in quotes, and an index for a name.
func looseScalar(s Schema) Schema {
	out := maps.Clone(s)
	switch s["type"] {
	case "integer", "number":
		out["type"] = []string{s["type"].(string), "string"}
		out["pattern"] = `^-?(0|[1-9][0-9]*)(\.[0-9]+)?$`
		return out
	}
	if _, ok := s["enum"]; ok {
		return Schema{"anyOf": []Schema{s, {"type": "integer", "minimum": 0.0}}}
	}
	return out
}

// nullsInside lets every value inside s be null, which counts as not written.
func nullsInside(s Schema) Schema {
	out := maps.Clone(s)
	nulls := func(s Schema) Schema { return orNull(nullsInside(s)) }
	for _, keyword := range []string{"properties", "patternProperties"} {
		if inside, ok := s[keyword].(Schema); ok {
			inside = maps.Clone(inside)
			for name, p := range inside {
				inside[name] = nulls(p.(Schema))
			}
			out[keyword] = inside
		}
	}
	for _, keyword := range []string{"items", "additionalProperties"} {
		if inside, ok := s[keyword].(Schema); ok {
			out[keyword] = nulls(inside)
		}
	}
	for _, keyword := range []string{"allOf", "anyOf"} {
		if members, ok := s[keyword].([]Schema); ok {
			out[keyword] = each(members, nullsInside)
		}
	}
	if then, ok := s["then"].(Schema); ok {
		out["then"] = nullsInside(then)
	}
	return out
}
