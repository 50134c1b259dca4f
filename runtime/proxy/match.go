package proxy

import (
	"slices"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
)

// virtualHost is a set of routes that share their domains. Generations share
// it while neither it nor any of its clusters changes.
type virtualHost struct {
	name    string
	domains snapshot.List[string]
	routes  []route
	digest  snapshot.Digest
}

// domains says which virtual host of a listener has a domain, by its position:
// so generations can share them while virtual hosts change behind their domains.
type domains struct {
	exact    map[string]int
	fallback int // that of "*"; -1 where there is none
}

// domainsOf returns the domains of hosts, those of old where they are the same.
func domainsOf(hosts []*virtualHost, old *listener) *domains {
	same := func(a, b *virtualHost) bool {
		return a.digest == b.digest || slices.Equal(a.domains.Slice(), b.domains.Slice())
	}
	if old != nil && slices.EqualFunc(hosts, old.hosts, same) {
		return old.domains
	}
	n := 0
	for _, vh := range hosts {
		n += vh.domains.Len()
	}
	d := &domains{exact: make(map[string]int, n), fallback: -1}
	for i, vh := range hosts {
		for _, domain := range vh.domains.All() {
			if domain == "*" {
				d.fallback = i
			} else if _, taken := d.exact[domain]; !taken {
				d.exact[domain] = i
			}
		}
	}
	return d
}

// route sends the requests it matches to its targets.
type route struct {
	name             string
	prefix           string
	split            split
	hostFromEndpoint bool
}

// host returns the virtual host for a Host header, or nil. Host names do not
// distinguish case (RFC 9110, 4.2.3).
func (l *listener) host(authority string) *virtualHost {
	if i, ok := l.domains.exact[authority]; ok {
		return l.hosts[i]
	}
	var lower [256]byte
	if hasUpper(authority) && len(authority) <= len(lower) {
		for i := range len(authority) {
			c := authority[i]
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			lower[i] = c
		}
		if i, ok := l.domains.exact[string(lower[:len(authority)])]; ok {
			return l.hosts[i]
		}
	}
	if l.domains.fallback < 0 {
		return nil
	}
	return l.hosts[l.domains.fallback]
}

func hasUpper(s string) bool {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			return true
		}
	}
	return false
}

// match returns the first route for path, query included, or nil.
func (vh *virtualHost) match(path string) *route {
	for i := range vh.routes {
		if strings.HasPrefix(path, vh.routes[i].prefix) {
			return &vh.routes[i]
		}
	}
	return nil
}
