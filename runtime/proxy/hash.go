package proxy

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
)

// hashKey is one key of a route.
type hashKey struct {
	snapshot.HashKey
	group int // the number of Capture
}

// newHashKeys returns the keys of a route that requests with its path can have.
func newHashKeys(spec snapshot.Route, path condition) []hashKey {
	var keys []hashKey
	for _, k := range spec.Hash.All() {
		key := hashKey{HashKey: k}
		if k.Capture != "" {
			if path.regex != nil {
				key.group = path.regex.SubexpIndex(k.Capture)
			}
			if key.group <= 0 {
				continue
			}
		}
		keys = append(keys, key)
	}
	return keys
}

// hashOf returns what the endpoint of the request is chosen by: Envoy's hash of
// the first key of the route that the request has, else any number. target is the
// path as it was before the route changed it.
func (s *stream) hashOf(target string) uint64 {
	for i := range s.route.hash {
		if hash, ok := s.hashBy(&s.route.hash[i], target); ok {
			return hash
		}
	}
	return rand.Uint64()
}

// hashBy returns the hash of one key, if the request has it. Only a part of the
// path, and a cookie that is set, cost an allocation.
func (s *stream) hashBy(k *hashKey, target string) (hash uint64, ok bool) {
	switch {
	case k.ClientIP:
		return s.d.client, true
	case k.Path:
		path, _ := cutQuery(target)
		return xxhash.Sum64String(path), true
	case k.group > 0:
		path, _ := cutQuery(target)
		part := s.route.condition.group(path, k.group)
		return xxhash.Sum64String(part), part != ""
	case k.Header != "":
		return headerHash(&s.request, k.Header)
	case k.Query != "":
		value, ok := parameter(target, k.Query)
		return xxhash.Sum64String(value), ok
	case k.Cookie != "":
		value := cookie(&s.request, k.Cookie)
		if value == "" {
			value = s.setCookie(k)
		}
		return xxhash.Sum64String(value), true
	}
	return 0, false
}

// headerHash hashes all values of a header in the order of their bytes, each
// seeded with the hash of those before.
func headerHash(h *filter.Headers, name string) (hash uint64, ok bool) {
	var few [8]string
	values := few[:0]
	for i := range h.Len() {
		if f := h.At(i); f.Name == name {
			values = append(values, f.Value)
		}
	}
	slices.Sort(values)
	for _, v := range values {
		var d xxhash.Digest
		d.ResetWithSeed(hash)
		d.WriteString(v)
		hash = d.Sum64()
	}
	return hash, len(values) > 0
}

// parameter returns the first parameter of the query of target with a name, as it
// was received: in Envoy nothing is decoded.
func parameter(target, name string) (value string, ok bool) {
	_, query := cutQuery(target)
	for query = strings.TrimPrefix(query, "?"); query != ""; {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if key, value, _ := strings.Cut(pair, "="); key == name {
			return value, true
		}
	}
	return "", false
}

// cookie returns the value of the first cookie of a name, without the quotes that
// it may have; "" where there is none.
func cookie(h *filter.Headers, name string) string {
	for i := range h.Len() {
		f := h.At(i)
		if f.Name != "cookie" {
			continue
		}
		for rest := f.Value; rest != ""; {
			var pair string
			pair, rest, _ = strings.Cut(rest, ";")
			key, value, ok := strings.Cut(strings.TrimLeft(pair, " "), "=")
			if !ok || key != name {
				continue
			}
			if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
				value = value[1 : n-1]
			}
			return value
		}
	}
	return ""
}

// setCookie has the response set the cookie of k, and returns its value: one for
// all requests of the connection, of which several may come without it.
func (s *stream) setCookie(k *hashKey) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], xxhash.Sum64String(s.d.remote.String()+s.d.local.String()))
	value := hex.EncodeToString(b[:])
	s.cookie = k.Cookie + `="` + value + `"`
	if k.CookiePath != "" {
		s.cookie += "; Path=" + k.CookiePath
	}
	s.cookie += "; HttpOnly"
	return value
}
