package compiler

import (
	"cmp"

	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/kuma"
)

// world is what the policies of one mesh may be about.
type world struct {
	proxies *population
	// inbounds are what takes traffic, each with all its tags: the inbounds of
	// dataplanes, and for what has none, the service itself.
	inbounds *population
	services map[string]int // how many services have the name: one, or none
	changes  int
}

// inputs are what a memo of something found in w depends on.
func (w *world) inputs(others ...any) []any { return append(others, w, w.changes) }

// hasService reports whether there is a service of that name. The wildcard also
// means those that may come.
func (w *world) hasService(name string) bool {
	return name == "*" || name == passThrough || w.services[name] > 0
}

// worlds are those of all meshes. They follow the documents from compile to
// compile, at the cost of what changed.
type worlds struct {
	of                    map[string]*world
	dataplanes, externals []*schema.Document
	services              []*service
	metrics               []*metricsConf
}

// manyGone is how many documents may go before a world is made anew: each is
// looked for in lists that are as long as the world is large.
const manyGone = 256

// update makes w what b knows.
func (w *worlds) update(b *build) {
	next := worlds{map[string]*world{}, b.dataplanes, b.byKind["kuma/ExternalService"], b.sorted, b.metricsConfs}
	if w.of != nil {
		next.of = w.of
	}
	var come, gone []dweller
	compare(&come, &gone, w.dataplanes, next.dataplanes, byID, ofDataplane)
	compare(&come, &gone, w.externals, next.externals, byID, ofExternal)
	compare(&come, &gone, w.services, next.services, serviceBefore, ofService)
	compare(&come, &gone, w.metrics, next.metrics, func(x, y *metricsConf) bool { return compareMetrics(x, y) < 0 }, ofMetrics)
	if len(gone) > manyGone {
		*w = worlds{}
		w.update(b)
		return
	}
	*w = next
	// What comes is added first: what goes and comes back in another document
	// has then never been away.
	for _, d := range come {
		d.enter(w.in(d.mesh))
	}
	for _, d := range gone {
		d.leave(w.in(d.mesh))
	}
}

// compare adds what is in one of two lists alone, both in the order of less.
func compare[T comparable](come, gone *[]dweller, before, after []T, less func(x, y T) bool, of func(T) dweller) {
	symmetric(before, after, func(x, y T) bool { return x == y }, less,
		func(x T) { *gone = append(*gone, of(x)) }, func(x T) { *come = append(*come, of(x)) })
}

// in returns the world of a mesh.
func (w *worlds) in(mesh string) *world {
	out := w.of[mesh]
	if out == nil {
		out = &world{newPopulation(), newPopulation(), map[string]int{}, 0}
		out.proxies.add(newMember(gatewayTags))
		w.of[mesh] = out
	}
	return out
}

// dweller is what one document or service adds to the world of its mesh.
type dweller struct {
	mesh, service string // service is "" for a document
	proxy         *member
	inbounds      []*member
}

func ofDataplane(d *schema.Document) dweller {
	dp := d.Body.(*kuma.Dataplane)
	out := dweller{mesh: d.Mesh}
	tags := make([]map[string]string, 0, len(dp.Networking.Inbound)+1)
	for _, in := range dp.Networking.Inbound {
		tags = append(tags, in.Tags)
		out.inbounds = append(out.inbounds, newMember(in.Tags))
	}
	if g := dp.Networking.Gateway; g != nil {
		tags = append(tags, g.Tags)
	}
	out.proxy = newMember(tags...)
	return out
}

func ofExternal(d *schema.Document) dweller {
	return dweller{mesh: d.Mesh, inbounds: []*member{newMember(d.Body.(*kuma.ExternalService).Tags)}}
}

func ofService(s *service) dweller {
	out := dweller{mesh: s.mesh, service: s.name}
	if s.dialect != schema.Kuma {
		out.inbounds = []*member{newMember(map[string]string{kuma.ServiceTag: s.name, kuma.ProtocolTag: cmp.Or(s.protocol, "http")})}
	}
	for _, e := range s.endpoints {
		if e.ingress { // that of a zone, whose dataplanes need not be here
			out.inbounds = append(out.inbounds, newMember(e.tags))
		}
	}
	return out
}

func ofMetrics(c *metricsConf) dweller {
	return dweller{mesh: c.mesh, inbounds: []*member{newMember(c.tags)}}
}

func (d dweller) enter(w *world) {
	change := d.proxy != nil && w.proxies.add(d.proxy)
	for _, m := range d.inbounds {
		change = w.inbounds.add(m) || change
	}
	if d.service != "" {
		w.services[d.service]++
		change = change || w.services[d.service] == 1
	}
	if change {
		w.changes++
	}
}

func (d dweller) leave(w *world) {
	change := d.proxy != nil && w.proxies.remove(d.proxy)
	for _, m := range d.inbounds {
		change = w.inbounds.remove(m) || change
	}
	if d.service != "" {
		if w.services[d.service]--; w.services[d.service] == 0 {
			delete(w.services, d.service)
			change = true
		}
	}
	if change {
		w.changes++
	}
}
