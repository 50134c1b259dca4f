package compiler_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/meshc/meshc/compiler"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
)

type tags = map[string]string

// drawnPolicy is a policy as the oracle sees it.
type drawnPolicy struct {
	name, created         string
	sources, destinations []tags
}

const service = "kuma.io/service"

// TestPoliciesInVain compares what is said about policies that another beats
// with an oracle that tries every proxy with every service.
func TestPoliciesInVain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.SampledFrom([]string{"a", "b", "*"})
		selector := rapid.Custom(func(t *rapid.T) tags {
			s := tags{service: value.Draw(t, "service")}
			if rapid.Bool().Draw(t, "more") {
				s["version"] = value.Draw(t, "version")
			}
			return s
		})
		inbound := rapid.Custom(func(t *rapid.T) tags {
			in := tags{service: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "service")}
			if rapid.Bool().Draw(t, "more") {
				in["version"] = rapid.SampledFrom([]string{"a", "b"}).Draw(t, "version")
			}
			return in
		})
		proxies := rapid.SliceOfN(rapid.SliceOfN(inbound, 1, 2), 1, 3).Draw(t, "proxies")
		policies := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) drawnPolicy {
			p := drawnPolicy{created: rapid.SampledFrom([]string{"2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"}).Draw(t, "created")}
			p.sources = rapid.SliceOfN(selector, 1, 2).Draw(t, "sources")
			for _, s := range rapid.SliceOfN(value, 1, 2).Draw(t, "destinations") {
				p.destinations = append(p.destinations, tags{service: s})
			}
			return p
		}), 2, 4).Draw(t, "policies")

		state := map[string]string{}
		for i, sets := range proxies {
			text := fmt.Sprintf("type: Dataplane\nname: d%d\nnetworking:\n  address: 10.0.0.%d\n  inbound:\n", i, i+1)
			for j, set := range sets {
				text += fmt.Sprintf("  - {port: %d, tags: %s}\n", 80+j, flow(set))
			}
			state[fmt.Sprintf("d%d.yaml", i)] = text
		}
		for i := range policies {
			p := &policies[i]
			p.name = fmt.Sprintf("p%d", i)
			state[p.name+".yaml"] = fmt.Sprintf("type: Timeout\nname: %s\ncreationTime: %s\nsources: [%s]\ndestinations: [%s]\nconf: {connectTimeout: 1s}\n",
				p.name, p.created, matches(p.sources), matches(p.destinations))
		}
		loaded := schema.NewLoader().Load(t.Context(), treeOf(state))
		if len(loaded.Diagnostics) > 0 {
			t.Fatal(loaded.Diagnostics)
		}
		var got []string
		for _, d := range compiler.New().Compile(loaded.Documents).Diagnostics {
			loser := strings.TrimSuffix(d.File, ".yaml")
			switch d.Code {
			case diag.CodeShadowed:
				got = append(got, loser+" never wins")
			case diag.CodeTie:
				got = append(got, loser+" ties with "+strings.TrimSuffix(d.Related[0].File, ".yaml"))
			}
		}
		slices.Sort(got)
		if want := inVain(proxies, policies); !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

// Who wins somewhere is the same whichever dataplane it is at, and is told in
// the same way: by a compiler that knows another order of them, too.
func TestWinnersWhereverTheyAre(t *testing.T) {
	state := map[string]string{}
	for i := range 5 {
		source := fmt.Sprintf("{kuma.io/service: web, version: v%d}}, {match: {kuma.io/service: web, version: '*', zone: '*'}", i)
		if i == 4 {
			source = "{kuma.io/service: web}"
		}
		state[fmt.Sprintf("p%d.yaml", i)] = fmt.Sprintf("type: Timeout\nname: p%d\nsources: [{match: %s}]\ndestinations: [{match: {kuma.io/service: '*'}}]\nconf: {connectTimeout: 1s}\n", i, source)
	}
	dataplanes := func(versions ...int) {
		for i, v := range versions {
			zone := ""
			if v == 4 { // where all the others win for a reason of its own
				zone = ", zone: a"
			}
			state[fmt.Sprintf("d%d.yaml", i)] = fmt.Sprintf("type: Dataplane\nname: d%d\nnetworking: {address: 10.0.0.%d, inbound: [{port: 80, tags: {kuma.io/service: web, version: v%d%s}}]}\n", i, i+1, v, zone)
		}
	}
	loader, warm := schema.NewLoader(), compiler.New()
	first := ""
	for _, versions := range [][]int{{0, 1, 2, 3, 4}, {4, 3, 2, 1, 0}, {2, 4, 0, 3, 1}} {
		dataplanes(versions...)
		docs := loader.Load(t.Context(), treeOf(state)).Documents
		got, cold := findings(warm.Compile(docs).Diagnostics), findings(compiler.New().Compile(docs).Diagnostics)
		if first == "" {
			first = cold
		}
		if got != cold || cold != first || !strings.Contains(cold, "one of 4 others is used") {
			t.Errorf("dataplanes %v: warm\n%scold\n%swant\n%s", versions, got, cold, first)
		}
	}
}

