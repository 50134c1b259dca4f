package compiler

import (
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/kuma"
)

// Explainer says which policies apply to whom, and why, by the passes that
// compile. Documents that are wrong together are explained as far as they go.
type Explainer struct{ b *build }

// NewExplainer returns an Explainer of docs, which are sorted as Loader.Load
// sorts them.
func NewExplainer(docs []*schema.Document) *Explainer {
	b := New().newBuild(docs)
	resolve(b)
	attach(b)
	return &Explainer{b}
}

// Choice is which policies of a kind apply at one place, and which do not.
type Choice struct {
	Kind string // "Timeout"
	// Applied holds one policy, or several where policies of equal rank unite.
	Applied []*schema.Document
	// Lost are those that match as well, the next in line first.
	Lost []Loser
}

// Loser is a policy that another one beats.
type Loser struct {
	Policy *schema.Document
	Why    string // completes: the other one is used, for …
}

// ProxyExplained is what a dataplane gets.
type ProxyExplained struct {
	Dataplane *schema.Document
	Outbounds []OutboundExplained
	Inbounds  []InboundExplained
	Choices   []Choice // of policies that select proxies
}

// OutboundExplained is one outbound of a dataplane.
type OutboundExplained struct {
	Address string // ADDRESS:PORT
	Service string
	Choices []Choice
	// Split is where its traffic goes, shares of 0 left out.
	Split []Share
}

// Share is a part of the traffic of an outbound.
type Share struct {
	Weight      uint32
	Destination map[string]string // tags, without wildcards where the outbound fills them in
	Choices     []Choice          // of policies that are for the destination, and not for the outbound
}

// InboundExplained is one inbound of a dataplane.
type InboundExplained struct {
	Address string // ADDRESS:PORT
	Service string
	Choices []Choice
	// MTLS says that it admits only whom its TrafficPermissions name.
	MTLS bool
}

// Proxies returns the IDs of the dataplanes, sorted.
func (x *Explainer) Proxies() []string {
	var out []string
	for _, d := range x.b.dataplanes {
		out = append(out, d.Mesh+"."+d.Name)
	}
	slices.Sort(out)
	return out
}

// Proxy returns what the dataplane MESH.NAME gets; ok is false where there is none.
func (x *Explainer) Proxy(id string) (out ProxyExplained, ok bool) {
	i := slices.IndexFunc(x.b.views, func(v *view) bool { return v.doc.Mesh+"."+v.doc.Name == id })
	if i < 0 {
		return out, false
	}
	v := x.b.views[i]
	out.Dataplane = v.doc
	for _, l := range v.listeners {
		address := net.JoinHostPort(l.address, strconv.Itoa(int(l.port)))
		if l.direction == snapshot.Inbound {
			out.Inbounds = append(out.Inbounds, InboundExplained{address, l.service, x.inbound(v.doc.Mesh, l.tags), x.b.hasMTLS(v.doc.Mesh)})
			continue
		}
		o := OutboundExplained{Address: address, Service: l.service}
		o.Split = x.shares(l.route, l.tags)
		o.Choices = x.outbound(v.doc.Mesh, v.tags, l.service, o.Split)
		if l.protocol == snapshot.HTTP {
			o.Choices = append(o.Choices, x.faults(v.doc.Mesh, v.tags, l.passage)...)
		}
		for i := range o.Split {
			o.Split[i].Choices = x.target(v.doc.Mesh, v.tags, o.Split[i].Destination[kuma.ServiceTag])
		}
		out.Outbounds = append(out.Outbounds, o)
	}
	out.Choices = x.proxyWide(v.doc.Mesh, v.tags)
	return out, true
}

// Gateway returns the policies for the gateway's requests to a service of a mesh.
func (x *Explainer) Gateway(mesh, service string) []Choice {
	tags := []map[string]string{gatewayTags}
	split := x.shares(x.b.rules("kuma/TrafficRoute", mesh).of(tags...).winner(service), map[string]string{kuma.ServiceTag: service})
	out := slices.Concat(x.outbound(mesh, tags, service, split), x.target(mesh, tags, service))
	for _, h := range x.b.hosts {
		if h.service.serviceKey == (serviceKey{mesh, service}) {
			out = append(out, x.faults(mesh, tags, h.passage)...)
		}
	}
	return append(out, x.proxyWide(mesh, tags)...)
}

// faults are those that whoever has tags injects into what goes over p.
func (x *Explainer) faults(mesh string, tags []map[string]string, p *passage) []Choice {
	c := Choice{Kind: "FaultInjection"}
	x.b.matchTargets(x.b.rules("kuma/FaultInjection", mesh), tags, p.targets(), &viewUses{}, func(d *schema.Document, _ string) {
		if !slices.Contains(c.Applied, d) {
			c.Applied = append(c.Applied, d)
		}
	})
	if len(c.Applied) == 0 {
		return nil
	}
	slices.SortFunc(c.Applied, func(x, y *schema.Document) int { return strings.Compare(x.Name, y.Name) })
	return []Choice{c}
}

