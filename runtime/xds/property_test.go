package xds_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/xds"
	"github.com/meshc/meshc/runtime/xds/envoy"
)

// Whatever the snapshots and however late the answers, a client ends with the
// last snapshot, and no listener or route of its ever leads to a cluster that
// it lacks, unless it refused that cluster itself.
func TestClientsEndWithTheLastSnapshotAndNeverLackACluster(t *testing.T) {
	for _, delta := range []bool{true, false} {
		t.Run(fmt.Sprintf("delta=%v", delta), func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) { simulate(t, rt, delta) })
		})
	}
}

// check is a test whose cleanups run after each try.
type check struct {
	testing.TB
	rt *rapid.T
}

func (c check) Cleanup(f func())                  { c.rt.Cleanup(f) }
func (c check) Fatal(args ...any)                 { c.rt.Fatal(args...) }
func (c check) Error(args ...any)                 { c.rt.Error(args...) }
func (c check) Fatalf(format string, args ...any) { c.rt.Fatalf(format, args...) }

// resources are resources by type and name.
type resources map[string]map[string]proto.Message

func (r resources) names() map[string][]string {
	out := map[string][]string{}
	for url, has := range r {
		out[url] = slices.Sorted(maps.Keys(has))
	}
	return out
}

// simulate runs one client against one server.
func simulate(t *testing.T, rt *rapid.T, delta bool) {
	tb := check{t, rt}
	r := start(tb, withIdentity, func(c *xds.Config) { c.Filter = textFilter })
	r.publish(drawWorld(rt, false))
	c := newModel(rt, r, delta)
	defer c.stop()
	c.connect()
	for range rapid.IntRange(1, 12).Draw(rt, "steps") {
		switch rapid.IntRange(0, 3).Draw(rt, "step") {
		case 0:
			r.publish(drawWorld(rt, true))
		case 1:
			c.speak(rapid.SampledFrom([]string{cds, eds, ecds, lds, rds, sds}).Draw(rt, "type"))
		default:
			c.receiveIfThere()
		}
	}
	last := drawWorld(rt, false)
	r.publish(last)
	want, err := xds.Resources(last, "gateway", gatewayAddr, "", textFilter)
	if err != nil && slices.ContainsFunc(last.Proxies.Slice(), func(p snapshot.Proxy) bool { return p.ID == "gateway" }) {
		rt.Fatal(err)
	}
	final := resources{cds: {}, eds: {}, ecds: {}, lds: {}, rds: {}, sds: {}}
	for _, m := range want.Clusters {
		final[cds][m.Name] = m
	}
	for _, m := range want.Endpoints {
		final[eds][m.ClusterName] = m
	}
	for _, of := range want.Secrets {
		s, ok := find(last.Secrets.Slice(), of.CA)
		if !ok {
			rt.Fatalf("no secret %q", of.CA)
		}
		text, err := base64.StdEncoding.DecodeString(string(s.Data))
		if err != nil {
			rt.Fatal(err)
		}
		if final[sds][of.Name], err = envoy.RootsSecret(of.Name, text); err != nil {
			rt.Fatal(err)
		}
	}
	for _, m := range want.Extensions {
		final[ecds][m.Name] = m
	}
	for _, m := range want.Listeners {
		final[lds][m.Name] = m
	}
	for _, m := range want.Routes {
		final[rds][m.Name] = m
	}
	for end := time.After(patience); !c.equals(final); {
		for _, url := range []string{cds, eds, ecds, lds, rds, sds} {
			for c.speak(url) {
			}
		}
		if c.equals(final) {
			return
		}
		select {
		case m := <-c.inbox:
			c.apply(m)
		case <-end:
			rt.Fatalf("the client does not get there: has %v, not %v", c.has.names(), final.names())
		}
	}
}

