package snapshot_test

import (
	"reflect"
	"testing"

	"github.com/meshc/meshc/compiler/snapshot"
)

func TestEveryFieldButOriginsCountsForTheVersion(t *testing.T) {
	base := sample()
	seen := map[snapshot.Digest]string{base.Version: "nothing"}
	fields := 0
	// vary calls change once for every leaf below v, with that leaf altered.
	var vary func(v reflect.Value, path string, check func(path string))
	vary = func(v reflect.Value, path string, check func(string)) {
		switch v.Kind() {
		case reflect.String:
			old := v.String()
			v.SetString(old + "x")
			check(path)
			v.SetString(old)
		case reflect.Uint16, reflect.Uint32:
			old := v.Uint()
			v.SetUint(old + 1)
			check(path)
			v.SetUint(old)
		case reflect.Int, reflect.Int64:
			old := v.Int()
			v.SetInt(old + 1)
			check(path)
			v.SetInt(old)
		case reflect.Bool:
			old := v.Bool()
			v.SetBool(!old)
			check(path)
			v.SetBool(old)
		case reflect.Array: // a digest that refers to another part
			v.Index(0).SetUint(v.Index(0).Uint() ^ 1)
			check(path)
			v.Index(0).SetUint(v.Index(0).Uint() ^ 1)
		case reflect.Struct:
			for i := range v.NumField() {
				if typ := v.Type(); typ.Field(i).IsExported() && typ.Field(i).Name != "Digest" {
					vary(v.Field(i), path+"."+typ.Field(i).Name, check)
				}
			}
		}
	}
	check := func(reseal func() snapshot.Snapshot) func(string) {
		return func(path string) {
			fields++
			s := reseal()
			if other, ok := seen[s.Version]; ok {
				t.Errorf("changing %s gives the same version as changing %s", path, other)
			}
			seen[s.Version] = path
		}
	}
	p, c, e, d := base.Proxies.At(0), base.Clusters.At(0), base.Endpoints.At(0), base.Documents.At(0)
	l := p.Listeners.At(0)
	h := l.VirtualHosts.At(0)
	r, f, tgt, ep := h.Routes.At(0), l.Filters.At(0), l.Targets.At(0), e.Endpoints.At(0)
	proxyOf := func(l snapshot.Listener) snapshot.Snapshot {
		s, q := base, p
		l.Digest, q.Digest = snapshot.Digest{}, snapshot.Digest{}
		q.Listeners = snapshot.ListOf(l)
		s.Proxies = snapshot.ListOf(q)
		return snapshot.Seal(s)
	}
	hostOf := func(h snapshot.VirtualHost) snapshot.Snapshot {
		m := l
		h.Digest = snapshot.Digest{}
		m.VirtualHosts = snapshot.ListOf(h)
		return proxyOf(m)
	}
	vary(reflect.ValueOf(&p).Elem(), "Proxy", check(func() snapshot.Snapshot {
		s, q := base, p
		q.Digest = snapshot.Digest{}
		s.Proxies = snapshot.ListOf(q)
		return snapshot.Seal(s)
	}))
	vary(reflect.ValueOf(&l).Elem(), "Listener", check(func() snapshot.Snapshot { return proxyOf(l) }))
	vary(reflect.ValueOf(&h).Elem(), "VirtualHost", check(func() snapshot.Snapshot { return hostOf(h) }))
	vary(reflect.ValueOf(&r).Elem(), "Route", check(func() snapshot.Snapshot {
		g := h
		g.Routes = snapshot.ListOf(r)
		return hostOf(g)
	}))
	m := r.Headers.At(0)
	vary(reflect.ValueOf(&m).Elem(), "HeaderMatch", check(func() snapshot.Snapshot {
		g, other := h, r
		other.Headers = snapshot.ListOf(m)
		g.Routes = snapshot.ListOf(other)
		return hostOf(g)
	}))
	vary(reflect.ValueOf(&f).Elem(), "Filter", check(func() snapshot.Snapshot {
		m := l
		m.Filters = snapshot.ListOf(f)
		return proxyOf(m)
	}))
	vary(reflect.ValueOf(&tgt).Elem(), "Target", check(func() snapshot.Snapshot {
		m := l
		m.Targets = snapshot.ListOf(tgt)
		return proxyOf(m)
	}))
	vary(reflect.ValueOf(&c).Elem(), "Cluster", check(func() snapshot.Snapshot {
		s, x := base, c
		x.Digest = snapshot.Digest{}
		s.Clusters = snapshot.ListOf(x)
		return snapshot.Seal(s)
	}))
	vary(reflect.ValueOf(&e).Elem(), "EndpointSet", check(func() snapshot.Snapshot {
		s, x := base, e
		x.Digest = snapshot.Digest{}
		s.Endpoints = snapshot.ListOf(x)
		return snapshot.Seal(s)
	}))
	vary(reflect.ValueOf(&ep).Elem(), "Endpoint", check(func() snapshot.Snapshot {
		s, x := base, e
		x.Digest, x.Endpoints = snapshot.Digest{}, snapshot.ListOf(ep)
		s.Endpoints = snapshot.ListOf(x)
		return snapshot.Seal(s)
	}))
	vary(reflect.ValueOf(&d).Elem(), "Document", check(func() snapshot.Snapshot {
		s, x := base, d
		x.Digest = snapshot.Digest{}
		s.Documents = snapshot.ListOf(x)
		return snapshot.Seal(s)
	}))
	b := base.Blobs.At(0)
	vary(reflect.ValueOf(&b).Elem(), "Blob", check(func() snapshot.Snapshot {
		s := base
		s.Blobs = snapshot.ListOf(snapshot.Blob{Data: b.Data})
		return snapshot.Seal(s)
	}))
	if fields < 30 {
		t.Errorf("only %d fields were varied: the test proves nothing", fields)
	}

	s := base
	s.Origins = snapshot.ListOf(snapshot.Origin{ID: "kuma/Dataplane/default/web", File: "elsewhere.yaml", Line: 9, Column: 9})
	if got := snapshot.Seal(s).Version; got != base.Version {
		t.Error("an origin changed the version")
	}
}

