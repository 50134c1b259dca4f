package proxy

import (
	"fmt"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
)

// Lookup returns the positions, in l's virtual hosts and in the routes of that
// one, of where a request with these headers goes whose client asked for the
// server name sni, "" for none; -1 for nowhere. It is found by the code that
// serves. An error is a condition that cannot be read.
func Lookup(l snapshot.Listener, request *filter.Headers, sni string) (host, route int, err error) {
	running, asked := &listener{}, snapshot.ServerNamePatterns(strings.ToLower(sni))
	for _, spec := range l.VirtualHosts.All() {
		vh := &virtualHost{name: spec.Name, domains: spec.Domains, digest: spec.Digest}
		running.hosts = append(running.hosts, vh)
	}
	running.domains = domainsOf(running.hosts, nil)
	found := running.host(request.Value(":authority"))
	if found == nil {
		return -1, -1, nil
	}
	for i, vh := range running.hosts {
		if vh != found {
			continue
		}
		path, _ := cutQuery(request.Value(":path"))
		for j, r := range l.VirtualHosts.At(i).Routes.All() {
			c, err := newCondition(r)
			if err != nil {
				return i, -1, fmt.Errorf("route %q: %w", r.Name, err)
			}
			if c.holds(path, request, asked) {
				return i, j, nil
			}
		}
		return i, -1, nil
	}
	return -1, -1, nil
}
