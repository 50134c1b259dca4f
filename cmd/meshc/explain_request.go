package main

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/meshc/meshc/compiler"
	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/proxy"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
)

// asker answers for one request.
type asker struct {
	snap      snapshot.Snapshot
	documents map[string]*schema.Document // by ID
	explainer *compiler.Explainer
	headers   filter.Headers
	// listener is the name or the ADDRESS:PORT of the one that is asked for, or "".
	listener string
	// tls says that the client begins with TLS, and serverName is what it asks
	// for there; "" for nothing.
	tls        bool
	serverName string
	named      bool // by --sni, and not by the host
}

// requestOf returns the request that the flags describe.
func requestOf(c *cli.Context) (h filter.Headers, err error) {
	path := c.String("path")
	if !strings.HasPrefix(path, "/") {
		return h, failed("--path %q does not begin with /", path)
	}
	h.Add(":method", c.String("method"))
	if overTLS(c) {
		h.Add(":scheme", "https")
	} else {
		h.Add(":scheme", "http")
	}
	h.Add(":authority", c.String("host"))
	h.Add(":path", path)
	for _, line := range c.StringSlice("header") {
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return h, failed("--header %q is not NAME: VALUE", line)
		}
		h.Add(strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value))
	}
	return h, nil
}

// overTLS reports whether the flags say that the client begins with TLS.
func overTLS(c *cli.Context) bool {
	return c.Bool("https") || c.IsSet("sni") || c.String("listener") == snapshot.GatewayTLS
}

// serverNameOf returns the server name that a client asks for: the one that is
// given, else the host, unless that is an address (RFC 6066, section 3).
func serverNameOf(c *cli.Context) string {
	if c.IsSet("sni") {
		return strings.ToLower(c.String("sni"))
	}
	host := c.String("host")
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return ""
	}
	return strings.ToLower(host)
}

// answer says what the request meets at a proxy.
func (a *asker) answer(proxyID string) (out requestAnswer, err error) {
	out.Proxy = proxyID
	l, ok := a.listenerOf(proxyID)
	if !ok {
		out.Answer = "no outbound of the dataplane is for this host: name the service or the ADDRESS:PORT of one"
		switch {
		case a.listener != "":
			out.Answer = "the proxy has no such listener"
		case proxyID == snapshot.GatewayID:
			out.Answer = "the gateway does not listen for TLS: no certificate has a server name, and no route is for https alone"
		}
		return out, nil
	}
	out.Listener, out.Clients = a.placed(l.Name, l.Sources), l.SourceRanges.Slice()
	sni := ""
	if l.Chains.Len() > 0 {
		chain, ok := a.chainOf(l)
		if !ok {
			for _, c := range l.Chains.All() {
				out.ServerNames = append(out.ServerNames, c.ServerNames.Slice()...)
			}
			out.Answer = fmt.Sprintf("closed: there is nothing for the server name %q", a.serverName)
			return out, nil
		}
		out.Chain, sni = a.placed(chain.Name, chain.Sources), a.serverName
		out.OwnCertificate = slices.Contains(chain.Certificates.Slice(), snapshot.OwnCertificate())
		if chain.SourceRanges.Len() > 0 {
			out.Clients = chain.SourceRanges.Slice()
		}
		if chain.Protocol != snapshot.HTTP {
			l.Protocol, l.Targets, l.Sources = chain.Protocol, chain.Targets, chain.Sources
		}
	}
	if l.Protocol != snapshot.HTTP {
		if l.Direction == snapshot.Gateway {
			out.choices = a.explainer.Stream(l.Sources.Slice())
		}
		a.policies(&out, proxyID, l, snapshot.Route{Targets: l.Targets})
		a.targets(&out, proxyID, l, l.Targets, snapshot.List[snapshot.HashKey]{})
		return out, nil
	}
	host, route, err := proxy.Lookup(l, &a.headers, sni)
	if err != nil {
		return out, err
	}
	if host < 0 {
		out.Answer = "404: no virtual host has this host"
		if _, err := netip.ParseAddrPort(a.headers.Value(":authority")); err == nil && a.listener == "" {
			out.Answer += ", and no listener is opened for this address"
		}
		return out, nil
	}
	vh := l.VirtualHosts.At(host)
	out.VirtualHost = a.placed(vh.Name, vh.Sources)
	if route < 0 {
		out.Answer = "404: no route of the virtual host matches"
		return out, nil
	}
	r := vh.Routes.At(route)
	out.Route = a.placed(r.Name, vh.Sources)
	var by *schema.Document // whose route it is, of the gateway
	if l.Direction == snapshot.Gateway {
		var mesh, service string
		if mesh, service, by, ok = a.explainer.Asked(vh, route); ok {
			out.choices = a.explainer.Gateway(mesh, service)
		}
	}
	a.policies(&out, proxyID, l, r)
	if at, ok := exceptionAt(out.choices, r.Name); ok || by != nil {
		out.Route.Places = nil
		if by != nil {
			out.Route.Places = append(out.Route.Places, placeOf(by))
		}
		if ok {
			out.Route.Places = append(out.Route.Places, at)
		}
	}
	if status := r.Answer.Status; status != 0 {
		out.Answer, out.answers = fmt.Sprintf("%d, by the proxy itself", status), true
		if r.Answer.HTTPS {
			to := cmp.Or(r.Answer.Host, a.headers.Value(":authority"))
			if h, _, err := net.SplitHostPort(to); err == nil && r.Answer.Host == "" {
				to = net.JoinHostPort(h, "443")
			}
			out.Answer += ": to https://" + to + a.headers.Value(":path")
		}
		return out, nil
	}
	a.targets(&out, proxyID, l, r.Targets, r.Hash)
	return out, nil
}

