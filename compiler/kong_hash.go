package compiler

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/kong"
	"github.com/meshc/meshc/schema/kuma"
)

// kongBalancing is how the targets of u share the requests, and by which hash.
func kongBalancing(u *kong.Upstream) (snapshot.Balancing, snapshot.List[snapshot.HashKey]) {
	switch u.Algorithm {
	case "least-connections":
		return snapshot.LeastRequest, snapshot.List[snapshot.HashKey]{}
	case "consistent-hashing":
		keys := kongHash(&u.HashKeys)
		switch {
		case len(keys) == 0:
		case keys[0].ClientIP: // there is always an address, so no fallback
			return snapshot.ClientIP, snapshot.List[snapshot.HashKey]{}
		default:
			return snapshot.RingHash, snapshot.ListOf(keys...)
		}
	}
	return snapshot.RoundRobin, snapshot.List[snapshot.HashKey]{}
}

// kongHash returns the keys of h in order, those aside that hashKey does not know.
func kongHash(h *kong.HashKeys) (keys []snapshot.HashKey) {
	if k, ok := hashKey(h, h.HashOn, h.OnHeader, h.OnQueryArg, h.OnURICapture); ok {
		keys = append(keys, k)
	}
	if k, ok := hashKey(h, h.HashFallback, h.FallbackHeader, h.FallbackQueryArg, h.FallbackURICapture); ok && !slices.Contains(keys, k) {
		keys = append(keys, k)
	}
	return keys
}

// hashKey is what hash_on or hash_fallback, whose value is on, hashes; nothing
// where that is none, or consumer, which meshc does not know.
func hashKey(h *kong.HashKeys, on, header, parameter, capture string) (k snapshot.HashKey, ok bool) {
	switch on {
	case "ip":
		k.ClientIP = true
	case "path":
		k.Path = true
	case "header":
		if k.Header = strings.ToLower(header); k.Header == "host" {
			k.Header = ":authority"
		}
	case "query_arg":
		k.Query = parameter
	case "uri_capture":
		k.Capture = capture
	case "cookie":
		k.Cookie, k.CookiePath = h.Cookie, cmp.Or(h.CookiePath, "/")
	default:
		return k, false
	}
	return k, true
}

// kongHashing tells of hash keys of u that have no effect.
func (w *wishes) kongHashing(u *kong.Upstream) {
	switch {
	case u.HashOn == "none":
		w.notApplied([]any{"algorithm"}, "hash_on does not say what to hash, so requests go round robin", "set hash_on")
	case u.HashOn == "consumer":
		instead := "go round robin"
		if len(kongHash(&u.HashKeys)) > 0 {
			instead = "by hash_fallback"
		}
		w.notApplied([]any{"hash_on"}, "requests are not kept together by consumer, for meshc does not know consumers, but "+instead, "hash_on: ip keeps a client on its target")
	case u.HashFallback == "consumer":
		w.notApplied([]any{"hash_fallback"}, "requests without what hash_on says go to any target, for meshc does not know consumers", "hash_fallback: ip keeps a client on its target")
	}
}

// hashOf is what a route to arms chooses endpoints by: what those of the services
// that choose by hash want, if they all want the same, as far as requests whose
// path matches an expression, "" for none, can have it.
func hashOf(arms []arm, path string) snapshot.List[snapshot.HashKey] {
	keys := hashOfArms(arms)
	captures := func(k snapshot.HashKey) bool { return k.Capture != "" }
	if !slices.ContainsFunc(keys.Slice(), captures) {
		return keys
	}
	re, err := regexp.Compile(path)
	lacking := func(k snapshot.HashKey) bool { // what is no expression is reported
		return captures(k) && (err != nil || re.SubexpIndex(k.Capture) < 0)
	}
	return snapshot.ListOf(slices.DeleteFunc(keys.Slice(), lacking)...)
}

func hashOfArms(arms []arm) (keys snapshot.List[snapshot.HashKey]) {
	first := true
	for _, a := range arms {
		s := a.service
		switch {
		case a.treatment.route != nil: // its loadBalancer decides
			return snapshot.List[snapshot.HashKey]{}
		case s.balancing != snapshot.RingHash && s.balancing != snapshot.ClientIP:
		case first:
			keys, first = s.hash, false
		case !slices.Equal(keys.Slice(), s.hash.Slice()):
			return snapshot.List[snapshot.HashKey]{}
		}
	}
	return keys
}

// tellHashes warns of shares between services that are to choose their targets by
// hashes of different things: the requests of one route have one hash.
func (b *build) tellHashes(d *schema.Document, shares *kuma.Shares, path []any) {
	var arms []arm
	hashed := false
	for _, part := range shares.Arms() {
		if s := b.service(serviceKey{d.Mesh, part.Destination[kuma.ServiceTag]}); s != nil && part.Weight > 0 {
			arms = append(arms, arm{clusterUse: clusterUse{service: s}})
			hashed = hashed || s.hash.Len() > 0
		}
	}
	if hashed && hashOfArms(arms).Len() == 0 {
		b.unsupported = append(b.unsupported, finding(diag.CodeNotApplied, diag.Warning, d, path,
			"these services keep requests together by different things, so it is by the client's address", "give their upstreams the same hash_on and hash_fallback"))
	}
}
