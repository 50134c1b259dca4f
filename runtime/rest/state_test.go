package rest

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// TestCarriedStateEqualsOneMadeAlone indexes random sets of documents one
// after the other, and compares each index with one made of nothing before.
func TestCarriedStateEqualsOneMadeAlone(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	documents := map[string]snapshot.Document{}
	var before *state
	carried := 0
	for round := range 300 {
		for range r.IntN(4) {
			d := randomDocument(r)
			documents[d.ID] = d
			if r.IntN(3) == 0 {
				delete(documents, d.ID)
			}
		}
		all := slices.SortedFunc(maps.Values(documents), func(a, b snapshot.Document) int { return cmp.Compare(a.ID, b.ID) })
		next := snapshot.Seal(snapshot.Snapshot{Documents: snapshot.ListOf(all...)})
		st, err := newState(t.Context(), before, next, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		alone, err := newState(t.Context(), nil, next, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if got, want := picture(st), picture(alone); got != want {
			t.Fatalf("round %d: carried:\n%s\nalone:\n%s", round, got, want)
		}
		for _, d := range all {
			if o := st.get(d.Dialect, d.Kind, d.Namespace+d.Mesh, d.Name); o == nil || o.Digest != next.Documents.At(slices.Index(all, d)).Digest {
				t.Fatalf("round %d: %s is not found, or another", round, d.ID)
			}
		}
		for k, c := range st.kinds {
			if before != nil && before.kinds[k] == c {
				carried++
			}
		}
		before = st
	}
	if carried == 0 {
		t.Error("no collection was ever carried over: the test proves nothing")
	}
}

// randomDocument makes scopes that sort otherwise alone than with a slash
// after them.
func randomDocument(r *rand.Rand) snapshot.Document {
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	scope, name := pick("a", "a-b", "b"), pick("default", "x", "x-y", "z")
	d := snapshot.Document{Name: name, JSON: fmt.Sprintf(`{"n":%d}`, r.IntN(3))}
	switch d.Dialect = pick("kubernetes", "kuma", "kong"); d.Dialect {
	case "kubernetes":
		d.Kind, d.Namespace = pick("Service", "Endpoints"), scope
	case "kuma":
		d.Kind, d.Mesh = pick("Dataplane", "Secret"), scope
		if r.IntN(4) == 0 {
			d.Kind, d.Mesh = "Mesh", ""
		}
	case "kong":
		d.Kind = "Service"
	}
	d.ID = d.Dialect + "/" + d.Kind + "/" + d.Namespace + d.Mesh + "/" + d.Name
	return d
}

// picture writes down all that st lists.
func picture(st *state) string {
	var b strings.Builder
	for _, k := range []kind{
		{"kubernetes", "Service"}, {"kubernetes", "Endpoints"}, {"kuma", "Dataplane"}, {"kuma", "Secret"}, {"kuma", "Mesh"}, {"kong", "Service"},
	} {
		for _, scope := range []string{"", "a", "a-b", "b"} {
			fmt.Fprintf(&b, "%v %q:", k, scope)
			for _, o := range st.list(k.dialect, k.kind, scope) {
				fmt.Fprintf(&b, " %s %s", o.ID, o.JSON)
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// BenchmarkPrepare indexes 20,000 documents: all new, or one of them changed.
func BenchmarkPrepare(b *testing.B) {
	documents := make([]snapshot.Document, 20_000)
	for i := range documents {
		kind, name := []string{"Endpoints", "Service"}[i/10_000], fmt.Sprintf("s%05d", i%10_000)
		documents[i] = snapshot.Document{
			ID: "kubernetes/" + kind + "/shop/" + name, Dialect: "kubernetes", Kind: kind, Namespace: "shop", Name: name,
			JSON: `{"kind":"` + kind + `","metadata":{"name":"` + name + `","namespace":"shop"},"spec":{"ports":[{"name":"http","port":80}]}}`,
		}
	}
	snapshots := make([]snapshot.Snapshot, 2)
	snapshots[0] = snapshot.Seal(snapshot.Snapshot{Documents: snapshot.ListOf(documents...)})
	documents[5000].JSON = "{}"
	snapshots[1] = snapshot.Seal(snapshot.Snapshot{Documents: snapshot.ListOf(documents...)})
	for _, name := range []string{"all", "one"} {
		b.Run(name, func(b *testing.B) {
			next := func(before *state, n int) *state {
				st, err := newState(b.Context(), before, snapshots[n%2], time.Now())
				if err != nil {
					b.Fatal(err)
				}
				return st
			}
			before := next(nil, 1)
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if name == "one" {
					before = next(before, n)
				} else {
					next(nil, n)
				}
			}
		})
	}
}
