package proxy

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/meshc/meshc/compiler/snapshot"
)

// TestSharedGenerationEqualsOneBuiltAlone publishes random snapshots one after
// the other. Each generation, which shares what it can with the one before,
// must be what a proxy builds that has served nothing, and must leave the one
// before as it was.
func TestSharedGenerationEqualsOneBuiltAlone(t *testing.T) {
	shared := 0
	for seed := range uint64(10) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			w := &shifting{Rand: r, world: &world{}}
			p, alone := run(t, w.world), run(t, &world{})
			for range 50 {
				for range r.IntN(4) {
					w.change()
				}
				before, was := p.current, picture(p.current)
				next := w.snapshot()
				commit, abort, err := p.Prepare(t.Context(), next)
				if err != nil {
					t.Fatal(err)
				}
				if r.IntN(4) == 0 {
					abort()
					continue
				}
				commit()
				want, err := alone.build(context.Background(), next)
				if err != nil {
					t.Fatal(err)
				}
				if got, want := picture(p.current), picture(want); got != want {
					t.Fatalf("shared:\n%s\nalone:\n%s", got, want)
				}
				if got := picture(before); got != was {
					t.Fatalf("the generation before was\n%s\nand is now\n%s", was, got)
				}
				succeeds(t, before, p.current)
				shared += sharedHosts(before, p.current)
			}
		})
	}
	if shared == 0 {
		t.Error("nothing was ever shared: the test proves nothing")
	}
}

// shifting is a world that changes at random.
type shifting struct {
	*rand.Rand
	*world
}

func (w *shifting) clusterName() string { return fmt.Sprint("c", w.IntN(6)) }

func (w *shifting) targets() snapshot.List[snapshot.Target] {
	return snapshot.ListOfFunc(w.IntN(4), func(int) snapshot.Target {
		return snapshot.Target{Cluster: w.clusterName(), Weight: uint32(1 + w.IntN(3))}
	})
}

func (w *shifting) change() {
	switch name := w.clusterName(); w.IntN(7) {
	case 0, 1: // endpoints, or none
		w.endpoints = slices.DeleteFunc(w.endpoints, func(e snapshot.EndpointSet) bool { return e.Name == name })
		if n := w.IntN(4); n > 0 {
			w.endpoints = append(w.endpoints, snapshot.EndpointSet{Name: name, Endpoints: snapshot.ListOfFunc(n, func(i int) snapshot.Endpoint {
				return snapshot.Endpoint{Address: fmt.Sprint("127.0.0.", w.IntN(4)), Port: uint16(i), Hostname: fmt.Sprint(w.IntN(2)), Weight: uint32(w.IntN(3))}
			})})
		}
	case 2: // a cluster, or none
		w.clusters = slices.DeleteFunc(w.clusters, func(c snapshot.Cluster) bool { return c.Name == name })
		if w.IntN(4) > 0 {
			w.clusters = append(w.clusters, snapshot.Cluster{
				Name: name, Service: fmt.Sprint("s", w.IntN(3)),
				Discovery: pick(w.Rand, snapshot.Static, snapshot.Static, snapshot.DNS),
				Balancing: pick(w.Rand, snapshot.RoundRobin, snapshot.ClientIP, snapshot.Maglev),
			})
		}
	case 3: // a virtual host, or none
		name := fmt.Sprint("h", w.IntN(6))
		w.vhosts = slices.DeleteFunc(w.vhosts, func(h snapshot.VirtualHost) bool { return h.Name == name })
		if w.IntN(4) > 0 {
			w.vhosts = slices.Insert(w.vhosts, w.IntN(len(w.vhosts)+1), snapshot.VirtualHost{Name: name})
			w.domainsAndRoutes(slices.IndexFunc(w.vhosts, func(h snapshot.VirtualHost) bool { return h.Name == name }))
		}
	case 4: // the routes of one
		if len(w.vhosts) > 0 {
			i := w.IntN(len(w.vhosts))
			domains := w.vhosts[i].Domains
			w.domainsAndRoutes(i)
			w.vhosts[i].Domains = domains
		}
	case 5: // the order
		w.Shuffle(len(w.vhosts), func(i, j int) { w.vhosts[i], w.vhosts[j] = w.vhosts[j], w.vhosts[i] })
	case 6: // a TCP listener, or none
		name := fmt.Sprint("tcp", w.IntN(2))
		w.dataplane = slices.DeleteFunc(w.dataplane, func(l snapshot.Listener) bool { return l.Name == name })
		if w.IntN(4) > 0 {
			w.tcp(name)
			w.dataplane[len(w.dataplane)-1].Targets = w.targets()
		}
	}
}

