package compiler

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema/kong"
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
	if k, ok := hashKey(h, h.HashOn, h.OnHeader, h.OnQueryArg); ok {
		keys = append(keys, k)
	}
	if k, ok := hashKey(h, h.HashFallback, h.FallbackHeader, h.FallbackQueryArg); ok && !slices.Contains(keys, k) {
		keys = append(keys, k)
	}
	return keys
}

// hashKey is what hash_on or hash_fallback, whose value is on, hashes; nothing
// where that is none, or what meshc does not know of a request.
func hashKey(h *kong.HashKeys, on, header, parameter string) (k snapshot.HashKey, ok bool) {
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
	case "cookie":
		k.Cookie, k.CookiePath = h.Cookie, h.CookiePath
	default:
		return k, false
	}
	return k, true
}

// kongHashing tells of hash keys of u that have no effect.
func (w *wishes) kongHashing(u *kong.Upstream) {
	why := map[string]string{
		"consumer":    "meshc does not know consumers",
		"uri_capture": "Envoy cannot hash a part of the path that came",
	}
	instead := "go round robin"
	if keys := kongHash(&u.HashKeys); len(keys) > 0 {
		instead = "by " + map[bool]string{true: "hash_on", false: "hash_fallback"}[why[u.HashOn] == ""]
	}
	switch {
	case u.HashOn == "none":
		w.notApplied([]any{"algorithm"}, "hash_on does not say what to hash, so requests go round robin", "set hash_on")
	case why[u.HashOn] != "":
		w.notApplied([]any{"hash_on"}, fmt.Sprintf("requests are not kept together by %s, for %s, but %s", u.HashOn, why[u.HashOn], instead), "hash_on: ip keeps a client on its target")
	}
	if why[u.HashFallback] != "" {
		w.notApplied([]any{"hash_fallback"}, fmt.Sprintf("requests without what hash_on says go to any target, for %s", why[u.HashFallback]), "hash_fallback: ip keeps a client on its target")
	}
}

// hashOf is what a route to arms chooses endpoints by: what those of the services
// that choose by hash want, if they all want the same.
func hashOf(arms []arm) (keys snapshot.List[snapshot.HashKey]) {
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
