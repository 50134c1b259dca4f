package compiler

import (
	"iter"
	"slices"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema/kuma"
)

// location is where an endpoint or a caller is, "" where nobody said.
type location struct{ zone, region string }

// locationOf returns the location that tags name: Kuma's, or those that
// endpoints of Kubernetes have.
func locationOf(tags map[string]string) location {
	first := func(names ...string) string {
		for _, name := range names {
			if v := tags[name]; v != "" {
				return v
			}
		}
		return ""
	}
	return location{first(kuma.ZoneTag, zoneTag), first(kuma.RegionTag, regionTag)}
}

// place is where a caller is, as far as it decides which endpoints it gets. The
// zero place is in no zone and prefers none.
type place struct {
	location
	// aware says that the near endpoints come first (the Mesh's
	// routing.localityAwareLoadBalancing).
	aware bool
}

// placeOf returns the place of a proxy with these tag sets in a mesh. The
// gateway has its from the labels of its node.
func (b *build) placeOf(mesh string, sets []map[string]string) place {
	at := place{aware: b.localityAware(mesh)}
	for _, tags := range sets {
		if at.location = locationOf(tags); at.location != (location{}) {
			return at
		}
		if tags[kuma.ServiceTag] == snapshot.GatewayID {
			at.location = locationOf(map[string]string{
				kuma.ZoneTag: b.c.Node.label(kuma.ZoneTag), zoneTag: b.c.Node.label(zoneTag),
				kuma.RegionTag: b.c.Node.label(kuma.RegionTag), regionTag: b.c.Node.label(regionTag),
			})
		}
	}
	return at
}

func (b *build) localityAware(mesh string) bool {
	d := b.meshes[mesh]
	return d != nil && d.Body.(*kuma.Mesh).Routing.LocalityAwareLoadBalancing
}

// seenFrom returns as much of at as matters for which endpoints of s are seen
// from there, and in which order.
func (s *service) seenFrom(at place) place {
	if at.aware && at.location != (location{}) && slices.ContainsFunc(s.endpoints, func(e endpoint) bool { return at.distance(e.location) > 0 }) {
		return at
	}
	if s.zoned {
		return place{location: location{zone: at.zone}}
	}
	return place{}
}

// suffix names p in the name of a cluster, "" for the zero place.
func (p place) suffix() string {
	switch {
	case p.region != "":
		return "@region=" + p.region + ",zone=" + p.zone
	case p.zone != "":
		return "@zone=" + p.zone
	}
	return ""
}

// distance returns how late the endpoints at l come for a caller at p: 0 for
// those of its zone, or that say nothing of where they are (Kuma's rule), 1 for
// those of its region, 2 for all others.
func (p place) distance(l location) uint32 {
	switch {
	case !p.aware, l == location{}, p.zone != "" && l.zone == p.zone:
		return 0
	case p.region != "" && l.region == p.region:
		return 1
	}
	return 2
}

// visible iterates over the endpoints of u: those that have its tags, and that
// its caller's zone may use.
func (u clusterUse) visible() iter.Seq[endpoint] {
	return func(yield func(endpoint) bool) {
		for _, e := range u.service.endpoints {
			if u.through && (e.ingress || !e.inbound || e.zone != u.from.zone) {
				continue
			}
			if e.ingress && (e.disabled || e.zone == u.from.zone) || e.walled && e.zone != u.from.zone || !hasTags(e.tags, u.tags) {
				continue
			}
			if !yield(e) {
				return
			}
		}
	}
}

// closeGaps numbers the priorities of endpoints so that none is left out, which
// Envoy demands.
func closeGaps(endpoints []snapshot.Endpoint) []snapshot.Endpoint {
	var levels []uint32
	for _, e := range endpoints {
		if !slices.Contains(levels, e.Priority) {
			levels = append(levels, e.Priority)
		}
	}
	slices.Sort(levels)
	for i := range endpoints {
		endpoints[i].Priority = uint32(slices.Index(levels, endpoints[i].Priority))
	}
	return endpoints
}
