package xds

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"slices"
	"strconv"
	"strings"
)

// maxResponse is about how many bytes of resources go into one response where
// several are possible. gRPC clients take messages up to 4 MiB by default.
const maxResponse = 2 << 20

// respond sends the resources in changed and the names in gone.
func (s *stream) respond(k kind, changed []*resource, gone []string) error {
	if s.delta {
		for i, part := range split(k, changed) {
			r := &response{kind: k, resources: part, changed: part, version: s.target.snap.Version.Short()}
			if i == 0 {
				r.removed = gone
			}
			if err := s.deliver(r); err != nil {
				return err
			}
		}
		return nil
	}
	if !k.whole() {
		if len(changed) == 0 && s.subs[k].answered {
			return nil // this protocol has no word for what is not there
		}
		for _, part := range split(k, changed) {
			if err := s.deliver(&response{kind: k, resources: part, changed: part, version: digest(part)}); err != nil {
				return err
			}
		}
		return nil
	}
	// What is left out is removed, so this lists what waits for removal too.
	all := s.subs[k].standing()
	slices.SortFunc(all, func(a, b *resource) int { return strings.Compare(a.name, b.name) })
	return s.deliver(&response{kind: k, resources: all, changed: changed, version: digest(all)})
}

// deliver numbers r, sends it and waits for its answer from now on.
func (s *stream) deliver(r *response) error {
	s.nonces++
	r.nonce, r.typeURL, r.delta = strconv.FormatUint(s.nonces, 10), typeURLs[r.kind], s.delta
	s.subs[r.kind].expect(r)
	return s.send(r)
}

// split cuts resources into parts of about maxResponse; there is one at least.
// Extensions go one by one: they may be large, and Envoy's message does not
// name the one that it refused.
func split(k kind, resources []*resource) [][]*resource {
	var parts [][]*resource
	start, size := 0, 0
	for i, r := range resources {
		if i > start && (k == extension || size+r.size() > maxResponse) {
			parts = append(parts, resources[start:i])
			start, size = i, 0
		}
		size += r.size()
	}
	return append(parts, resources[start:])
}

// digest returns the version of a list of resources, which depends on their
// content alone.
func digest(resources []*resource) string {
	h := sha256.New()
	for _, r := range resources {
		io.WriteString(h, r.name)
		io.WriteString(h, "\x00"+r.version+"\x00")
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
