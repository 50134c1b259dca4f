package snapshot

import "slices"

// Changes names what differs between two snapshots, sorted: "+cluster web" was
// added, "-cluster web" removed, "~endpoints web" changed.
func Changes(old, new Snapshot) []string {
	var out []string
	out = changes(out, "cluster ", old.Clusters, new.Clusters, func(c Cluster) (string, Digest) { return c.Name, c.Digest })
	out = changes(out, "endpoints ", old.Endpoints, new.Endpoints, func(e EndpointSet) (string, Digest) { return e.Name, e.Digest })
	out = changes(out, "document ", old.Documents, new.Documents, func(d Document) (string, Digest) { return d.ID, d.Digest })
	out = changes(out, "proxy ", old.Proxies, new.Proxies, func(p Proxy) (string, Digest) { return p.ID, p.Digest })
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
