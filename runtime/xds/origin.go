package xds

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/xds/envoy"
)

// maxOrigins bounds the places shown for one refusal.
const maxOrigins = 20

// place puts the place of the first of sources, which are document IDs,
// before err.
func place(snap *snapshot.Snapshot, sources snapshot.List[string], err error) error {
	for _, id := range sources.All() {
		if o, ok := originOf(snap, id); ok {
			return fmt.Errorf("%s:%d:%d: %w", o.File, o.Line, o.Column, err)
		}
	}
	return err
}

// origins returns where the documents behind the resources were written.
// message is what a client said of them; where it quotes a virtual host or a
// cluster of a route, only the documents of that count.
func (s *stream) origins(k kind, resources []*resource, message string) []snapshot.Origin {
	var out []snapshot.Origin
	for _, r := range resources {
		var sources []string
		if r.sources.Len() > 0 {
			sources = r.sources.Slice()
		} else if k == secret {
			sources = s.target.secretSources(s.view, r.name)
		} else {
			sources = sourcesOf(&s.target.snap, s.nodeID, k, r.name, message)
		}
		for _, id := range sources {
			o, ok := originOf(&s.target.snap, id)
			if ok && !slices.Contains(out, o) {
				out = append(out, o)
			}
			if len(out) == maxOrigins {
				return out
			}
		}
	}
	return out
}

// sourcesOf returns the IDs of the documents that a resource came from.
func sourcesOf(snap *snapshot.Snapshot, proxy string, k kind, name, message string) []string {
	switch k {
	case cluster:
		if c, ok := byName(snap.Clusters, name, func(c snapshot.Cluster) string { return c.Name }); ok {
			return c.Sources.Slice()
		}
	case endpoint:
		if e, ok := byName(snap.Endpoints, name, func(e snapshot.EndpointSet) string { return e.Name }); ok {
			return e.Sources.Slice()
		}
	case extension:
		p, _ := byName(snap.Proxies, proxy, func(p snapshot.Proxy) string { return p.ID })
		for _, l := range p.Listeners.All() {
			for _, f := range l.Filters.All() {
				if envoy.ExtensionName(f, l.Protocol == snapshot.TCP) == name {
					return f.Sources.Slice()
				}
			}
		}
	case listener, route:
		p, _ := byName(snap.Proxies, proxy, func(p snapshot.Proxy) string { return p.ID })
		if l, ok := byName(p.Listeners, name, func(l snapshot.Listener) string { return l.Name }); ok {
			return listenerSources(k, l, message)
		}
	}
	return nil
}

// secretSources returns the documents that a secret of the target comes from.
func (g *generation) secretSources(v *view, name string) []string {
	of, _ := g.secret(v, name)
	var out []string
	for _, a := range g.snap.Authorities.All() {
		if of.Mesh != "" && a.Mesh == of.Mesh {
			out = append(out, a.Sources.Slice()...)
		}
	}
	for _, id := range []string{of.Cert, of.Key, of.CA} {
		if s, ok := byName(g.snap.Secrets, id, func(s snapshot.Secret) string { return s.ID }); ok {
			out = append(out, s.Sources.Slice()...)
		}
	}
	return out
}

func listenerSources(k kind, l snapshot.Listener, message string) []string {
	out := l.Sources.Slice()
	if k == listener {
		return out
	}
	var named []string
	for _, h := range l.VirtualHosts.All() {
		if mentions(message, h) {
			named = append(named, h.Sources.Slice()...)
		}
	}
	if named != nil {
		return named
	}
	for _, h := range l.VirtualHosts.All() {
		if len(out) >= maxOrigins {
			break
		}
		out = append(out, h.Sources.Slice()...)
	}
	return out
}

// referrer returns the document IDs of a part of proxy that names the cluster.
func referrer(snap *snapshot.Snapshot, proxy, cluster string) snapshot.List[string] {
	p, _ := byName(snap.Proxies, proxy, func(p snapshot.Proxy) string { return p.ID })
	for _, l := range p.Listeners.All() {
		for _, t := range l.Targets.All() {
			if t.Cluster == cluster {
				return l.Sources
			}
		}
		for _, f := range l.Filters.All() {
			if slices.Contains(f.Clusters.Slice(), cluster) {
				return f.Sources
			}
		}
		for _, h := range l.VirtualHosts.All() {
			for _, r := range h.Routes.All() {
				for _, t := range r.Targets.All() {
					if t.Cluster == cluster {
						return h.Sources
					}
				}
			}
		}
	}
	return snapshot.List[string]{}
}

// mentions reports whether message quotes h, or a domain or a cluster of h.
func mentions(message string, h snapshot.VirtualHost) bool {
	if quotes(message, h.Name) {
		return true
	}
	for _, d := range h.Domains.All() {
		if quotes(message, d) {
			return true
		}
	}
	for _, r := range h.Routes.All() {
		for _, t := range r.Targets.All() {
			if quotes(message, t.Cluster) {
				return true
			}
		}
	}
	return false
}

func originOf(snap *snapshot.Snapshot, id string) (snapshot.Origin, bool) {
	return byName(snap.Origins, id, func(o snapshot.Origin) string { return o.ID })
}

// byName finds an element of a list that is sorted by name.
func byName[T any](l snapshot.List[T], name string, nameOf func(T) string) (T, bool) {
	if i, ok := indexOf(l, name, nameOf); ok {
		return l.At(i), true
	}
	var none T
	return none, false
}

// indexOf finds the index of an element of a list that is sorted by name.
func indexOf[T any](l snapshot.List[T], name string, nameOf func(T) string) (int, bool) {
	lo, hi := 0, l.Len()
	for lo < hi {
		mid := (lo + hi) / 2
		if strings.Compare(nameOf(l.At(mid)), name) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < l.Len() && nameOf(l.At(lo)) == name
}
