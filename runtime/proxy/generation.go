package proxy

import (
	"cmp"
	"iter"
	"slices"
	"sync/atomic"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/identity"
)

// generation is the running form of one snapshot. What did not change is
// shared with the generation before, so nothing of it is written to once it
// is built.
type generation struct {
	listeners []*listener
	byKey     map[string]*listener
	clusters  []*cluster // all that a target or a filter names, by key
	// identities are what the snapshot's certificates and secrets are now; nil
	// where nobody has any.
	identities *identity.View
	made       []*cluster // those that the generation before has not
	meters     map[meterKey]*meter
	factories  []filter.Factory // closed with the last reference
	refs       atomic.Int64
}

// acquire takes a reference; it reports false when the generation is gone.
func (g *generation) acquire() bool {
	for {
		n := g.refs.Load()
		if n == 0 {
			return false
		}
		if g.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (g *generation) release() {
	if g.refs.Add(-1) > 0 {
		return
	}
	for _, f := range g.factories {
		f.Close()
	}
}

// cluster returns the position of the cluster with a key, as
// slices.BinarySearch does.
func (g *generation) cluster(key string) (int, bool) {
	return slices.BinarySearchFunc(g.clusters, key, func(c *cluster, key string) int { return cmp.Compare(c.key, key) })
}

// of returns the listeners of a proxy by their names, and the clusters that they
// lead to, by key; of "", all.
func (g *generation) of(proxyID string) (listeners map[string]*listener, clusters []*cluster) {
	listeners = make(map[string]*listener, len(g.listeners))
	used := map[*cluster]bool{}
	for _, l := range g.listeners {
		if proxyID != "" && l.proxy != proxyID {
			continue
		}
		listeners[l.name] = l
		if proxyID == "" {
			continue
		}
		for s := range l.splits() {
			for _, a := range s.arms {
				used[a.cluster] = true
			}
		}
		for _, c := range l.calls {
			used[c] = true
		}
	}
	if proxyID == "" {
		return listeners, g.clusters
	}
	for _, c := range g.clusters {
		if used[c] {
			clusters = append(clusters, c)
		}
	}
	return listeners, clusters
}

// listener is what happens to what arrives on a socket.
type listener struct {
	gen       *generation
	key       string // of the socket
	name      string
	proxy     string // its ID
	sources   snapshot.List[string]
	address   string // to bind
	direction snapshot.Direction
	protocol  snapshot.Protocol
	service   string
	hosts     []*virtualHost
	domains   *domains
	tls       string   // the mesh of both sides' certificates; "" for the clear
	access    access   // where tls is set
	alpn      []string // to choose from, where tls is set
	chains    *chains  // nil where no ClientHello is looked at
	split     split    // TCP, UDP
	ranges    ranges   // of the clients that may connect
	// For TCP: idleTimeout is 0 where it is the usual one.
	idleTimeout     time.Duration
	connectAttempts uint32
	// factories are the filters of all streams, and byRoute, where some are
	// for single routes, those of the routes that name any, by route.filters.
	factories []filter.Factory
	byRoute   map[string][]filter.Factory
	sole      string     // the filter's name, where there is only one
	calls     []*cluster // that the filters may call
	meter     *meter     // of what is not routed to a service
	conns     *connMeter
	digest    snapshot.Digest
}

// continues reports whether what came in for before may go on under l. Who was
// let in by other rules may not.
func (l *listener) continues(before *listener) bool {
	return l.protocol == before.protocol && l.tls == before.tls && l.access.digest == before.access.digest &&
		(l.chains == nil) == (before.chains == nil)
}

// filters returns the filters of a stream that arrives with the headers h from a
// client that asked for the server name sni. The route is not settled by that:
// the filters may change the request.
func (l *listener) filters(h *filter.Headers, asked []string) []filter.Factory {
	if l.byRoute == nil {
		return l.factories
	}
	if r := l.route(h, asked); r != nil && r.filters != "" {
		return l.byRoute[r.filters]
	}
	return l.factories
}

// route returns the route of a request as filters has it, or nil.
func (l *listener) route(h *filter.Headers, asked []string) *route {
	if vh := l.host(h.Value(":authority")); vh != nil {
		return vh.match(h, asked)
	}
	return nil
}

// serves returns the service as whose traffic l's to c is counted.
func (l *listener) serves(c *cluster) string {
	if l.direction == snapshot.Inbound { // c is the application beside it
		return cmp.Or(l.service, c.service)
	}
	return c.service
}

// splits iterates over all that l may send to.
func (l *listener) splits() iter.Seq[*split] {
	return func(yield func(*split) bool) {
		if !yield(&l.split) {
			return
		}
		if l.chains != nil {
			for _, c := range l.chains.all {
				if !yield(&c.split) {
					return
				}
			}
		}
		for _, vh := range l.hosts {
			for i := range vh.routes {
				if !yield(&vh.routes[i].split) {
					return
				}
			}
		}
	}
}