func flow(set tags) string {
	var pairs []string
	for _, k := range slices.Sorted(maps.Keys(set)) {
		pairs = append(pairs, fmt.Sprintf("%s: %q", k, set[k]))
	}
	return "{" + strings.Join(pairs, ", ") + "}"
}

func matches(selectors []tags) string {
	var out []string
	for _, s := range selectors {
		out = append(out, "{match: "+flow(s)+"}")
	}
	return strings.Join(out, ", ")
}

// inVain is the oracle.
func inVain(proxies [][]tags, policies []drawnPolicy) []string {
	arena := append(slices.Clone(proxies), []tags{{service: "gateway"}})
	services := map[string]bool{"any other": true}
	for _, sets := range proxies {
		for _, set := range sets {
			services[set[service]] = true
		}
	}
	for _, p := range policies {
		for _, s := range p.sources {
			if s[service] == "*" { // a proxy that may come
				stranger := tags{}
				for k, v := range s {
					stranger[k] = strings.Replace(v, "*", "strange", 1)
				}
				arena = append(arena, []tags{stranger})
			}
		}
	}
	won, lost := map[string]bool{}, map[string]bool{}
	ties := map[string]map[string]bool{}
	for _, proxy := range arena {
		for to := range services {
			var best *drawnPolicy
			var bestRank [2]int
			var all []*drawnPolicy
			ranks := map[*drawnPolicy][2]int{}
			for i := range policies {
				p := &policies[i]
				source, ok1 := fit(p.sources, proxy)
				destination, ok2 := fit(p.destinations, []tags{{service: to}})
				if !ok1 || !ok2 {
					continue
				}
				r := [2]int{source[0] + destination[0], source[1] + destination[1]}
				ranks[p] = r
				all = append(all, p)
				if best == nil || cmp.Or(slices.Compare(r[:], bestRank[:]), cmp.Compare(p.created, best.created)) > 0 {
					best, bestRank = p, r
				}
			}
			for _, p := range all {
				switch {
				case p == best:
					won[p.name] = true
				case ranks[p] == bestRank && p.created == best.created:
					if ties[p.name] == nil {
						ties[p.name] = map[string]bool{}
					}
					ties[p.name][best.name] = true
				default:
					lost[p.name] = true
				}
			}
		}
	}
	var out []string
	for _, p := range policies {
		for winner := range ties[p.name] {
			out = append(out, p.name+" ties with "+winner)
		}
		if lost[p.name] && !won[p.name] && ties[p.name] == nil {
			out = append(out, p.name+" never wins")
		}
	}
	slices.Sort(out)
	return out
}

// fit is the best rank of the selectors that match one of the tag sets.
func fit(selectors, sets []tags) (rank [2]int, ok bool) {
	for _, s := range selectors {
		for _, set := range sets {
			r := [2]int{len(s), 0}
			match := true
			for k, v := range s {
				have, there := set[k]
				match = match && there && (v == "*" || v == have)
				if v != "*" {
					r[1]++
				}
			}
			if match && (!ok || slices.Compare(r[:], rank[:]) > 0) {
				rank, ok = r, true
			}
		}
	}
	return rank, ok
}
