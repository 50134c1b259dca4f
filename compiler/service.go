package compiler

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
)

// serviceKey names a service: its mesh and its kuma.io/service.
type serviceKey struct{ mesh, name string }

func (k serviceKey) compare(o serviceKey) int {
	return cmp.Or(cmp.Compare(k.mesh, o.mesh), cmp.Compare(k.name, o.name))
}

// service is one service of the world, whichever dialect defined it. It is not
// changed once made, and the same pointer means the same content.
type service struct {
	serviceKey
	dialect schema.Dialect
	// protocol is what its documents say ("http", "grpc", "tcp" …), "" where
	// they say nothing.
	protocol  string
	discovery snapshot.Discovery
	balancing snapshot.Balancing
	// hash is what endpoints are chosen by where balancing chooses by hash; none
	// for the client's address.
	hash             snapshot.List[snapshot.HashKey]
	connectTimeout   time.Duration
	writeTimeout     time.Duration // of connections of HTTP/1.1; 0 for no bound
	hostFromEndpoint bool
	// upkeep is how its endpoints are found to work, where no policy says more.
	upkeep upkeep
	// rewrite is what is done to the path of a request to it, whoever asks.
	rewrite   snapshot.PathRewrite
	endpoints []endpoint
	// domains are the hosts under which the gateway serves it, port included;
	// empty where the gateway does not.
	domains []string
	// doc is the document to blame, docs are all that took part.
	doc  *schema.Document
	docs []*schema.Document
	// metrics says that it is where dataplanes show theirs.
	metrics bool
	// path is where doc defines the service.
	path []any
	// whole is the name of the cluster of all its endpoints.
	whole string
	// zoned says that some of its endpoints are not for callers of every zone.
	zoned bool
}

// endpoint is where a service answers, with the tags that subsets select by.
type endpoint struct {
	snapshot.Endpoint
	tags map[string]string
	// inbound says that a dataplane listens there.
	inbound bool
	location
	// ingress says that it is that of its zone, for callers of the others, and
	// disabled that nobody gets it.
	ingress, disabled bool
	// walled says that callers of other zones do not get it.
	walled bool
	// transport is what the document asks for; Endpoint.Transport names it.
	transport *snapshot.Transport
}

// whole names the cluster of all endpoints of a service.
func (k serviceKey) whole() string {
	if k.mesh == "default" {
		return k.name
	}
	return k.mesh + "/" + k.name
}

// http reports whether the service's traffic is routed as HTTP by a proxy that
// takes a protocol nobody stated to be otherwise.
func (s *service) http(unstated bool) bool {
	return routesHTTP(s.protocol) || s.protocol == "" && unstated
}

// clusterUse is a service, or the subset of it that has all of tags, as it is
// spoken to.
type clusterUse struct {
	service   *service
	tags      map[string]string
	from      place // of the caller, as far as it matters
	treatment treatment
	// through says that the TLS of a caller passes through the ingress of its
	// zone, from, to the endpoints there.
	through bool
	name    string // of the cluster
}

// newUse names a use: the service's name, in braces the tags of the subset, in
// front the mesh unless it is default, behind the place and the policies of the
// caller. No slash, brace, tilde or @ can be in the name of a service, so no two
// uses share a name.
func newUse(s *service, tags map[string]string, from place, t treatment) clusterUse {
	u := clusterUse{service: s, tags: tags, from: s.seenFrom(from), treatment: t}
	u.name = u.endpointsName() + t.suffix()
	return u
}

// endpointsName names the endpoints of the use, which its treatment does not change.
func (u clusterUse) endpointsName() string {
	name := u.service.whole
	at := u.from.suffix()
	if u.through {
		at = "@ingress=" + u.from.zone
	}
	if len(u.tags) == 0 {
		return name + at
	}
	pairs := make([]string, 0, len(u.tags))
	for _, k := range slices.Sorted(maps.Keys(u.tags)) {
		pairs = append(pairs, k+"="+u.tags[k])
	}
	return name + "{" + strings.Join(pairs, ",") + "}" + at
}

// endpoints returns the endpoints of the use as lower makes them, sorted and
// without duplicates.
func (u clusterUse) endpoints(lower func(endpoint) snapshot.Endpoint) []snapshot.Endpoint {
	var out []snapshot.Endpoint
	for e := range u.visible() {
		made := lower(e)
		made.Priority = u.from.distance(e.location)
		out = append(out, made)
	}
	slices.SortFunc(out, func(a, b snapshot.Endpoint) int {
		return cmp.Or(cmp.Compare(a.Address, b.Address), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Hostname, b.Hostname))
	})
	return closeGaps(unite(out))
}

func hasTags(tags, want map[string]string) bool {
	for k, v := range want {
		if tags[k] != v {
			return false
		}
	}
	return true
}
