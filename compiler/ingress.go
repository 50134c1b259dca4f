package compiler

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/kuma"
)

// entry is what an ingress takes under one server name, and hands on to the
// endpoints of its own zone without a look inside: TLS ends there.
type entry struct {
	sni string
	clusterUse
}

// attachIngresses gives the ingresses their entries.
func (b *build) attachIngresses() {
	if len(b.zones.ingresses) == 0 {
		return
	}
	asked := b.subsetsAsked()
	for _, in := range b.zones.ingresses {
		i, ok := slices.BinarySearchFunc(b.views, in.doc.ID(), func(v *view, id string) int { return cmp.Compare(v.doc.ID(), id) })
		if !ok {
			continue
		}
		for j := range b.views[i].listeners {
			if l := &b.views[i].listeners[j]; l.ingress {
				l.entries = b.entriesOf(in, asked)
			}
		}
	}
}

// entriesOf returns the entries of an ingress by server name: for each service
// that it makes available, the whole and the subsets that callers ask for.
func (b *build) entriesOf(in *zoneIngress, asked map[serviceKey][]map[string]string) []entry {
	var out []entry
	done := map[serviceKey]bool{}
	for _, a := range in.available {
		s := b.service(a.serviceKey)
		if s == nil || s.dialect != schema.Kuma || done[a.serviceKey] {
			continue
		}
		done[a.serviceKey] = true
		for _, tags := range append(asked[a.serviceKey], asked[serviceKey{a.mesh, "*"}]...) {
			u := clusterUse{service: s, tags: tags, from: place{location: location{zone: in.zone}}, through: true}
			u.name = u.endpointsName()
			for range u.visible() { // it has such endpoints
				out = append(out, entry{strings.ToLower(meshTransport(s.mesh, s.name, tags).SNI), u})
				break
			}
		}
	}
	slices.SortFunc(out, func(x, y entry) int { return cmp.Or(cmp.Compare(x.sni, y.sni), cmp.Compare(x.name, y.name)) })
	return slices.CompactFunc(out, func(x, y entry) bool { return x.sni == y.sni })
}

// subsetsAsked returns the tags by which callers may ask for parts of services,
// "*" for those of every service of a mesh, with none for the whole: what
// proxies of this tree ask for, and what TrafficRoutes say, for the callers may
// be of another tree.
func (b *build) subsetsAsked() map[serviceKey][]map[string]string {
	out := map[serviceKey][]map[string]string{}
	add := func(k serviceKey, tags map[string]string) {
		if !slices.ContainsFunc(out[k], func(known map[string]string) bool { return maps.Equal(known, tags) }) {
			out[k] = append(out[k], tags)
		}
	}
	passes := func(p *passage) {
		for a := range p.everywhere() {
			add(a.service.serviceKey, a.tags)
		}
	}
	for mesh := range b.meshes {
		add(serviceKey{mesh, "*"}, nil)
	}
	for _, h := range b.hosts {
		passes(h.passage)
	}
	for _, v := range b.views {
		for i := range v.listeners {
			passes(v.listeners[i].passage)
		}
	}
	for _, d := range b.routes {
		conf := &d.Body.(*kuma.TrafficRoute).Conf
		all := conf.Arms()
		for i := range conf.HTTP {
			all = append(slices.Clone(all), conf.HTTP[i].Arms()...)
		}
		for _, part := range all {
			tags := maps.Clone(part.Destination)
			maps.DeleteFunc(tags, func(k, v string) bool { return k == kuma.ServiceTag || v == "*" })
			add(serviceKey{d.Mesh, part.Destination[kuma.ServiceTag]}, tags)
		}
	}
	return out
}

// lowerEntries makes the chains of an ingress.
func lowerEntries(entries []entry) snapshot.List[snapshot.Chain] {
	return snapshot.ListOfFunc(len(entries), func(i int) snapshot.Chain {
		e := entries[i]
		return snapshot.Chain{
			Name: e.sni, ServerNames: snapshot.ListOf(e.sni), Protocol: snapshot.TCP,
			Targets: snapshot.ListOf(snapshot.Target{Cluster: e.name, Weight: 1}), Sources: sources(nil, e.service.doc),
		}
	})
}