// exceptionAt is where a TrafficRoute among choices has the conf.http that a
// route of this name is; ok is false for any other route.
func exceptionAt(choices []compiler.Choice, route string) (at diag.Place, ok bool) {
	var index int
	rest := route[max(strings.LastIndex(route, " http["), 0):]
	if _, err := fmt.Sscanf(rest, " http[%d]", &index); err != nil {
		return at, false
	}
	for _, c := range choices {
		if c.Kind == "TrafficRoute" && len(c.Applied) > 0 {
			return c.Applied[0].Place("conf", "http", index), true
		}
	}
	return at, false
}

// policies adds what applies to the request, which takes a route, to what is known
// of the gateway's, and fills in why.
func (a *asker) policies(out *requestAnswer, proxyID string, l snapshot.Listener, route snapshot.Route) {
	address := net.JoinHostPort(l.Address, strconv.Itoa(int(l.Port)))
	switch p, _ := a.explainer.Proxy(proxyID); l.Direction {
	case snapshot.Inbound:
		for _, in := range p.Inbounds {
			if in.Address == address {
				out.choices = slices.Concat(in.Choices, p.Choices)
			}
		}
	case snapshot.Outbound:
		for _, o := range p.Outbounds {
			if o.Address == address {
				out.choices = slices.Concat(o.Choices, p.Choices)
			}
		}
	}
	if whole, each := targetsOf(slices.Values(a.shares(proxyID, l, route.Targets))); !each {
		out.choices = append(out.choices, whole...)
	}
	out.choices = append(out.choices, a.plugins(l, route.Filters)...)
	out.Policies = reasonsOf(out.choices)
}

// plugins are the WasmPlugins that run for a route of l with these filters, in order.
func (a *asker) plugins(l snapshot.Listener, route snapshot.List[string]) []compiler.Choice {
	c := compiler.Choice{Kind: "WasmPlugin"}
	for _, f := range l.Filters.All() {
		if f.PerRoute && !slices.Contains(route.Slice(), f.Ref()) {
			continue
		}
		for _, id := range f.Sources.All() {
			if d := a.documents[id]; d != nil && d.Kind == c.Kind {
				c.Applied = append(c.Applied, d)
			}
		}
	}
	if len(c.Applied) == 0 {
		return nil
	}
	return []compiler.Choice{c}
}

// pluginsAt are the WasmPlugins of the listener of a dataplane at ADDRESS:PORT.
func (a *asker) pluginsAt(proxyID, address string) []compiler.Choice {
	for _, p := range a.snap.Proxies.All() {
		for _, l := range p.Listeners.All() {
			if p.ID == proxyID && net.JoinHostPort(l.Address, strconv.Itoa(int(l.Port))) == address {
				return a.plugins(l, snapshot.List[string]{})
			}
		}
	}
	return nil
}

// shares are targets of a listener, with the policies for each.
func (a *asker) shares(proxyID string, l snapshot.Listener, targets snapshot.List[snapshot.Target]) []*compiler.Share {
	var out []*compiler.Share
	for _, t := range targets.All() {
		s := &compiler.Share{Weight: t.Weight}
		if l.Direction == snapshot.Gateway || l.Direction == snapshot.Outbound {
			s.Choices = a.explainer.Target(proxyID, t.Cluster, l.Protocol != snapshot.HTTP)
		}
		out = append(out, s)
	}
	return out
}

func reasonsOf(choices []compiler.Choice) []choiceJSON {
	var out []choiceJSON
	for _, c := range choices {
		j := choiceJSON{Kind: c.Kind, Applied: []policyJSON{}}
		for _, d := range c.Applied {
			j.Applied = append(j.Applied, policyOf(d))
		}
		for _, l := range c.Lost {
			j.Lost = append(j.Lost, lostJSON{policyOf(l.Policy), l.To.Name, l.Why})
		}
		out = append(out, j)
	}
	return out
}
