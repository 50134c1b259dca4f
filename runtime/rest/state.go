package rest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// state is a snapshot and the indexes that requests are answered from. It does
// not change once it is built.
type state struct {
	snapshot snapshot.Snapshot
	// revision counts the versions that were committed; it is the
	// resourceVersion of lists.
	revision uint64
	objects  []*object // sorted by document ID
	kinds    map[kind]*collection
	whole    func() whole    // the answer of /meshc/snapshot
	plugins  func() []plugin // the filters of the snapshot
}

// kind names a sort of documents.
type kind struct{ dialect, kind string }

// collection is the documents of one kind. States share it while none of
// these changes.
type collection struct {
	objects []*object // sorted by document ID
	lists   func() lists
}

// lists are the objects of a collection in the order in which lists show them.
type lists struct {
	all    []*object
	scopes map[string][]*object // by namespace or mesh
}

// newCollection leaves the lists to the first request for one.
func newCollection(dialect string, objects []*object) *collection {
	return &collection{objects, sync.OnceValue(func() lists {
		l := lists{all: slices.SortedFunc(slices.Values(objects), order(dialect)), scopes: map[string][]*object{}}
		for _, o := range l.all {
			l.scopes[o.scope()] = append(l.scopes[o.scope()], o)
		}
		return l
	})}
}

// object is a document and what this view knows of it beyond the document.
type object struct {
	snapshot.Document
	uid      string
	revision uint64    // of the commit that brought this content
	created  time.Time // when a document of this ID was first seen
	modified time.Time // when this content was first seen
	content  content
}

func (o *object) kind() kind { return kind{o.Dialect, o.Kind} }

// scope is the namespace or mesh; empty for kinds that have neither.
func (o *object) scope() string { return o.Namespace + o.Mesh }

// defaultMesh always exists, with or without a document.
var defaultMesh = snapshot.Seal(snapshot.Snapshot{Documents: snapshot.ListOf(snapshot.Document{
	ID: "kuma/Mesh//default", Dialect: "kuma", Kind: "Mesh", Name: "default", JSON: `{"name":"default","type":"Mesh"}`,
})}).Documents.At(0)

// newState indexes next. What did not change since before, which is nil at
// first, is carried over.
func newState(ctx context.Context, before *state, next snapshot.Snapshot, now time.Time) (*state, error) {
	if before == nil {
		before = &state{}
	}
	st := &state{
		snapshot: next, revision: before.revision, whole: wholeOf(next), plugins: pluginsOf(next),
		objects: make([]*object, 0, next.Documents.Len()+1), kinds: map[kind]*collection{},
	}
	if next.Version != before.snapshot.Version {
		st.revision++
	}
	var fresh []*object
	rest := before.objects
	for d := range withDefaultMesh(next.Documents) {
		for len(rest) > 0 && rest[0].ID < d.ID {
			rest = rest[1:]
		}
		known := len(rest) > 0 && rest[0].ID == d.ID
		if known && rest[0].Digest == d.Digest {
			st.objects = append(st.objects, rest[0])
			continue
		}
		o := &object{Document: withoutData(d), uid: uid(d.ID), revision: st.revision, created: now, modified: now}
		if known {
			o.created = rest[0].created
		}
		st.objects, fresh = append(st.objects, o), append(fresh, o)
	}
	if err := makeContents(ctx, fresh); err != nil {
		return nil, err
	}
	objects := map[kind][]*object{}
	for rest := st.objects; len(rest) > 0; { // those of a kind stand together, as their IDs do
		k, n := rest[0].kind(), 1
		for n < len(rest) && rest[n].kind() == k {
			n++
		}
		objects[k] = append(objects[k], rest[:n]...)
		rest = rest[n:]
	}
	for k, objects := range objects {
		if c := before.kinds[k]; c != nil && slices.Equal(c.objects, objects) {
			st.kinds[k] = c
		} else {
			st.kinds[k] = newCollection(k.dialect, objects)
		}
	}
	return st, nil
}

// withDefaultMesh iterates over documents, which are sorted by ID, and the
// default mesh in its place where they lack it.
func withDefaultMesh(documents snapshot.List[snapshot.Document]) iter.Seq[snapshot.Document] {
	return func(yield func(snapshot.Document) bool) {
		missing := true
		for _, d := range documents.All() {
			if missing && d.ID >= defaultMesh.ID {
				missing = false
				if d.ID != defaultMesh.ID && !yield(defaultMesh) {
					return
				}
			}
			if !yield(d) {
				return
			}
		}
		if missing {
			yield(defaultMesh)
		}
	}
}

// makeContents makes the contents of objects, on all processors: at the start
// these are all there are.
func makeContents(ctx context.Context, objects []*object) error {
	const least = 256 // objects for which one goroutine more is worth it
	var workers sync.WaitGroup
	parts := slices.Collect(slices.Chunk(objects, max(least, len(objects)/runtime.GOMAXPROCS(0)+1)))
	errs := make([]error, len(parts))
	for i, part := range parts {
		workers.Go(func() {
			for _, o := range part {
				var err error
				if o.content, err = contentOf(o); err != nil {
					errs[i] = fmt.Errorf("document %s: %w", o.ID, err)
				}
				if err != nil || ctx.Err() != nil {
					return
				}
			}
		})
	}
	workers.Wait()
	return cmp.Or(ctx.Err(), errors.Join(errs...))
}

// order is how a dialect's lists are sorted. The API server goes by the bytes
// of NAMESPACE/NAME as one key, as IDs do; the others by scope, then name.
func order(dialect string) func(a, b *object) int {
	if dialect == "kubernetes" {
		return func(a, b *object) int { return cmp.Compare(a.ID, b.ID) }
	}
	return func(a, b *object) int { return cmp.Or(cmp.Compare(a.scope(), b.scope()), cmp.Compare(a.Name, b.Name)) }
}

// list returns the objects of a kind: those of one scope, or all where scope is empty.
func (st *state) list(dialect, kindName, scope string) []*object {
	c := st.kinds[kind{dialect, kindName}]
	switch {
	case c == nil:
		return nil
	case scope == "":
		return c.lists().all
	}
	return c.lists().scopes[scope]
}

// get returns one object, or nil. scope is empty for a kind without scopes.
func (st *state) get(dialect, kindName, scope, name string) *object {
	id := dialect + "/" + kindName + "/" + scope + "/" + name
	i, ok := slices.BinarySearchFunc(st.objects, id, func(o *object, id string) int { return cmp.Compare(o.ID, id) })
	if !ok || st.objects[i].scope() != scope || st.objects[i].Name != name { // a slash in scope or name
		return nil
	}
	return st.objects[i]
}