func TestSealBelievesDigestsThatAreSet(t *testing.T) {
	s := sample()
	c := s.Clusters.At(0)
	c.Digest = snapshot.Digest{1}
	s.Clusters = snapshot.ListOf(c, snapshot.Cluster{Name: "z"})
	sealed := snapshot.Seal(s)
	if got := sealed.Clusters.At(0).Digest; got != c.Digest {
		t.Errorf("a digest that was set became %v", got)
	}
	if got, want := sealed.Clusters.At(1).Digest, (snapshot.Cluster{Name: "z"}).Sum(); got != want {
		t.Errorf("a missing digest became %v, want %v", got, want)
	}
	if !s.Clusters.At(1).Digest.IsZero() {
		t.Error("Seal changed the snapshot it was given")
	}
}

func TestSealIsTheSameInOneStepOrMany(t *testing.T) {
	s := sample()
	p := s.Proxies.At(0)
	l := p.Listeners.At(0)
	h := l.VirtualHosts.At(0)
	h.Digest, l.Digest, p.Digest = snapshot.Digest{}, snapshot.Digest{}, snapshot.Digest{}
	l.VirtualHosts = snapshot.ListOf(h)
	p.Listeners = snapshot.ListOf(l)
	s.Proxies = snapshot.ListOf(p)
	if got := p.Sum(); got != sample().Proxies.At(0).Digest {
		t.Errorf("Sum of a proxy without inner digests is %v", got)
	}
	if got := snapshot.Seal(s); !reflect.DeepEqual(got, sample()) {
		t.Errorf("sealed %+v", got)
	}
}
