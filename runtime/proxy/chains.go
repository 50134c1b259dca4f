package proxy

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// chains are those of a listener that looks at the ClientHello. Generations
// share them while nothing of them changes.
type chains struct {
	all    []*chain
	byName map[string]*chain // by pattern
}

// chain is what becomes of the connections with some server names.
type chain struct {
	name     string
	index    int // in chains.all
	ranges   ranges
	shown    *shown // nil where TLS does not end here
	protocol snapshot.Protocol
	// Of TCP.
	split           split
	idleTimeout     time.Duration // 0 where it is the usual one
	connectAttempts uint32
}

// find returns the chain that takes a client that asks for the server name sni,
// in lower case, or nil.
func (c *chains) find(sni string) *chain {
	for _, pattern := range snapshot.ServerNamePatterns(sni) {
		if found := c.byName[pattern]; found != nil {
			return found
		}
	}
	return nil
}

// chains makes those of l; old is the listener before, or nil.
func (b *builder) chains(l *listener, spec snapshot.Listener, old *listener) (*chains, error) {
	if spec.Chains.Len() == 0 {
		return nil, nil
	}
	if old != nil && old.digest == spec.Digest {
		return b.carryChains(l, old.chains)
	}
	var before map[string]*chain // by name
	if old != nil && old.chains != nil {
		before = make(map[string]*chain, len(old.chains.all))
		for _, c := range old.chains.all {
			before[c.name] = c
		}
	}
	out := &chains{byName: map[string]*chain{}}
	for _, s := range spec.Chains.All() {
		c := &chain{
			name: s.Name, index: len(out.all), protocol: s.Protocol, shown: newShown(s, before[s.Name]),
			idleTimeout: time.Duration(s.IdleTimeout), connectAttempts: s.ConnectAttempts,
		}
		c.split = b.split(l, s.Targets)
		var err error
		if c.ranges, err = newRanges(s.SourceRanges); err == nil && c.shown != nil {
			err = c.shown.check(b.gen.identities)
		}
		if err != nil {
			return nil, fmt.Errorf("chain %q: %w", s.Name, err)
		}
		out.all = append(out.all, c)
		for _, pattern := range s.ServerNames.All() {
			if other := out.byName[pattern]; other != nil {
				return nil, fmt.Errorf("chain %q: server name %q is also that of chain %q", s.Name, pattern, other.name)
			}
			out.byName[pattern] = c
		}
	}
	return out, nil
}

// carryChains returns old for l, to which nothing of it is new but, perhaps, what
// its secrets hold and the clusters of its targets.
func (b *builder) carryChains(l *listener, old *chains) (*chains, error) {
	stale := false
	for _, c := range old.all {
		if c.shown != nil {
			if err := c.shown.check(b.gen.identities); err != nil {
				return nil, fmt.Errorf("chain %q: %w", c.name, err)
			}
		}
		stale = stale || b.stale(c.split)
	}
	if !stale {
		return old, nil
	}
	out := &chains{all: slices.Clone(old.all), byName: maps.Clone(old.byName)}
	for i, c := range out.all {
		if b.stale(c.split) {
			carried := *c
			carried.split = b.carrySplit(l, c.split)
			out.all[i] = &carried
		}
	}
	for pattern, c := range out.byName {
		out.byName[pattern] = out.all[c.index]
	}
	return out, nil
}

// carry serves nc, of which first was read, by c, a chain of l to whose
// generation there is a reference: its bytes go to the chain's own targets.
func (s *socket) carry(l *listener, c *chain, nc net.Conn, first []byte) {
	own := *l
	own.split, own.idleTimeout, own.connectAttempts = c.split, c.idleTimeout, c.connectAttempts
	own.factories, own.byRoute = nil, nil
	l.gen.acquire()
	t := newTunnel(s, &own, nc)
	t.first = first
	l.conns.opened()
	s.run(t, l.conns)
}

// ranges are addresses of clients that may connect; none: all.
type ranges []netip.Prefix

func newRanges(specs snapshot.List[string]) (ranges, error) {
	var out ranges
	for _, r := range specs.All() {
		prefix, err := netip.ParsePrefix(r)
		if err != nil {
			return nil, fmt.Errorf("source range %q: %w", r, err)
		}
		out = append(out, prefix)
	}
	return out, nil
}

// admit reports whether a client at ip may connect.
func (r ranges) admit(ip netip.Addr) bool {
	for _, prefix := range r {
		if prefix.Contains(ip) {
			return true
		}
	}
	return len(r) == 0
}

// serverName returns the server name that the client of nc asked for, in lower
// case, or "".
func serverName(nc net.Conn) string {
	if c, ok := nc.(interface{ ConnectionState() tls.ConnectionState }); ok {
		return strings.ToLower(c.ConnectionState().ServerName)
	}
	return ""
}
