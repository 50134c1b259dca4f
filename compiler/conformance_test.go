package compiler_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/meshc/meshc/compiler"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/kuma"
	"github.com/meshc/meshc/schema/tree"
)

// adapted are the answers of Kuma 1.1.6 that meshc gives in another way: by case
// and key, with the reason. One that is not met is an error.
var adapted = map[string]string{
	"retry-after-routing stock-new": "only the Retry for an outbound's own service acts, in Kuma too: what its matcher says of others is not used",
	"retry-routed-away elsewhere":   "only the Retry for an outbound's own service acts, in Kuma too: what its matcher says of others is not used",
}

// recorded is a case: what Kuma's matchers chose.
type recorded struct {
	ID        string `json:"id"`
	Kind      string `json:"kind"`
	Mesh      json.RawMessage
	Dataplane json.RawMessage
	Policies  []json.RawMessage
	Routes    []json.RawMessage
	Expected  map[string]json.RawMessage
}

// TestKumaMatching holds the choice of policies against that of Kuma 1.1.6
// (testdata/kuma_matching.json: recorded from its matchers).
//
// Of permissions and faults, Kuma takes one where meshc unites all of the
// highest rank: the one that Kuma took must be the one that would win among
// them. Faults act on the caller's side, so for an inbound it is asked which
// ones its callers meet.
func TestKumaMatching(t *testing.T) {
	data, err := os.ReadFile("testdata/kuma_matching.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []recorded
	if err := json.Unmarshal(data, &cases); err != nil || len(cases) < 100 {
		t.Fatalf("%d cases: %v", len(cases), err)
	}
	met := map[string]bool{}
	for _, c := range cases {
		t.Run(c.ID, func(t *testing.T) {
			want := map[string]string{}
			for key, value := range c.Expected {
				if entry := c.ID + " " + key; adapted[entry] != "" {
					met[entry] = true
					value = nil
				}
				if text := c.expected(t, value); text != "" {
					want[key] = text
				}
			}
			if got := c.chosen(t); !maps.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
	for entry := range adapted {
		if !met[entry] {
			t.Errorf("adapted %q: no case has it", entry)
		}
	}
}

// expected returns the name of the policy that was recorded, and of a route
// also the split; "" for none.
func (c *recorded) expected(t *testing.T, value json.RawMessage) string {
	var name *string
	if len(value) == 0 || json.Unmarshal(value, &name) == nil {
		if name == nil {
			return ""
		}
		return *name
	}
	var of struct {
		Policy string
		Split  []kuma.Split
	}
	if err := json.Unmarshal(value, &of); err != nil {
		t.Fatal(err)
	}
	for _, part := range of.Split {
		if part.Weight > 0 {
			of.Policy += share(part.Weight, part.Destination)
		}
	}
	return of.Policy
}

func share(weight uint32, destination map[string]string) string {
	return fmt.Sprintf(" %d%v", weight, destination) // maps print sorted
}

// chosen returns what meshc chooses, under the keys that Kuma's matchers have.
func (c *recorded) chosen(t *testing.T) map[string]string {
	var docs []*schema.Document
	for _, text := range slices.Concat([]json.RawMessage{c.Mesh, c.Dataplane}, c.Policies, c.Routes) {
		d := document(t, text)
		if body, ok := d.Body.(*kuma.Dataplane); ok && c.Kind == "TrafficLog" {
			// Kuma also chooses for what leaves the mesh, as if that were a service.
			body.Networking.Outbound = append(body.Networking.Outbound,
				kuma.Outbound{Port: 65535, Tags: map[string]string{kuma.ServiceTag: "pass_through"}})
		}
		docs = append(docs, d)
	}
	slices.SortFunc(docs, func(x, y *schema.Document) int { return strings.Compare(x.ID(), y.ID()) })
	x := compiler.NewExplainer(docs, compiler.Node{})
	proxy, ok := x.Proxy("default.dp-1")
	if !ok {
		t.Fatal("no dataplane")
	}
	got := map[string]string{}
	put := func(key string, choices []compiler.Choice) {
		for _, choice := range choices {
			if choice.Kind == c.Kind {
				got[key] = best(choice.Applied)
			}
		}
	}
	for _, o := range proxy.Outbounds {
		switch c.Kind {
		case "TrafficRoute":
			put(o.Address, o.Choices)
			for _, s := range o.Split {
				if got[o.Address] != "" {
					got[o.Address] += share(s.Weight, s.Destination)
				}
			}
		case "Timeout":
			put(o.Address, o.Choices)
		default:
			put(o.Service, o.Choices)
			for _, s := range o.Split {
				put(s.Destination[kuma.ServiceTag], s.Choices)
			}
		}
	}
	for _, in := range proxy.Inbounds {
		put(c.inboundKey(t, in.Address), in.Choices)
	}
	put("dataplane", proxy.Choices)
	return got
}

// best returns the policy of which Kuma would take the one: the latest, else the
// first by name.
func best(applied []*schema.Document) string {
	created := func(d *schema.Document) string { // all are written in one form
		return reflect.ValueOf(d.Body).Elem().FieldByName("CreationTime").String()
	}
	return slices.MaxFunc(applied, func(x, y *schema.Document) int {
		if order := strings.Compare(created(x), created(y)); order != 0 {
			return order
		}
		return strings.Compare(y.Name, x.Name)
	}).Name
}

// inboundKey is ADDRESS:PORT:SERVICEPORT of an inbound.
func (c *recorded) inboundKey(t *testing.T, address string) string {
	var d kuma.Dataplane
	if err := json.Unmarshal(c.Dataplane, &d); err != nil {
		t.Fatal(err)
	}
	for _, in := range d.Networking.Inbound {
		if strings.HasSuffix(address, fmt.Sprintf(":%d", in.Port)) {
			return fmt.Sprintf("%s:%d", address, in.ServicePort)
		}
	}
	return fmt.Sprintf("%s:%s", address, address[strings.LastIndexByte(address, ':')+1:]) // that of metrics
}

// document makes a document of JSON as it stands: some of the recorded ones
// select in ways that the rules refuse, and Kuma's matchers do not mind.
func document(t *testing.T, text json.RawMessage) *schema.Document {
	var head struct{ Type, Mesh, Name string }
	if err := json.Unmarshal(text, &head); err != nil {
		t.Fatal(err)
	}
	bodies := map[string]any{
		"Mesh": &kuma.Mesh{}, "Dataplane": &kuma.Dataplane{}, "TrafficRoute": &kuma.TrafficRoute{}, "TrafficLog": &kuma.TrafficLog{},
		"Timeout": &kuma.Timeout{}, "Retry": &kuma.Retry{}, "HealthCheck": &kuma.HealthCheck{}, "CircuitBreaker": &kuma.CircuitBreaker{},
		"TrafficPermission": &kuma.TrafficPermission{}, "FaultInjection": &kuma.FaultInjection{},
		"TrafficTrace": &kuma.TrafficTrace{}, "ProxyTemplate": &kuma.ProxyTemplate{},
	}
	d := &schema.Document{Dialect: schema.Kuma, Kind: head.Type, Mesh: head.Mesh, Name: head.Name, Body: bodies[head.Type], Tree: &tree.Node{}}
	if head.Type != "TrafficRoute" { // durations are read from text alone
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(text, &fields); err != nil {
			t.Fatal(err)
		}
		delete(fields, "conf")
		text, _ = json.Marshal(fields)
	}
	if err := json.Unmarshal(text, d.Body); err != nil {
		t.Fatal(err)
	}
	return d
}