// drawWorld draws a snapshot. With poison, some clusters are such that the
// model refuses them.
func drawWorld(rt *rapid.T, poison bool) snapshot.Snapshot {
	var services []service
	var names []string
	for _, name := range []string{"a", "b", "c", "d"} {
		if !rapid.Bool().Draw(rt, name) {
			continue
		}
		s := slow(name, rapid.IntRange(1, 2).Draw(rt, "timeout"), at("192.0.2.1", uint16(rapid.IntRange(1, 3).Draw(rt, "port"))))
		if poison && rapid.IntRange(0, 5).Draw(rt, "poison") == 0 {
			s.timeout = poisonous
		}
		if rapid.IntRange(0, 3).Draw(rt, "dns") == 0 {
			s.dns = true
		}
		services, names = append(services, secure(rt, s)), append(names, name)
		if !s.dns && rapid.Bool().Draw(rt, "variant") {
			variant := slow(name+"~timeout=t", rapid.IntRange(1, 2).Draw(rt, "timeout"))
			variant.more = func(c *snapshot.Cluster) { c.Endpoints = name }
			services, names = append(services, secure(rt, variant)), append(names, variant.name)
		}
	}
	subset := func(what string) []string {
		if len(names) == 0 {
			return nil
		}
		return slices.Compact(slices.Sorted(slices.Values(rapid.SliceOfN(rapid.SampledFrom(names), 0, 3).Draw(rt, what))))
	}
	// A document is the same in all listeners.
	var plugins []snapshot.Filter
	for _, name := range []string{"p", "q"} {
		word := fmt.Sprint("v", rapid.IntRange(1, 2).Draw(rt, "version"))
		if poison && rapid.IntRange(0, 3).Draw(rt, "bad") == 0 {
			word = "bad" + word
		}
		clusters := subset("calls")
		plugins = append(plugins, snapshot.Filter{
			Name: name, Kind: "text", Config: strings.Join(append([]string{word}, clusters...), " "), Clusters: snapshot.ListOf(clusters...),
		})
	}
	filters := func() []snapshot.Filter {
		return plugins[:rapid.IntRange(0, 2).Draw(rt, "filters")]
	}
	var listeners []snapshot.Listener
	for port := uint16(1); port <= 3; port++ {
		switch rapid.IntRange(0, 3).Draw(rt, "listener") {
		case 0:
			listeners = append(listeners, with(outboundTCP(port, subset("tcp")...), filters()...))
		case 1, 2:
			listeners = append(listeners, with(outbound(port, host("h", []string{"*"}, "/", subset("http")...)), filters()...))
		}
	}
	var proxies []snapshot.Proxy
	if rapid.IntRange(0, 9).Draw(rt, "known") != 0 {
		proxies = append(proxies, proxy("gateway", listeners...))
	}
	w := world(services, proxies...)
	var secrets []snapshot.Secret
	for _, id := range []string{"m/x", "m/y"} {
		secrets = append(secrets, inline(id, rapid.SampledFrom([]string{"1", "2"}).Draw(rt, id)))
	}
	w.Secrets = snapshot.ListOf(secrets...)
	return snapshot.Seal(w)
}

// secure returns s, which maybe speaks TLS with one of two authorities.
func secure(rt *rapid.T, s service) service {
	ca := rapid.SampledFrom([]string{"", "m/x", "m/y"}).Draw(rt, "tls")
	if more := s.more; ca != "" {
		s.more = func(c *snapshot.Cluster) {
			if more != nil {
				more(c)
			}
			c.Transports = snapshot.ListOf(snapshot.Transport{Name: "tls", CA: ca, Host: "x.example"})
		}
	}
	return s
}

func find(secrets []snapshot.Secret, id string) (snapshot.Secret, bool) {
	i := slices.IndexFunc(secrets, func(s snapshot.Secret) bool { return s.ID == id })
	if i < 0 {
		return snapshot.Secret{}, false
	}
	return secrets[i], true
}

const poisonous = 13 * time.Second
