package compiler

import (
	"maps"
	"slices"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
)

// clusters are those that the listeners and filters of one compile refer to.
type clusters struct {
	names []string // of uses, of locals, of calls; one may be there many times
	// uses are those of services. They never change, so the same pointer means
	// the same content.
	uses   []*clusterUse
	locals *localClusters
	calls  []call
	// peers says that behind what endpoints dataplanes listen is told for each
	// service. Else it depends on its mesh alone, by mtls.
	peers bool
	mtls  string // the meshes that have it
	// lowered are the clusters, sorted by name.
	lowered []*lowered
}

// localClusters are those of the applications beside inbounds, each once. They
// never change.
type localClusters struct{ keys []localKey }

// lowerClusters makes every cluster that a listener or filter refers to, sorted by name.
// namesStay reports that they have the names of those of the last compile.
func (b *build) lowerClusters() (all []*lowered, namesStay bool) {
	c, last, order := b.wantedClusters(), b.c.clusters, &b.c.clusterOrder
	b.c.clusters = c
	namesStay = order.order(c.names, strings.Compare)
	// Then what a use became the last time is what it becomes now: the uses come
	// in the same order, one name always stands for one content (newUse), and
	// what peers says of a service has not changed.
	same := namesStay && len(c.uses) == len(last.uses) && c.mtls == last.mtls && !c.peers && !last.peers
	if same {
		c.lowered = slices.Clone(last.lowered)
		for i, u := range c.uses {
			if u != last.uses[i] {
				b.lowerUse(u, &c.lowered[order.places[i]])
			}
		}
	} else {
		known := make(map[string]*lowered, len(last.lowered))
		for _, l := range last.lowered {
			known[l.cluster.Name] = l
		}
		c.lowered = make([]*lowered, order.length)
		for i, u := range c.uses {
			if at := &c.lowered[order.places[i]]; *at == nil { // else it is there already
				*at = known[u.name]
				b.lowerUse(u, at)
			}
		}
		for i, name := range c.names[len(c.uses):] {
			c.lowered[order.places[len(c.uses)+i]] = known[name]
		}
	}
	if !same || c.locals != last.locals {
		for i, k := range c.locals.keys {
			if at := &c.lowered[order.places[len(c.uses)+i]]; *at == nil || (*at).from != k {
				*at = lowerLocal(k)
				(*at).from = k
			}
		}
	}
	for i, x := range c.calls {
		at := &c.lowered[order.places[len(c.uses)+len(c.locals.keys)+i]]
		if from := strings.Join(x.sources.Slice(), "\n"); *at == nil || (*at).from != from {
			*at = lowerCall(callName(x.hostPort), x)
			(*at).from = from
		}
	}
	return c.lowered, namesStay
}

// lowerUse makes at the cluster of u, if it is not that already.
func (b *build) lowerUse(u *clusterUse, at **lowered) {
	from := clusterInputs{u.service, u.treatment, u.from, noPeers}
	if !u.through {
		from.peers = b.peersOf(u.service)
	}
	if l := *at; l == nil || l.from != from {
		*at = lowerCluster(u, from.peers)
		(*at).from = from
	}
}

// wantedClusters finds the clusters that are wanted, without making them.
func (b *build) wantedClusters() *clusters {
	last := b.c.clusters
	c := &clusters{uses: make([]*clusterUse, 0, len(last.uses))}
	use := func(u *clusterUse) { c.uses = append(c.uses, u) }
	for _, h := range b.hosts {
		h.eachUse(use)
	}
	for _, r := range b.gatewayRoutes {
		if to := b.targets[r.service]; to != nil {
			to.eachUse(use)
		}
	}
	for _, h := range b.routeHosts {
		if h.owner != nil {
			h.owner.eachUse(use)
		}
	}
	for _, s := range b.streams {
		s.eachUse(use)
	}
	for i := range b.node {
		if u, ok := b.nodeUse(&b.node[i]); ok {
			use(&u)
		}
	}
	for _, p := range b.plugins {
		for _, name := range p.body.Conf.Services {
			if s := b.service(serviceKey{p.doc.Mesh, name}); s != nil { // else reported
				u := newUse(s, nil, place{}, treatment{})
				use(&u)
			}
		}
	}
	for _, v := range b.views {
		c.uses = append(c.uses, v.clusters...)
		if !v.ingress {
			continue
		}
		for i := range v.listeners {
			for j := range v.listeners[i].entries {
				use(&v.listeners[i].entries[j].clusterUse)
			}
		}
	}
	c.locals = b.localClusters(last.locals)
	c.calls = b.uniteCalls()
	c.mtls = strings.Join(slices.Sorted(maps.Keys(b.mtls)), " ")
	if len(b.mtls) > 0 {
		for _, s := range b.services {
			c.peers = c.peers || s.dialect != schema.Kuma
		}
	}
	c.names = make([]string, 0, len(c.uses)+len(c.locals.keys)+len(c.calls))
	for i, u := range c.uses {
		if i < len(last.uses) && last.uses[i] == u {
			c.names = append(c.names, last.names[i])
		} else {
			c.names = append(c.names, u.name)
		}
	}
	for i := range c.locals.keys {
		c.names = append(c.names, c.locals.keys[i].name)
	}
	for i := range c.calls {
		c.names = append(c.names, callName(c.calls[i].hostPort))
	}
	return c
}

// localClusters returns those of all views; last, if that is the same.
func (b *build) localClusters(last *localClusters) *localClusters {
	if slices.EqualFunc(b.views, b.c.views, func(x, y *view) bool { return x == y || slices.Equal(x.locals, y.locals) }) {
		return last
	}
	out := &localClusters{}
	known := map[string]int{} // their index by name
	for _, v := range b.views {
		for _, k := range v.locals {
			if at, ok := known[k.name]; !ok {
				known[k.name] = len(out.keys)
				out.keys = append(out.keys, k)
			} else if k.protocol == snapshot.HTTP {
				out.keys[at].protocol = snapshot.HTTP
			}
		}
	}
	return out
}

// noteClusters remembers the clusters that the listeners of v refer to, but for
// those of an ingress.
func (v *view) noteClusters() {
	for i := range v.listeners {
		l := &v.listeners[i]
		l.eachUse(func(u *clusterUse) { v.clusters = append(v.clusters, u) })
		if l.hasLocal() {
			v.locals = append(v.locals, localKey{l.local, v.doc, l.protocol})
		}
	}
}

// oneOfEachSet returns a cluster for each set of endpoints, in the order of the
// sets' names. Clusters of the same names have sets of the same names.
func (b *build) oneOfEachSet(clusters []*lowered, namesStay bool) []*lowered {
	order := &b.c.endpointOrder
	if !namesStay {
		names := make([]string, len(clusters))
		for i, l := range clusters {
			names[i] = l.endpoints.Name
		}
		order.order(names, strings.Compare)
	}
	out := make([]*lowered, order.length)
	for i, l := range clusters {
		if at := &out[order.places[i]]; *at == nil {
			*at = l
		}
	}
	return out
}
