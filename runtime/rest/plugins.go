package rest

import (
	"cmp"
	"net/http"
	"slices"
	"sync"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/status"
)

// plugin is a filter of the snapshot, wherever it runs. Its configuration and
// environment are shown to nobody.
type plugin struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
	// Blob is the file that it runs; nil for none.
	Blob     *blob             `json:"module,omitempty"`
	Attached []attachment      `json:"attached"`
	Calls    []string          `json:"calls"` // clusters that it may call
	Origins  []snapshot.Origin `json:"origins"`
	// Faults counts what has gone wrong since the process started, by reason;
	// Last is nil where nothing has.
	Faults map[string]uint64 `json:"faults"`
	Last   *status.Fault     `json:"last,omitempty"`
}

type blob struct {
	Digest snapshot.Digest `json:"sha256"`
	Size   int             `json:"size"` // in bytes
}

// attachment is a listener that a plugin runs on.
type attachment struct {
	Proxy    string            `json:"proxy"`
	Listener string            `json:"listener"`
	Protocol snapshot.Protocol `json:"protocol"`
	// Routes is how many routes of the listener it is limited to; nil where it
	// runs on all that arrives.
	Routes *int `json:"routes,omitempty"`
}

// pluginsOf returns a function that lists the filters of s, by name, when it is
// first called.
func pluginsOf(s snapshot.Snapshot) func() []plugin {
	return sync.OnceValue(func() []plugin {
		type key struct{ kind, name string }
		known := map[key]*plugin{}
		for _, p := range s.Proxies.All() {
			for _, l := range p.Listeners.All() {
				var routes map[string]int // by the filter's Ref
				for _, f := range l.Filters.All() {
					a := attachment{Proxy: p.ID, Listener: l.Name, Protocol: l.Protocol}
					if f.PerRoute {
						if routes == nil {
							routes = countRoutes(l)
						}
						a.Routes = new(routes[f.Ref()])
					}
					at := known[key{f.Kind, f.Name}]
					if at == nil {
						at = newPlugin(s, f)
						known[key{f.Kind, f.Name}] = at
					}
					at.Attached = append(at.Attached, a)
				}
			}
		}
		out := make([]plugin, 0, len(known))
		for _, p := range known {
			out = append(out, *p)
		}
		slices.SortFunc(out, func(a, b plugin) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind)) })
		return out
	})
}

// countRoutes returns how many routes of l name each filter.
func countRoutes(l snapshot.Listener) map[string]int {
	n := map[string]int{}
	for _, h := range l.VirtualHosts.All() {
		for _, r := range h.Routes.All() {
			for _, name := range r.Filters.All() {
				n[name]++
			}
		}
	}
	return n
}

func newPlugin(s snapshot.Snapshot, f snapshot.Filter) *plugin {
	p := &plugin{Name: f.Name, Kind: f.Kind, Calls: append([]string{}, f.Clusters.Slice()...), Origins: []snapshot.Origin{}}
	for _, b := range s.Blobs.All() {
		if b.Digest == f.Blob {
			p.Blob = &blob{b.Digest, len(b.Data)}
		}
	}
	for _, o := range s.Origins.All() {
		if slices.Contains(f.Sources.Slice(), o.ID) {
			p.Origins = append(p.Origins, o)
		}
	}
	return p
}

// plugins shows the filters of the snapshot, and what has gone wrong in them.
func (s *Server) plugins(w http.ResponseWriter, _ *http.Request) {
	st := s.state.Load()
	if st == nil {
		sendText(w, http.StatusServiceUnavailable, "no snapshot serves yet\n")
		return
	}
	list := slices.Clone(st.plugins())
	failed := s.Board.Plugins() // many plugins never do
	for i := range list {
		p := &list[i]
		p.Faults = map[string]uint64{}
		if n := slices.IndexFunc(failed, func(f status.Plugin) bool { return f.Kind == p.Kind && f.Name == p.Name }); n >= 0 {
			p.Faults, p.Last = failed[n].Faults, &failed[n].Last
		}
	}
	send(w, http.StatusOK, typeJSON, marshal(list))
}

// hiddenConfig stands for the configuration of a filter, and for a raw resource.
const hiddenConfig = "[redacted]"

// withoutConfigs returns proxies without the configurations of their filters
// and without their raw resources, which may be an Envoy's keys. Their digests
// stay.
func withoutConfigs(proxies snapshot.List[snapshot.Proxy]) snapshot.List[snapshot.Proxy] {
	return each(proxies, func(p snapshot.Proxy) snapshot.Proxy {
		p.Listeners = each(p.Listeners, func(l snapshot.Listener) snapshot.Listener {
			l.Filters = each(l.Filters, func(f snapshot.Filter) snapshot.Filter {
				f.Config = hiddenConfig
				return f
			})
			return l
		})
		p.Raw = each(p.Raw, func(r snapshot.RawResource) snapshot.RawResource {
			r.JSON = hiddenConfig
			return r
		})
		return p
	})
}

func each[T any](l snapshot.List[T], change func(T) T) snapshot.List[T] {
	return snapshot.ListOfFunc(l.Len(), func(i int) T { return change(l.At(i)) })
}
