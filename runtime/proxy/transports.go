package proxy

import (
	"fmt"
	"slices"

	"github.com/meshc/meshc/compiler/snapshot"
)

// moved stands for clusters that have another key than before: in the next
// generation, each proxy that uses them has its own, or all have one.
var moved = &cluster{}

// keyOf returns the key of a cluster as proxy uses it: where the proxy's own
// certificate is shown, each has a cluster of its own.
func keyOf(spec snapshot.Cluster, name, proxy string) string {
	for _, t := range spec.Transports.All() {
		if t.Mesh != "" {
			return name + "\x00" + proxy
		}
	}
	return name
}

// transports returns how the endpoints of a cluster are spoken to that say so.
func (b *builder) transports(spec snapshot.Cluster, owner string) map[string]*secured {
	if spec.Transports.Len() == 0 {
		return nil
	}
	out := map[string]*secured{}
	for _, t := range spec.Transports.All() {
		s := &secured{proxy: b.Proxy, spec: t, digest: snapshot.DigestOf(t), owner: owner, made: b.gen.identities}
		if _, err := s.credentials(b.gen.identities); err != nil {
			err = fmt.Errorf("cluster %s: %w", spec.Name, err)
			if place := placeOf(spec.Sources, b.origins); place != "" {
				err = fmt.Errorf("%s: %w", place, err)
			}
			b.errs = append(b.errs, err)
			continue
		}
		out[t.Name] = s
	}
	return out
}

// reachable returns set without the endpoints of which the cluster does not
// know how they are spoken to. They are not spoken to in the clear.
func (b *builder) reachable(c *cluster, set snapshot.List[snapshot.Endpoint]) snapshot.List[snapshot.Endpoint] {
	lost := func(e snapshot.Endpoint) bool { return e.Transport != "" && c.transports[e.Transport] == nil }
	for _, e := range set.All() {
		if lost(e) {
			b.log.Error("endpoints left out: their cluster has no such transport", "cluster", c.name, "transport", e.Transport)
			return snapshot.ListOf(slices.DeleteFunc(set.Slice(), lost)...)
		}
	}
	return set
}
