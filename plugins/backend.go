package plugins

import "encoding/json"

// Backend reads into backend the one of the Mesh's backends in section ("logging",
// "tracing") that the policy names as its conf.backend, or else that the Mesh
// has as default; i is its place among them. ok is false where there is none,
// which the compiler reports.
func (a Attachment) Backend(section string, backend any) (i int, ok bool) {
	var policy struct {
		Conf struct {
			Backend string `json:"backend"`
		} `json:"conf"`
	}
	var sections map[string]json.RawMessage
	var of struct {
		DefaultBackend string            `json:"defaultBackend"`
		Backends       []json.RawMessage `json:"backends"`
	}
	if a.Mesh == "" || json.Unmarshal([]byte(a.Policy), &policy) != nil ||
		json.Unmarshal([]byte(a.Mesh), &sections) != nil || json.Unmarshal(sections[section], &of) != nil {
		return 0, false
	}
	name := policy.Conf.Backend
	if name == "" {
		name = of.DefaultBackend
	}
	for i, text := range of.Backends {
		var b struct {
			Name string `json:"name"`
		}
		if json.Unmarshal(text, &b) == nil && b.Name == name && name != "" {
			return i, json.Unmarshal(text, backend) == nil
		}
	}
	return 0, false
}
