package proxy

import "strings"

// virtualHost is a set of routes that share their domains.
type virtualHost struct {
	name   string
	routes []route
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
	if vh := l.hosts[authority]; vh != nil {
		return vh
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
		if vh := l.hosts[string(lower[:len(authority)])]; vh != nil {
			return vh
		}
	}
	return l.fallback
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
