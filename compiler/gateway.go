package compiler

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
)

// gatewayRoute is a way into the gateway that a document asks for, beside the
// names of services. It depends on nothing but the content of doc and service.
type gatewayRoute struct {
	doc     *schema.Document
	service *service
	// hosts are those of which the request must have one, in lower case; none
	// means every host. A star may be the first or the last label and stands
	// for one or more labels; a host without a port means any port.
	hosts []string
	// match is what else the request must be like, and how its path is
	// rewritten. Its name is unique. Where it leads is filled in by lower.
	match snapshot.Route
	// stripped is the start of the path that is not part of it for the service;
	// unclear says that it is whatever a pattern takes.
	stripped string
	unclear  bool
	// preserveHost sends the client's Host on, and not the endpoint's name.
	preserveHost bool
	// plain and secure say that it takes requests in the clear, and over TLS. In
	// the place of the first there may be refusals of them.
	plain, secure bool
	refusals      []refusal
	// serverNames are those of which a client must have asked for one, over TLS;
	// none means any.
	serverNames []string
}

// refusal is an answer to requests that come over the wrong transport.
type refusal struct {
	answer snapshot.Answer
	grpc   bool // it is for gRPC alone
}

// routeHost is a virtual host of the gateway that routes make: that of one
// host, whatever its port, or that of all hosts which nobody names.
type routeHost struct {
	host   string // "" for all that nobody names
	routes []routeUse
	// owner is the service that has host for a name: it gets what no route
	// takes, under the domains that were its own. It may be nil.
	owner   *gatewayHost
	owned   []string
	domains []string
}

// routeUse is a route in a virtual host.
type routeUse struct {
	*gatewayRoute
	target *gatewayHost
	// authority is the expression for the Host header where the virtual host
	// alone does not say that the route's hosts match, else "".
	authority string
	plugins   *routePlugins
}

// checkRegex returns what is wrong with a regular expression that is to match
// all of a path or of a header.
func checkRegex(expr string) error {
	_, err := snapshot.ParseRegex(expr)
	return err
}

// regexProblem is err, of an expression for the values of a header, without any
// part of that: it may hold a token.
func regexProblem(err error) string {
	var e *snapshot.RegexError
	if errors.As(err, &e) {
		return e.Problem
	}
	return err.Error()
}

// attachRoutes notes where each service leads at the gateway, for the routes to it.
func (b *build) attachRoutes() {
	if len(b.gatewayRoutes) == 0 {
		return
	}
	b.targets = make(map[*service]*gatewayHost, len(b.hosts))
	for _, h := range b.hosts {
		b.targets[h.service] = h
	}
	b.tellUnsplit()
}

// orderRoutes makes the virtual hosts that the routes ask for. Each holds all
// routes that can match its host, in their order, for a data plane looks into
// one virtual host only. A host that only a service has for a name is not among
// them: no route reaches it by a star or by saying nothing.
func (b *build) orderRoutes() {
	named := map[string][]int{} // by host, the routes that name it without a star
	var general []int           // the others, which may match any host
	for i, r := range b.gatewayRoutes {
		if b.targets[r.service] == nil {
			continue // not served at the gateway: unsupported tells
		}
		if len(r.hosts) == 0 {
			general = append(general, i)
		}
		for _, pattern := range r.hosts {
			host, _ := splitPort(pattern)
			if !strings.Contains(host, "*") {
				named[host] = append(named[host], i)
			} else if n := len(general); n == 0 || general[n-1] != i {
				general = append(general, i)
			}
		}
	}
	if len(general) > 0 {
		b.routeHosts = append(b.routeHosts, b.newRouteHost("", general))
	}
	owners := b.takeHosts(named)
	for _, host := range slices.Sorted(maps.Keys(named)) {
		indices := slices.Concat(named[host], general)
		slices.Sort(indices)
		h := b.newRouteHost(host, slices.Compact(indices))
		if o, ok := owners[host]; ok {
			h.owner, h.owned = o.host, append(o.domains, host)
			h.domains = append(h.domains, o.domains...)
		}
		b.routeHosts = append(b.routeHosts, h)
	}
}

