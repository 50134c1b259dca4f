package snapshot

import (
	"slices"
	"testing"
)

func TestChanges(t *testing.T) {
	clusters := func(names ...string) List[Cluster] {
		var cs []Cluster
		for _, n := range names {
			// The part behind the first letter stands for the content.
			cs = append(cs, Cluster{Name: n[:1], Service: n[1:]}.seal())
		}
		return ListOf(cs...)
	}
	old := Snapshot{Clusters: clusters("a1", "b1", "c1", "e1")}
	new := Snapshot{Clusters: clusters("b1", "c2", "d1", "e1", "f1")}
	want := []string{"-cluster a", "~cluster c", "+cluster d", "+cluster f"}
	if got := Changes(old, new); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := Changes(new, new); len(got) != 0 {
		t.Errorf("nothing changed, got %q", got)
	}
}

func TestChangesNamePlugins(t *testing.T) {
	with := func(filters ...Filter) Snapshot {
		l := Listener{Name: "gateway", Filters: ListOf(filters...)}
		return Seal(Snapshot{Proxies: ListOf(Proxy{ID: "gateway", Listeners: ListOf(l)})})
	}
	auth, log := Filter{Name: "default/auth", Config: "1"}, Filter{Name: "default/log"}
	changed, routed := auth, auth
	changed.Config, routed.PerRoute = "2", true
	for _, tc := range []struct {
		old, new Snapshot
		want     []string
	}{
		{with(), with(auth), []string{"+plugin default/auth", "~proxy gateway"}},
		{with(auth, log), with(changed), []string{"~plugin default/auth", "-plugin default/log", "~proxy gateway"}},
		{with(auth), with(routed), []string{"~proxy gateway"}},
	} {
		if got := Changes(tc.old, tc.new); !slices.Equal(got, tc.want) {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
}
