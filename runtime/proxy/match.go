package proxy

import (
	"slices"
	"strings"
	"time"
	"unsafe"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
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
	anyPort  map[string]int // those of "HOST:*", by HOST
	fallback int            // that of "*"; -1 where there is none
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
	d := &domains{exact: make(map[string]int, n), anyPort: map[string]int{}, fallback: -1}
	for i, vh := range hosts {
		for _, domain := range vh.domains.All() {
			host, anyPort := strings.CutSuffix(domain, ":*")
			if domain == "*" {
				d.fallback = i
			} else if anyPort {
				d.anyPort[host] = i
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
	condition        condition
	rewrite          rewrite
	host             hostRewrite
	requestHeaders   headerChanges
	responseHeaders  headerChanges
	hash             []hashKey // in order; none for the client's address
	split            split
	answer           snapshot.Answer // given here where its status is set
	hostFromEndpoint bool
	// Of the response, and of a stream on which nothing moves; 0 is no bound,
	// and for idleness the usual one.
	timeout, idleTimeout time.Duration
	readTimeout          time.Duration // of each wait for the endpoint; 0 for none
	retry                *retries      // or nil
	filters              string        // the names of those for this route, each with a NUL behind it
	service              string        // that it is for, where the listener does not say it
}

// newRoute returns the route without its split.
func newRoute(spec snapshot.Route) (r route, err error) {
	r = route{
		name: spec.Name, answer: spec.Answer, hostFromEndpoint: spec.HostFromEndpoint, filters: filterNames(spec.Filters), service: spec.Service,
		timeout: time.Duration(spec.Timeout), idleTimeout: time.Duration(spec.IdleTimeout), readTimeout: time.Duration(spec.ReadTimeout),
		requestHeaders: newHeaderChanges(spec.RequestHeaders), responseHeaders: newHeaderChanges(spec.ResponseHeaders),
	}
	if r.retry, err = newRetries(spec.Retry, spec.Timeout); err != nil {
		return r, err
	}
	if r.condition, err = newCondition(spec); err != nil {
		return r, err
	}
	r.hash = newHashKeys(spec, r.condition)
	if r.rewrite, err = newRewrite(spec.Rewrite); err != nil {
		return r, err
	}
	r.host, err = newHostRewrite(spec.Host)
	return r, err
}

// host returns the virtual host for a Host header, or nil. Host names do not
// distinguish case (RFC 9110, 4.2.3).
func (l *listener) host(authority string) *virtualHost {
	i, ok := l.domains.find(authority)
	var lower [256]byte
	if !ok && hasUpper(authority) && len(authority) <= len(lower) {
		for i := range len(authority) {
			c := authority[i]
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			lower[i] = c
		}
		i, ok = l.domains.find(unsafe.String(&lower[0], len(authority))) // which keeps nothing
	}
	if !ok {
		i = l.domains.fallback
	}
	if i < 0 {
		return nil
	}
	return l.hosts[i]
}

// find returns the virtual host for a Host header in lower case, "*" aside.
func (d *domains) find(authority string) (int, bool) {
	i, ok := d.exact[authority]
	if !ok && len(d.anyPort) > 0 {
		if at := portOf(authority); at > 0 && at+1 < len(authority) {
			i, ok = d.anyPort[authority[:at]]
		}
	}
	return i, ok
}

// portOf returns where the colon before the port is, or -1.
func portOf(authority string) int {
	if strings.HasPrefix(authority, "[") { // an IPv6 address
		i := strings.Index(authority, "]:")
		if i < 0 {
			return -1
		}
		return i + 1
	}
	return strings.IndexByte(authority, ':')
}

func hasUpper(s string) bool {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			return true
		}
	}
	return false
}

// match returns the first route that takes the request with headers h of a
// client that asked for a server name for which the patterns asked stand, or nil.
func (vh *virtualHost) match(h *filter.Headers, asked []string) *route {
	path, _ := cutQuery(h.Value(":path"))
	for i := range vh.routes {
		if r := &vh.routes[i]; r.condition.holds(path, h, asked) {
			return r
		}
	}
	return nil
}
