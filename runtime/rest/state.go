package rest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// state is a snapshot and the indexes that requests are answered from. It does
// not change once it is built.
type state struct {
	snapshot snapshot.Snapshot // without the data of secrets
	// revision counts the versions that were committed; it is the
	// resourceVersion of lists.
	revision uint64
	objects  map[string]*object // by document ID
	kinds    map[kind]*collection
	whole    func() whole // the answer of /meshc/snapshot
}

// kind names a sort of documents.
type kind struct{ dialect, kind string }

// collection is the documents of one kind.
type collection struct {
	all    []*object            // in the order in which lists show them
	scopes map[string][]*object // by namespace or mesh, in the same order
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

// scope is the namespace or mesh; empty for kinds that have neither.
func (o *object) scope() string { return o.Namespace + o.Mesh }

// defaultMesh always exists, with or without a document.
var defaultMesh = snapshot.Seal(snapshot.Snapshot{Documents: snapshot.ListOf(snapshot.Document{
	ID: "kuma/Mesh//default", Dialect: "kuma", Kind: "Mesh", Name: "default", JSON: `{"name":"default","type":"Mesh"}`,
})}).Documents.At(0)

// newState indexes next. Objects whose document did not change since before,
// which is nil at first, are carried over.
func newState(ctx context.Context, before *state, next snapshot.Snapshot, now time.Time) (*state, error) {
	st := &state{snapshot: withoutSecrets(next), revision: 1, objects: map[string]*object{}, kinds: map[kind]*collection{}}
	if before != nil {
		st.revision = before.revision
		if next.Version != before.snapshot.Version {
			st.revision++
		}
	}
	for i, d := range st.snapshot.Documents.All() {
		if i%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err := st.add(before, d, now); err != nil {
			return nil, err
		}
	}
	if st.objects[defaultMesh.ID] == nil {
		if err := st.add(before, defaultMesh, now); err != nil {
			return nil, err
		}
	}
	for k, c := range st.kinds {
		slices.SortFunc(c.all, order(k.dialect))
		for _, o := range c.all {
			c.scopes[o.scope()] = append(c.scopes[o.scope()], o)
		}
	}
	st.whole = wholeOf(st.snapshot)
	return st, nil
}

// add makes the object of d.
func (st *state) add(before *state, d snapshot.Document, now time.Time) error {
	var old *object
	if before != nil {
		old = before.objects[d.ID]
	}
	o := old
	if old == nil || old.Digest != d.Digest {
		o = &object{Document: d, uid: uid(d.ID), revision: st.revision, created: now, modified: now}
		if old != nil {
			o.created = old.created
		}
		var err error
		if o.content, err = contentOf(o); err != nil {
			return fmt.Errorf("document %s: %w", d.ID, err)
		}
	}
	st.objects[d.ID] = o
	k := kind{d.Dialect, d.Kind}
	c := st.kinds[k]
	if c == nil {
		c = &collection{scopes: map[string][]*object{}}
		st.kinds[k] = c
	}
	c.all = append(c.all, o)
	return nil
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
		return c.all
	}
	return c.scopes[scope]
}

// get returns one object, or nil. scope is empty for a kind without scopes.
func (st *state) get(dialect, kindName, scope, name string) *object {
	o := st.objects[dialect+"/"+kindName+"/"+scope+"/"+name]
	if o == nil || o.scope() != scope || o.Name != name { // a slash in scope or name
		return nil
	}
	return o
}
