package snapshot

import (
	"maps"
	"slices"
)

// Changes names what differs between two snapshots, sorted: "+cluster web" was
// added, "-cluster web" removed, "~endpoints web" changed. "plugin default/auth"
// is the filter of that name, wherever it runs: what it does, not where.
func Changes(old, new Snapshot) []string {
	var out []string
	out = changes(out, "cluster ", old.Clusters, new.Clusters, func(c Cluster) (string, Digest) { return c.Name, c.Digest })
	out = changes(out, "endpoints ", old.Endpoints, new.Endpoints, func(e EndpointSet) (string, Digest) { return e.Name, e.Digest })
	out = changes(out, "authority ", old.Authorities, new.Authorities, func(a Authority) (string, Digest) { return a.ID, a.Digest })
	out = changes(out, "secret ", old.Secrets, new.Secrets, func(x Secret) (string, Digest) { return x.ID, x.Digest })
	out = changes(out, "document ", old.Documents, new.Documents, func(d Document) (string, Digest) { return d.ID, d.Digest })
	proxies := len(out)
	out = changes(out, "proxy ", old.Proxies, new.Proxies, func(p Proxy) (string, Digest) { return p.ID, p.Digest })
	if len(out) > proxies { // filters are parts of proxies
		out = changes(out, "plugin ", pluginsOf(old), pluginsOf(new), func(p plugin) (string, Digest) { return p.name, p.digest })
	}
	slices.SortFunc(out, func(a, b string) int {
		if a[1:] != b[1:] {
			if a[1:] < b[1:] {
				return -1
			}
			return 1
		}
		return 0
	})
	return out
}

// changes walks two lists that are sorted by name side by side.
func changes[T any](out []string, what string, old, new List[T], key func(T) (string, Digest)) []string {
	i, j := 0, 0
	for i < old.Len() || j < new.Len() {
		var o, n string
		var od, nd Digest
		if i < old.Len() {
			o, od = key(old.items[i])
		}
		if j < new.Len() {
			n, nd = key(new.items[j])
		}
		switch {
		case j == new.Len() || i < old.Len() && o < n:
			out = append(out, "-"+what+o)
			i++
		case i == old.Len() || n < o:
			out = append(out, "+"+what+n)
			j++
		default:
			if od != nd {
				out = append(out, "~"+what+n)
			}
			i, j = i+1, j+1
		}
	}
	return out
}

// plugin is a filter as it is the same on all its listeners.
type plugin struct {
	name   string
	digest Digest
}

// pluginsOf returns the filters of s by name, each once.
func pluginsOf(s Snapshot) List[plugin] {
	first := map[string]*Filter{}
	for _, f := range s.filters() {
		if first[f.Name] == nil {
			first[f.Name] = f
		}
	}
	out := make([]plugin, 0, len(first))
	for _, name := range slices.Sorted(maps.Keys(first)) {
		f := *first[name]
		f.PerRoute = false
		out = append(out, plugin{name, DigestOf(f)})
	}
	return List[plugin]{items: out}
}