func (w *shifting) domainsAndRoutes(i int) {
	w.vhosts[i].Domains = snapshot.ListOfFunc(w.IntN(4), func(int) string { return pick(w.Rand, allDomains...) })
	w.vhosts[i].Routes = snapshot.ListOfFunc(w.IntN(3), func(int) snapshot.Route {
		r := snapshot.Route{Name: fmt.Sprint("r", w.IntN(3)), Targets: w.targets(), HostFromEndpoint: w.IntN(2) == 0}
		*pick(w.Rand, &r.PathPrefix, &r.PathExact, &r.PathRegex) = pick(w.Rand, "/a", "/")
		r.Methods = pick(w.Rand, snapshot.List[string]{}, snapshot.ListOf("GET"))
		r.Headers = pick(w.Rand, snapshot.List[snapshot.HeaderMatch]{}, snapshot.ListOf(snapshot.HeaderMatch{Name: "x", Regex: pick(w.Rand, "", "a+")}))
		r.Rewrite = pick(w.Rand, snapshot.PathRewrite{}, snapshot.PathRewrite{Regex: "^/a", Substitution: pick(w.Rand, "/", "/b")})
		return r
	})
}

var allDomains = []string{"a", "b", "b:*", "c:1", "c:*", "*"}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// picture writes down all that requests can see of g, and its tables.
func picture(g *generation) string {
	var b strings.Builder
	arms := func(l *listener, s split) {
		fmt.Fprintf(&b, " of %d:", s.total)
		for _, a := range s.arms {
			c := a.cluster
			fmt.Fprintf(&b, " [<%d %s %s %s dns=%t", a.below, c.name, c.service, c.balancing.Balancing, c.dns != nil)
			if c.dns != nil {
				fmt.Fprint(&b, c.dns.set.Slice())
			}
			for _, e := range c.endpoints {
				fmt.Fprintf(&b, " %s=%s*%d", e.pool.text, e.hostname, e.weight)
			}
			fmt.Fprintf(&b, "; metered=%t]", g.meters[meterKey{l.name, c.service}] == a.meter)
		}
	}
	for _, l := range g.listeners {
		fmt.Fprintf(&b, "%s metered=%t current=%t", l.name, g.meters[meterKey{l.name, ""}] == l.meter, l.gen == g)
		arms(l, l.split)
		for _, domain := range append(allDomains, "nobody", "A", "c", "C:1", "C:2") {
			vh := l.host(domain)
			if vh == nil {
				continue
			}
			fmt.Fprintf(&b, "\n\t%s: %s", domain, vh.name)
			for _, r := range vh.routes {
				c := r.condition
				fmt.Fprintf(&b, "\n\t\t%s prefix=%s exact=%s regex=%v methods=%v", r.name, c.prefix, c.exact, c.regex, c.methods)
				for _, h := range c.headers {
					fmt.Fprintf(&b, " %s=%v %v", h.name, h.values, h.regex)
				}
				fmt.Fprintf(&b, " rewrite %v to %q hostFromEndpoint=%t", r.rewrite.regex, r.rewrite.substitution, r.hostFromEndpoint)
				arms(l, r.split)
			}
		}
		b.WriteByte('\n')
	}
	for _, c := range g.clusters {
		fmt.Fprint(&b, c.name, " ")
	}
	keys := slices.SortedFunc(maps.Keys(g.meters), func(x, y meterKey) int {
		return cmp.Or(cmp.Compare(x.listener, y.listener), cmp.Compare(x.service, y.service))
	})
	fmt.Fprintf(&b, "\n%v\n", keys)
	return b.String()
}

// succeeds checks that next, which serves, keeps what old has that must live
// on, and nothing else.
func succeeds(t *testing.T, old, next *generation) {
	t.Helper()
	for key, m := range next.meters {
		if before := old.meters[key]; before != nil && before != m {
			t.Errorf("the counters of %v began anew", key)
		}
	}
	for _, c := range next.clusters {
		var before *cluster
		if i, ok := old.cluster(c.name); ok {
			before = old.clusters[i]
			if before.state != c.state {
				t.Errorf("the state of cluster %s began anew", c.name)
			}
		}
		if c.state.closed {
			t.Errorf("cluster %s serves, and is closed", c.name)
		}
		serving := map[netip.AddrPort]*pool{}
		for _, e := range c.endpoints {
			serving[e.pool.address] = e.pool
			if e.pool.closed {
				t.Errorf("the pool of %s in cluster %s is closed", e.pool.text, c.name)
			}
		}
		if c.dns == nil && !maps.Equal(c.state.pools, serving) {
			t.Errorf("cluster %s keeps %d pools for %d addresses", c.name, len(c.state.pools), len(serving))
		}
		if before == nil || c.dns != nil {
			continue
		}
		for _, e := range before.endpoints {
			if pl := serving[e.pool.address]; pl != nil && pl != e.pool || pl == nil && !e.pool.closed {
				t.Errorf("cluster %s: the pool of %s did not stay, or was not closed", c.name, e.pool.text)
			}
		}
	}
	for _, c := range old.clusters {
		if _, ok := next.cluster(c.name); !ok && !c.state.closed {
			t.Errorf("cluster %s is gone, and is not closed", c.name)
		}
	}
}

// sharedHosts counts the virtual hosts that both have.
func sharedHosts(a, b *generation) (n int) {
	for _, l := range b.listeners {
		if old := a.byKey[l.key]; old != nil {
			for _, vh := range l.hosts {
				if slices.Contains(old.hosts, vh) {
					n++
				}
			}
		}
	}
	return n
}