// Policies that are chosen for an outbound, and those that are chosen for each
// of the services that its traffic leads to.
var (
	forOutbound = []string{"TrafficRoute", "Timeout", "Retry", "TrafficLog"}
	forTarget   = []string{"HealthCheck", "CircuitBreaker"}
	forProxy    = []string{"TrafficTrace", "ProxyTemplate"}
	// forInbound are chosen by the tags of the inbound. A fault acts on those who
	// call it.
	forInbound = []string{"TrafficPermission", "FaultInjection"}
)

func (x *Explainer) outbound(mesh string, tags []map[string]string, service string, split []Share) []Choice {
	var out []Choice
	for _, kind := range forOutbound {
		if kind == "Retry" && !slices.ContainsFunc(split, func(s Share) bool { return s.Destination[kuma.ServiceTag] == service }) {
			continue // retries are those of the services that routes lead to (Kuma's rule)
		}
		out = appendChoice(out, kind, x.b.rules("kuma/"+kind, mesh).of(tags...).contenders(service), false)
	}
	return out
}

func (x *Explainer) target(mesh string, tags []map[string]string, service string) []Choice {
	var out []Choice
	for _, kind := range forTarget {
		out = appendChoice(out, kind, x.b.rules("kuma/"+kind, mesh).of(tags...).contenders(service), false)
	}
	return out
}

func (x *Explainer) inbound(mesh string, tags map[string]string) []Choice {
	var out []Choice
	for _, kind := range forInbound {
		out = appendChoice(out, kind, x.b.rules("kuma/"+kind, mesh).of(tags).contenders(""), true)
	}
	return out
}

// hasMTLS reports whether the proxies of a mesh show certificates to one another.
func (b *build) hasMTLS(mesh string) bool {
	d := b.meshes[mesh]
	return d != nil && d.Body.(*kuma.Mesh).MTLS.EnabledBackend != ""
}

func (x *Explainer) proxyWide(mesh string, tags []map[string]string) []Choice {
	var out []Choice
	for _, kind := range forProxy {
		out = appendChoice(out, kind, x.b.rules("kuma/"+kind, mesh).of(tags...).contenders(""), false)
	}
	return out
}

// appendChoice adds the choice among contenders, of which the best is the first.
func appendChoice(out []Choice, kind string, all []contender, united bool) []Choice {
	if len(all) == 0 {
		return out
	}
	top := all[0]
	c := Choice{Kind: kind}
	for i, o := range all {
		switch {
		case i == 0, united && o.rank == top.rank:
			c.Applied = append(c.Applied, o.doc)
		case o.rank == top.rank && o.created.Equal(top.created):
			c.Lost = append(c.Lost, Loser{o.doc, "its name comes first, and they are equal in all else"})
		default:
			c.Lost = append(c.Lost, Loser{o.doc, whyBetter(top.rank, o.rank)})
		}
	}
	slices.SortFunc(c.Applied, func(x, y *schema.Document) int { return strings.Compare(x.Name, y.Name) })
	return append(out, c)
}

// shares returns where traffic to an outbound with tags goes under route, which
// may be nil: then all goes to the outbound itself.
func (x *Explainer) shares(route *schema.Document, tags map[string]string) []Share {
	if route == nil {
		return []Share{{Weight: 100, Destination: tags}}
	}
	var out []Share
	for _, part := range route.Body.(*kuma.TrafficRoute).Conf.Arms() {
		if part.Weight == 0 {
			continue
		}
		out = append(out, Share{Weight: part.Weight, Destination: destination(tags, part.Destination)})
	}
	return out
}

// destination returns the tags that a destination of a route means for an
// outbound with tags (Kuma's rule): a wildcard stands for the outbound's own
// value, or for any where it has none, and tags of the outbound that the
// destination does not name are added.
func destination(tags, of map[string]string) map[string]string {
	out := maps.Clone(tags)
	for k, v := range of {
		if v != "*" {
			out[k] = v
		}
	}
	return out
}

// Service returns the service that a route of the gateway is for, as the
// snapshot names the route; ok is false for a route that it does not have.
func (x *Explainer) Service(route string) (mesh, service string, ok bool) {
	name, _, _ := strings.Cut(route, " ") // what follows is one of conf.http of a TrafficRoute
	for _, r := range x.b.gatewayRoutes {
		if r.match.Name == route {
			return r.service.mesh, r.service.name, true
		}
	}
	for _, h := range x.b.hosts {
		if h.service.whole == name {
			return h.service.mesh, h.service.name, true
		}
	}
	return "", "", false
}
