package compiler

import (
	"cmp"
	"regexp"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
)

// transport is how requests come to the gateway.
type transport int

const (
	inTheClear transport = iota
	overTLS
)

// port is the one that a Host without one means.
func (t transport) port() string {
	if t == overTLS {
		return "443"
	}
	return "80"
}

// domainsOver443 are the domains HOST:443 that services have themselves.
func (b *build) domainsOver443() map[string]bool {
	taken := map[string]bool{}
	for _, h := range b.hosts {
		for _, domain := range h.domains {
			if strings.HasSuffix(domain, ":443") {
				taken[domain] = true
			}
		}
	}
	return taken
}

// secureHost makes of plain, the virtual host of h in the clear, the one over
// TLS: there HOST:443 is HOST, unless it is one of taken.
func (b *build) secureHost(h *gatewayHost, plain snapshot.VirtualHost, taken map[string]bool) snapshot.VirtualHost {
	others, own := "", 0 // whose HOST:443 is another's, and how many are free
	for _, domain := range h.domains {
		if _, port := splitPort(domain); port != "" {
			continue
		}
		if taken[domain+":443"] {
			others += domain + " "
		} else {
			own++
		}
	}
	if own == 0 {
		return plain
	}
	return b.c.secureHosts.get(h.service, []any{plain.Digest, others}, func() snapshot.VirtualHost {
		domains := plain.Domains.Slice()
		for _, domain := range h.domains {
			if _, port := splitPort(domain); port == "" && !taken[domain+":443"] {
				domains = append(domains, domain+":443")
			}
		}
		return lowerHost(plain.Name, domains, plain.Routes.Slice(), plain.Sources)
	})
}

// name is that of the virtual host; no service has an @ in its.
func (h *routeHost) name() string { return "routes@" + cmp.Or(h.host, "*") }

// lowerRouteHost makes the virtual host of h for requests over a transport.
func (b *build) lowerRouteHost(h *routeHost, over transport) snapshot.VirtualHost {
	inputs := []any{strings.Join(h.domains, " ")}
	for _, r := range h.routes {
		inputs = r.plugins.appendInput(r.target.appendInputs(append(inputs, r.doc, r.service)))
	}
	if h.owner != nil {
		inputs = h.owner.plugins.appendInput(h.owner.appendInputs(append(inputs, h.owner.service)))
	}
	return b.c.routeHosts[over].get(h.host, inputs, func() snapshot.VirtualHost {
		routes := make([]snapshot.Route, 0, len(h.routes)+1)
		docs := []*schema.Document{}
		from := func(target *gatewayHost) {
			docs = append(docs, target.service.doc)
			docs = append(docs, target.policies()...)
		}
		for _, r := range h.routes {
			some := r.lower(h.host, over)
			if len(some) == 0 {
				continue
			}
			routes = append(routes, some...)
			docs = append(docs, r.doc)
			from(r.target)
		}
		if h.owner != nil {
			for _, rest := range h.owner.lowerAll(h.owner.service.whole, "http", h.owner.plugins) {
				rest.Headers = snapshot.ListOf(append(rest.Headers.Slice(), authority(alternatives(h.owned)))...)
				routes = append(routes, rest)
			}
			from(h.owner)
		}
		return lowerHost(h.name(), h.domains, routes, sources(nil, docs...))
	})
}

// lower makes the snapshot's forms of the route in the virtual host of a host, for
// requests over a transport: those of conf.http come first.
func (r *routeUse) lower(host string, over transport) []snapshot.Route {
	authorized := r.authority
	if authorized != "" {
		authorized, _ = authorityOf(r.hosts, host, over.port())
	}
	switch {
	case over == inTheClear && !r.plain:
		return r.refuse(host, authorized)
	case over == overTLS && !r.secure:
		return nil
	}
	protocol := r.target.protocol("http")
	var out []snapshot.Route
	add := func(match snapshot.Route, arms []arm) {
		to := r.target.lowerTo(match, arms, protocol)
		to.Rewrite = match.Rewrite // that of the route stands for the service's
		to.HostFromEndpoint = to.HostFromEndpoint && !r.preserveHost
		r.plugins.fill(&to)
		if authorized != "" {
			to.Headers = snapshot.ListOf(append(to.Headers.Slice(), authority(authorized))...)
		}
		if over == overTLS {
			to.ServerNames = snapshot.ListOf(r.serverNames...)
		}
		out = append(out, to)
	}
	for i, x := range r.target.http {
		if match, ok, err := r.meet(i, x.rule); err == nil && ok { // else tellUnsplit tells
			add(match, x.arms)
		}
	}
	add(r.match, r.target.arms)
	return out
}

// refuse makes the routes that answer in the place of r.
func (r *routeUse) refuse(host, authorized string) []snapshot.Route {
	var out []snapshot.Route
	for _, x := range r.refusals {
		no := r.match
		no.Rewrite, no.Answer = snapshot.PathRewrite{}, x.answer
		if no.Answer.HTTPS {
			no.Answer.Host = host
		}
		headers := no.Headers.Slice()
		if x.grpc {
			headers = append(headers, snapshot.HeaderMatch{Name: "content-type", Prefix: "application/grpc"})
		}
		if authorized != "" {
			headers = append(headers, authority(authorized))
		}
		no.Headers = snapshot.ListOf(headers...)
		out = append(out, no)
	}
	return out
}

// authority is the condition that expr matches the Host header, in any case.
func authority(expr string) snapshot.HeaderMatch {
	return snapshot.HeaderMatch{Name: ":authority", Regex: "(?i)" + expr}
}

func alternatives(hosts []string) string {
	quoted := make([]string, len(hosts))
	for i, h := range hosts {
		quoted[i] = regexp.QuoteMeta(h)
	}
	return strings.Join(quoted, "|")
}
