package xds_test

import (
	"encoding/json"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/meshc/meshc/runtime/xds/envoy"
)

// shown returns a set as one JSON object with a list for each type, and of its
// secrets the names.
func shown(t *testing.T, s envoy.Set) string {
	t.Helper()
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
	out.Clusters = messages(t, s.Clusters)
	out.Endpoints = messages(t, s.Endpoints)
	out.Extensions = messages(t, s.Extensions)
	out.Listeners = messages(t, s.Listeners)
	out.Routes = messages(t, s.Routes)
	text, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n"
}

func messages[M proto.Message](t *testing.T, list []M) (out []json.RawMessage) {
	t.Helper()
	for _, m := range list {
		text, err := envoy.JSON(m)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, text)
	}
	return out
}
