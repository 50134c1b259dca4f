package proxy

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
)

// marks installs filters that add their name to the request's header mark.
func marks(w *world, filters ...snapshot.Filter) func(*Config) {
	w.filters = append(w.filters, filters...)
	return func(c *Config) {
		c.NewFilter = func(_ context.Context, f snapshot.Filter, _ bool, _ string) (filter.Factory, error) {
			return testFactory{func(s filter.Stream) filter.HTTP {
				return scripted{Stream: s, onRequest: func(_ filter.Stream, h *filter.Headers, _ bool) filter.HeadersStatus {
					h.Set("mark", h.Value("mark")+f.Name)
					if f.Config != "" {
						h.Set(":path", f.Config)
						s.ClearRoute()
					}
					return filter.HeadersContinue
				}}
			}, func() {}}, nil
		}
	}
}

// echoMark is a backend that says which filters a request has passed.
func echoMark(t *testing.T) string {
	return backend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte(r.Header.Get("Mark") + " " + r.URL.Path))
	})
}

func TestFiltersOfRoutes(t *testing.T) {
	w := &world{}
	w.cluster("a", echoMark(t))
	w.vhosts = append(w.vhosts, snapshot.VirtualHost{
		Name: "x", Domains: snapshot.ListOf("x"), Routes: snapshot.ListOf(
			snapshot.Route{Name: "one", PathPrefix: "/one", Targets: targetList([]string{"a"}), Filters: snapshot.ListOf("k/P")},
			snapshot.Route{Name: "two", PathPrefix: "/two", Targets: targetList([]string{"a"}), Filters: snapshot.ListOf("k/P", "k/Q")},
			snapshot.Route{Name: "none", PathPrefix: "/", Targets: targetList([]string{"a"})},
		),
	})
	p := run(t, w, marks(w,
		snapshot.Filter{Name: "Q", Kind: "k", PerRoute: true},
		snapshot.Filter{Name: "A", Kind: "k"},
		snapshot.Filter{Name: "P", Kind: "k", PerRoute: true},
		snapshot.Filter{Name: "B", Kind: "k"},
	))
	check := func(path, want string) {
		t.Helper()
		if _, body := get(t, p, "x", path); body != want+" "+path {
			t.Errorf("%s passed %q, want %q", path, body, want)
		}
	}
	check("/one", "APB")
	check("/two", "QAPB")
	check("/", "AB")
	if r, _ := get(t, p, "nobody", "/"); r.StatusCode != 404 {
		t.Errorf("no route: %d", r.StatusCode)
	}
	// Routes are carried over to the next generation, filters are made anew.
	w.cluster("b", echoMark(t))
	publish(t, p, w)
	check("/two", "QAPB")
}

// Which filters run is settled by the route that the request has when it
// arrives; where it goes, by what they make of it.
func TestFiltersOfTheInitialRoute(t *testing.T) {
	w := &world{}
	w.cluster("a", echoMark(t))
	w.vhosts = append(w.vhosts, snapshot.VirtualHost{
		Name: "x", Domains: snapshot.ListOf("x"), Routes: snapshot.ListOf(
			snapshot.Route{Name: "one", PathPrefix: "/one", Targets: targetList([]string{"a"}), Filters: snapshot.ListOf("k/P")},
			snapshot.Route{Name: "none", PathPrefix: "/other", Targets: targetList([]string{"a"})},
		),
	})
	p := run(t, w, marks(w, snapshot.Filter{Name: "P", Kind: "k", PerRoute: true, Config: "/other"}))
	if _, body := get(t, p, "x", "/one"); body != "P /other" {
		t.Errorf("%q", body)
	}
}

func TestFilterConditions(t *testing.T) {
	w := &world{}
	w.cluster("a", echoMark(t))
	w.host("x", "a")
	p := run(t, w, marks(w,
		snapshot.Filter{Name: "P", Kind: "k", Match: snapshot.FilterMatch{PathPrefix: "/in"}},
		snapshot.Filter{Name: "M", Kind: "k", Match: snapshot.FilterMatch{Methods: snapshot.ListOf("PUT", "GET")}},
		snapshot.Filter{Name: "N", Kind: "k", Match: snapshot.FilterMatch{Methods: snapshot.ListOf("PUT")}},
	))
	if _, body := get(t, p, "x", "/inside"); body != "PM /inside" {
		t.Errorf("%q", body)
	}
	if _, body := get(t, p, "x", "/"); body != "M /" {
		t.Errorf("%q", body)
	}
}

func TestNewFilterGetsItsBlob(t *testing.T) {
	w := &world{}
	w.cluster("a", echoMark(t))
	w.host("x", "a")
	data := "the module"
	digest := snapshot.Digest(sha256.Sum256([]byte(data)))
	w.blobs = []snapshot.Blob{{Digest: digest, Data: data}}
	w.filters = []snapshot.Filter{{Name: "default/one", Kind: "k", Blob: digest, Sources: snapshot.ListOf("doc")}}
	var got string
	change := func(c *Config) {
		c.NewFilter = func(_ context.Context, f snapshot.Filter, tcp bool, blob string) (filter.Factory, error) {
			if tcp {
				t.Error("an HTTP listener's filter is made for TCP")
			}
			got = blob
			if f.Config != "" {
				return nil, errors.New(f.Config)
			}
			return testFactory{func(filter.Stream) filter.HTTP { return nil }, func() {}}, nil
		}
	}
	p := run(t, w, change)
	if got != data {
		t.Errorf("blob %q", got)
	}
	refused := func(want string) {
		t.Helper()
		s := w.snapshot()
		s.Origins = snapshot.ListOf(snapshot.Origin{ID: "doc", File: "plugin.yaml", Line: 3, Column: 1})
		_, _, err := p.Prepare(t.Context(), s)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	w.filters[0].Config = "no memory"
	refused("plugin.yaml:3:1: filter k default/one: no memory")
	w.filters[0].Config = ""
	w.blobs = nil
	refused("plugin.yaml:3:1: filter k default/one: the snapshot lacks the file")
}

// What is wrong with a filter is said once, however many listeners have it.
func TestRefusedFilterIsNamedOnce(t *testing.T) {
	w := &world{}
	for _, name := range []string{"one", "two", "three"} {
		w.tcp(name)
	}
	w.filters = []snapshot.Filter{{Name: "default/bad", Kind: "k"}}
	tries := 0
	p := run(t, &world{}, func(c *Config) {
		c.NewFilter = func(_ context.Context, _ snapshot.Filter, tcp bool, _ string) (filter.Factory, error) {
			tries++
			return nil, errors.New("broken")
		}
	})
	_, _, err := p.Prepare(t.Context(), w.snapshot())
	if err == nil || strings.Count(err.Error(), "broken") != 2 || tries != 2 {
		t.Errorf("made %d times (once for TCP, once for HTTP): %v", tries, err)
	}
}
