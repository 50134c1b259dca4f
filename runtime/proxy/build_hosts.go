package proxy

import (
	"fmt"
	"slices"

	"github.com/meshc/meshc/compiler/snapshot"
)

// virtualHosts makes the virtual hosts of a listener that is new or changed.
// It takes over those of old, which may be nil, that did not change.
func (b *builder) virtualHosts(l *listener, spec snapshot.Listener, old *listener) error {
	var before []*virtualHost
	if old != nil && old.name == l.name { // else its meters are others
		before = old.hosts
	}
	var byDigest map[snapshot.Digest]int // positions in before
	at := 0                              // where the next is if nothing changed
	l.hosts = make([]*virtualHost, spec.VirtualHosts.Len())
	for i, vh := range spec.VirtualHosts.All() {
		if at >= len(before) || before[at].digest != vh.Digest {
			if byDigest == nil {
				byDigest = make(map[snapshot.Digest]int, len(before))
				for i, h := range before {
					byDigest[h.digest] = i
				}
			}
			found, ok := byDigest[vh.Digest]
			if !ok {
				var err error
				if l.hosts[i], err = b.virtualHost(l, vh); err != nil {
					return fmt.Errorf("virtual host %q: %w", vh.Name, err)
				}
				continue
			}
			at = found
		}
		l.hosts[i] = b.carryHost(l, before[at])
		at++
	}
	l.domains = domainsOf(l.hosts, old)
	return nil
}

func (b *builder) virtualHost(l *listener, spec snapshot.VirtualHost) (*virtualHost, error) {
	vh := &virtualHost{name: spec.Name, domains: spec.Domains, routes: make([]route, spec.Routes.Len()), digest: spec.Digest}
	for i, r := range spec.Routes.All() {
		var err error
		if vh.routes[i], err = newRoute(r); err != nil {
			return nil, fmt.Errorf("route %q: %w", r.Name, err)
		}
		vh.routes[i].split = b.split(l, r.Targets)
	}
	return vh, nil
}

func (b *builder) split(l *listener, targets snapshot.List[snapshot.Target]) split {
	s := split{arms: make([]arm, targets.Len())}
	for i, t := range targets.All() {
		s.total += uint64(t.Weight)
		c := b.cluster(t.Cluster, l.proxy)
		s.arms[i] = arm{cluster: c, below: s.total, meter: b.meter(l.name, l.serves(c))}
	}
	return s
}

// carryHosts returns hosts, all of whose digests are as they were, with the
// clusters of this generation.
func (b *builder) carryHosts(l *listener, hosts []*virtualHost) []*virtualHost {
	if len(b.replaced) == 0 {
		return hosts
	}
	carried := make([]*virtualHost, len(hosts))
	for i, vh := range hosts {
		carried[i] = b.carryHost(l, vh)
	}
	return carried
}

func (b *builder) carryHost(l *listener, vh *virtualHost) *virtualHost {
	if !slices.ContainsFunc(vh.routes, func(r route) bool { return b.stale(r.split) }) {
		return vh
	}
	carried := *vh
	carried.routes = slices.Clone(vh.routes)
	for i := range carried.routes {
		carried.routes[i].split = b.carrySplit(l, carried.routes[i].split)
	}
	return &carried
}

func (b *builder) carrySplit(l *listener, s split) split {
	if !b.stale(s) {
		return s
	}
	s.arms = slices.Clone(s.arms)
	for i := range s.arms {
		if c := b.replaced[s.arms[i].cluster]; c != nil {
			if c == moved {
				c = b.cluster(s.arms[i].cluster.name, l.proxy)
			}
			s.arms[i].cluster, s.arms[i].meter = c, b.meter(l.name, l.serves(c))
		}
	}
	return s
}

// stale reports whether a cluster of s was replaced.
func (b *builder) stale(s split) bool {
	if len(b.replaced) == 0 {
		return false
	}
	for i := range s.arms {
		if b.replaced[s.arms[i].cluster] != nil {
			return true
		}
	}
	return false
}
