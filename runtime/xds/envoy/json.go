package envoy

import (
	"bytes"
	"encoding/json"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// JSON returns m in the form that Envoy reads from a file, indented. Equal
// messages give equal bytes, which protojson alone does not promise.
func JSON(m proto.Message) ([]byte, error) {
	b, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return nil, err
	}
	return indent(b)
}

// JSON returns s as one object with a list for each type.
func (s Set) JSON() ([]byte, error) {
	var out struct {
		Clusters   []json.RawMessage `json:"clusters"`
		Endpoints  []json.RawMessage `json:"endpoints"`
		Extensions []json.RawMessage `json:"extensions,omitempty"`
		Listeners  []json.RawMessage `json:"listeners"`
		Routes     []json.RawMessage `json:"routes"`
		Secrets    []string          `json:"secrets,omitempty"`
	}
	for _, secret := range s.Secrets {
		out.Secrets = append(out.Secrets, secret.Name)
	}
	var err error
	for _, c := range s.Clusters {
		out.Clusters = appendJSON(out.Clusters, c, &err)
	}
	for _, e := range s.Endpoints {
		out.Endpoints = appendJSON(out.Endpoints, e, &err)
	}
	for _, e := range s.Extensions {
		out.Extensions = appendJSON(out.Extensions, e, &err)
	}
	for _, l := range s.Listeners {
		out.Listeners = appendJSON(out.Listeners, l, &err)
	}
	for _, r := range s.Routes {
		out.Routes = appendJSON(out.Routes, r, &err)
	}
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil, err
	}
	return indent(b)
}

// appendJSON appends m unless err or m's own error is set.
func appendJSON(list []json.RawMessage, m proto.Message, err *error) []json.RawMessage {
	if *err != nil {
		return nil
	}
	b, failed := JSON(m)
	*err = failed
	return append(list, b)
}

func indent(b []byte) ([]byte, error) {
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}