func (b *build) newRouteHost(host string, indices []int) *routeHost {
	h := &routeHost{host: host, domains: []string{"*"}}
	if host != "" {
		h.domains = []string{host, host + ":*"}
	}
	for _, i := range indices {
		r := b.gatewayRoutes[i]
		if authority, ok := authorityOf(r.hosts, host, inTheClear.port()); ok {
			h.routes = append(h.routes, routeUse{gatewayRoute: r, target: b.targets[r.service], authority: authority})
		}
	}
	return h
}

// authorityOf returns the expression that says whether a request to host has
// one of patterns, "" where it always has; ok is false where it never has.
// standard is the port that a Host without one means.
func authorityOf(patterns []string, host, standard string) (expr string, ok bool) {
	if len(patterns) == 0 {
		return "", true
	}
	var alternatives []string
	for _, pattern := range patterns {
		name, port := splitPort(pattern)
		if host == "" && !strings.Contains(name, "*") || host != "" && !covers(name, host) {
			continue
		}
		if host != "" && port == "" {
			return "", true
		}
		e := strings.ReplaceAll(regexp.QuoteMeta(name), `\*`, ".+")
		switch port {
		case "":
			e += "(?::[0-9]+)?"
		case standard:
			e += "(?::" + port + ")?"
		default:
			e += ":" + port
		}
		alternatives = append(alternatives, e)
	}
	return strings.Join(alternatives, "|"), len(alternatives) > 0
}

// covers reports whether a name, in which a star may be the first or the last
// label, stands for host.
func covers(name, host string) bool {
	if rest, ok := strings.CutPrefix(name, "*"); ok {
		return len(host) > len(rest) && strings.HasSuffix(host, rest)
	}
	if rest, ok := strings.CutSuffix(name, "*"); ok {
		return len(host) > len(rest) && strings.HasPrefix(host, rest)
	}
	return name == host
}

// splitPort takes the port off a host, "" where it has none. A bare IPv6
// address gets its brackets, as it has them in a Host header.
func splitPort(s string) (host, port string) {
	i := strings.LastIndexByte(s, ':')
	switch {
	case i < 0 || strings.HasSuffix(s, "]"):
		return s, ""
	case strings.Count(s, ":") > 1 && !strings.HasPrefix(s, "["):
		return "[" + s + "]", ""
	}
	return s[:i], s[i+1:]
}

// owned is a service whose name is also the host of a route, and the domains
// that it gives up to the route's virtual host.
type owned struct {
	host    *gatewayHost
	domains []string
}

// takeHosts takes from services the hosts that routes name, and HOST:80 and
// HOST:443, which are the same. Between documents of different dialects that may be a mistake,
// so it is reported.
func (b *build) takeHosts(named map[string][]int) map[string]owned {
	owners := map[string]owned{}
	if len(named) == 0 {
		return owners
	}
	for _, h := range b.hosts {
		for _, domain := range h.domains {
			if routes := named[domain]; len(routes) > 0 {
				owners[domain] = owned{host: h}
				if first := b.gatewayRoutes[routes[0]]; h.service.dialect != first.doc.Dialect {
					b.report(diag.CodeHostTwice, diag.Warning, first.doc, []any{"hosts"},
						fmt.Sprintf("host %s is also a name of service %s: the gateway serves it by this route, and gives the service only what no route matches", domain, h.service.name),
						"name another host in one of the two, or the service's port in the Host header",
						diag.Related{Place: h.service.doc.Place(h.service.path...), Message: "the service that has it"})
				}
			}
		}
	}
	for host, o := range owners {
		o.host.domains = slices.DeleteFunc(slices.Clone(o.host.domains), func(domain string) bool {
			if domain == host {
				return true
			}
			if domain == host+":80" || domain == host+":443" {
				o.domains = append(o.domains, domain)
				return true
			}
			return false
		})
		o.host.kept = strings.Join(o.host.domains, " ")
		owners[host] = o
	}
	b.hosts = slices.DeleteFunc(b.hosts, func(h *gatewayHost) bool { return len(h.domains) == 0 })
	return owners
}
