package proxy

import (
	"cmp"
	"net/netip"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// replace makes anew the clusters of the previous generation that changed.
func (b *builder) replace() {
	for _, old := range b.previous.clusters {
		spec := b.specs.find(old.name)
		set := b.sets.find(cmp.Or(spec.EndpointsName(), old.name))
		if old.spec == spec.Digest && old.set == set.Digest {
			continue
		}
		if keyOf(spec, old.name, old.owner) != old.key {
			b.replaced[old], b.changed = moved, true
			continue
		}
		c := b.newCluster(old.name, old.owner, spec, set, old.state)
		b.replaced[old] = c
		b.changed = b.changed || c.service != old.service
	}
}

// cluster returns the running form of a cluster, as proxy uses it. A snapshot
// may lack it: then it has no endpoint.
func (b *builder) cluster(name, proxy string) *cluster {
	key, owner := name, ""
	if b.meshes {
		if key = keyOf(b.specs.find(name), name, proxy); key != name {
			owner = proxy
		}
	}
	if c := b.made[key]; c != nil {
		return c
	}
	if i, ok := b.previous.cluster(key); ok {
		return b.previous.clusters[i] // as it was, or it would be in made
	}
	spec := b.specs.find(name)
	c := b.newCluster(name, owner, spec, b.sets.find(cmp.Or(spec.EndpointsName(), name)), newClusterState())
	c.fresh = true
	if former := b.former[c.setName]; former != nil && former.key != key {
		b.heirs = append(b.heirs, heir{c, former})
	}
	return c
}

// newCluster makes a cluster; owner is the proxy whose certificate is shown on
// its connections, "" where none is.
func (b *builder) newCluster(name, owner string, spec snapshot.Cluster, set snapshot.EndpointSet, state *clusterState) *cluster {
	c := &cluster{
		key: keyOf(spec, name, owner), owner: owner, transports: b.transports(spec, owner),
		name: name, service: cmp.Or(spec.Service, name), balancing: newBalancing(spec), outliers: spec.Outliers, errors: spec.Errors.Slice(),
		connectTimeout: cmp.Or(time.Duration(spec.ConnectTimeout), 5*time.Second), maxDuration: time.Duration(spec.MaxDuration),
		writeTimeout: time.Duration(spec.WriteTimeout), udp: spec.Protocol == snapshot.UDP,
		http2: spec.HTTP2, state: state, spec: spec.Digest, set: set.Digest, setName: cmp.Or(spec.EndpointsName(), name),
		thresholds: spec.Thresholds, idleTimeout: or(spec.IdleTimeout, b.cfg.UpstreamIdleTimeout),
	}
	var err error
	if c.checks, err = newChecks(spec); err != nil {
		b.log.Error("cluster is not checked", "cluster", name, "error", err)
	}
	if len(c.checks) > 0 {
		c.checksDigest = snapshot.DigestOf(spec.Checks)
	}
	if spec.Discovery == snapshot.DNS {
		c.dns = newDNSCluster(b.Proxy, c, b.reachable(c, set.Endpoints))
	} else {
		b.populate(c, b.reachable(c, set.Endpoints))
	}
	b.made[c.key] = c
	return c
}

// populate makes the endpoints of c, with what its state knows of them.
func (b *builder) populate(c *cluster, set snapshot.List[snapshot.Endpoint]) {
	c.endpoints = make([]*endpoint, 0, set.Len())
	for _, e := range set.All() {
		ip, err := netip.ParseAddr(e.Address)
		if err != nil {
			b.log.Error("endpoint is not an IP address", "cluster", c.name, "address", e.Address)
			continue
		}
		address := netip.AddrPortFrom(ip, e.Port)
		pl, over := c.state.pool(address), c.transports[e.Transport]
		if pl == nil || !pl.secured.same(over) {
			pl = newPool(b.Proxy, address, c.state, over, pl)
		}
		c.endpoints = append(c.endpoints, newEndpoint(pl, e))
	}
}
