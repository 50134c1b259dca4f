package xds

import (
	"strings"
	"sync"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/identity"
)

// generation is one snapshot in the form that streams serve. It does not
// change once it serves; generations form a list, each with what differs from
// the one before, so that a stream that was busy adds up what it missed.
type generation struct {
	snap snapshot.Snapshot
	// ready is false of the generation before the first snapshot: an Envoy
	// that outlived the server must not be told that it has nothing.
	ready       bool
	views       map[string]*view // by proxy ID
	entries     []entry          // one a cluster of the snapshot, in its order
	clusters    []*resource      // sorted by name
	users       []users          // of the snapshot's endpoint sets, in their order
	assignments []entry          // one an endpoint set with users
	endpoints   []*resource      // sorted by name, of assignments
	filters     map[snapshot.Digest]*filterConfig
	// identities hold the secrets of snap; nil where there are none.
	identities *identity.View
	// meant is what a view means by the names of secrets, by name, of the views
	// whose clients have asked: *view to map[string]envoy.Secret.
	meant sync.Map

	superseded chan struct{} // closed when there is a next
	// Both are set before superseded is closed and before the next one serves.
	next    *generation
	changed [2][]string // by kind: clusters, endpoints that next has anew or otherwise
}

// follow makes next the generation after g.
func (g *generation) follow(next *generation) {
	g.changed = [2][]string{
		cluster:  difference(g.clusters, next.clusters),
		endpoint: difference(g.endpoints, next.endpoints),
	}
	g.next = next
}

// difference returns the names of what b, sorted as a is, has anew or otherwise.
func difference(a, b []*resource) []string {
	var out []string
	i := 0
	for _, r := range b {
		if i < len(a) && a[i] == r {
			i++
			continue
		}
		for i < len(a) && strings.Compare(a[i].name, r.name) < 0 {
			i++
		}
		if i == len(a) || a[i].name != r.name || a[i].version != r.version {
			out = append(out, r.name)
		}
	}
	return out
}
