package xds

import (
	"testing"

	"github.com/meshc/meshc/runtime/xds/envoy"
)

// A view is looked through once, however many secrets its client asks for.
func TestSecretsAreIndexedOnce(t *testing.T) {
	named := func(name string, of ...envoy.Secret) *resource { return &resource{name: name, secrets: of} }
	v := &view{
		listeners: []*resource{named("in", envoy.Secret{Name: "both", Mesh: "default"})},
		clusters:  []string{"a", "b"},
	}
	g := &generation{clusters: []*resource{
		named("a", envoy.Secret{Name: "both", CA: "of a"}), named("b", envoy.Secret{Name: "ca", CA: "of b"}),
	}}
	for name, want := range map[string]envoy.Secret{
		"both": {Name: "both", Mesh: "default"}, "ca": {Name: "ca", CA: "of b"}, "none": {},
	} {
		got, ok := g.secret(v, name)
		if got != want || ok != (want != envoy.Secret{}) {
			t.Errorf("%s means %+v, %v", name, got, ok)
		}
		g.clusters = nil // nobody looks there again
	}
	if _, ok := g.secret(nil, "ca"); ok {
		t.Error("a client without a view has a secret")
	}
}
