package compiler

import (
	"fmt"
	"slices"
	"testing"

	"github.com/meshc/meshc/plugins"
	"github.com/meshc/meshc/plugins/builtin"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/files"
)

// confs are what a policy needs to be one, by kind; "" for nothing.
var confs = map[string]string{
	"kuma/TrafficRoute":      "conf: {destination: {kuma.io/service: '*'}}",
	"kuma/Timeout":           "conf: {connectTimeout: 1s}",
	"kuma/Retry":             "conf: {http: {numRetries: 1}}",
	"kuma/TrafficLog":        "",
	"kuma/HealthCheck":       "conf: {interval: 1s, timeout: 1s, unhealthyThreshold: 1, healthyThreshold: 1}",
	"kuma/CircuitBreaker":    "conf: {detectors: {totalErrors: {}}}",
	"kuma/TrafficPermission": "",
	"kuma/FaultInjection":    "conf: {abort: {httpStatus: 500, percentage: 50}}",
	"kuma/TrafficTrace":      "conf: {backend: b}",
	"kuma/ProxyTemplate":     "conf: {imports: [default-proxy]}",
}

// Policies of every kind are explained, on the side where they act: two of one
// kind that select the same, of which one is used or both.
func TestEveryKindIsExplained(t *testing.T) {
	for _, k := range families {
		if k.family == together {
			continue // explained by what the snapshot has
		}
		t.Run(k.name(), func(t *testing.T) {
			p := explained(t, k)
			at := map[side][]Choice{
				atOutbound: p.Outbounds[0].Choices, atTarget: p.Outbounds[0].Split[0].Choices,
				atInbound: p.Inbounds[0].Choices, atProxy: p.Choices,
			}
			i := slices.IndexFunc(at[k.side], func(c Choice) bool { return c.Kind == k.name() })
			if i < 0 {
				t.Fatal("not explained where it acts")
			}
			applied, lost := 1, 1
			if k.family.united() {
				applied, lost = 2, 0
			}
			if c := at[k.side][i]; len(c.Applied) != applied || len(c.Lost) != lost || c.United() != (applied == 2) {
				t.Errorf("%d are used, %d are not, united: %t", len(c.Applied), len(c.Lost), c.United())
			}
		})
	}
}

// Policies that become filters are matched and explained by one rule.
func TestBuiltinKinds(t *testing.T) {
	type rule struct {
		family family
		side   side
	}
	rules := map[plugins.Side]rule{
		plugins.PerService: {outbound, atOutbound}, plugins.PerTarget: {inbound, atInbound}, plugins.PerProxy: {proxy, atProxy},
	}
	for _, kind := range builtin.Kinds {
		for _, p := range kind.Policies {
			i := slices.IndexFunc(families, func(k policyKind) bool { return k.kind == p.Document })
			if i < 0 {
				t.Errorf("%s is not among the kinds of policies", p.Document)
			} else if k := families[i]; (rule{k.family, k.side}) != rules[p.Side] || k.passage {
				t.Errorf("%s: %+v is not what side %d of its kind %s means", p.Document, k, p.Side, kind.Name)
			}
		}
	}
}

// explained returns what a proxy gets of two policies of a kind.
func explained(t *testing.T, k policyKind) ProxyExplained {
	t.Helper()
	conf, ok := confs[k.kind]
	if !ok {
		t.Fatalf("say in confs what a policy of %s needs", k.kind)
	}
	selectors := "sources: [{match: {kuma.io/service: '*'}}]\ndestinations: [{match: {kuma.io/service: '*'}}]"
	switch {
	case k.kind == "kuma/FaultInjection":
		selectors = "sources: [{match: {kuma.io/service: '*'}}]\ndestinations: [{match: {kuma.io/service: '*', kuma.io/protocol: http}}]"
	case k.family == proxy:
		selectors = "selectors: [{match: {kuma.io/service: '*'}}]"
	}
	text := `type: Dataplane
name: web
mesh: default
networking:
  address: 10.0.0.1
  inbound: [{port: 80, tags: {kuma.io/service: web, kuma.io/protocol: http}}]
  outbound: [{port: 81, tags: {kuma.io/service: web}}]
`
	for _, name := range []string{"a", "b"} {
		text += fmt.Sprintf("---\ntype: %s\nname: %s\nmesh: default\n%s\n%s\n", k.name(), name, selectors, conf)
	}
	r := schema.NewLoader().Load(t.Context(), files.Tree{Files: []files.File{{Name: "in.yaml", Shown: "in.yaml", Data: []byte(text)}}})
	if len(r.Documents) != 3 {
		t.Fatalf("%d documents: %v", len(r.Documents), r.Diagnostics)
	}
	p, ok := NewExplainer(r.Documents, Node{}).Proxy("default.web")
	if !ok {
		t.Fatal("no proxy")
	}
	return p
}
