package compiler

import (
	"iter"
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
// sorts them, for a machine.
func NewExplainer(docs []*schema.Document, on Node) *Explainer {
	c := New()
	c.Node = on
	b := c.newBuild(docs)
	resolve(b)
	attach(b)
	hosts := slices.Clone(b.hosts)
	order(b)
	b.hosts = hosts // those as well that have no domain left, for routes may lead to them
	return &Explainer{b}
}

// Choice is which policies of a kind apply at one place, and which do not.
type Choice struct {
	Kind string // "Timeout"
	// Applied holds one policy, or several where policies of equal rank unite.
	// Faults may have Lost alone: to some that are for others who call.
	Applied []*schema.Document
	// Lost are those that match as well, the next in line first.
	Lost []Loser
}

// Loser is a policy that another one beats.
type Loser struct {
	Policy *schema.Document
	To     *schema.Document
	Why    string // completes: To is used, for …
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
	// HTTP is where conf.http of its TrafficRoute sends requests, in order;
	// empty where it carries bytes.
	HTTP []Exception
}

// Exception is one of the conf.http of a TrafficRoute.
type Exception struct {
	Policy *schema.Document
	Index  int // in conf.http
	Split  []Share
}

// Shares iterates over all that o leads to.
func (o *OutboundExplained) Shares() iter.Seq[*Share] {
	return func(yield func(*Share) bool) {
		splits := [][]Share{o.Split}
		for _, e := range o.HTTP {
			splits = append(splits, e.Split)
		}
		for _, split := range splits {
			for i := range split {
				if !yield(&split[i]) {
					return
				}
			}
		}
	}
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
	// Entries are what the ingress of a zone hands on.
	Entries []EntryExplained
	// Metrics says that the proxy shows its metrics there, as its Mesh asks for.
	Metrics bool
}

// EntryExplained is what an ingress takes under one server name.
type EntryExplained struct {
	ServerName, Service string
	Endpoints           []string // ADDRESS:PORT, sorted
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
	for i := range v.listeners {
		l := &v.listeners[i]
		address := net.JoinHostPort(l.address, strconv.Itoa(int(l.port)))
		if l.direction == snapshot.Inbound {
			in := InboundExplained{Address: address, Service: l.service, Metrics: l.metrics != nil}
			if !l.ingress { // what passes through an ingress is decided upon where it goes
				in.Choices, in.MTLS = x.inbound(v.doc.Mesh, l.tags), x.b.hasMTLS(v.doc.Mesh) && l.guarded()
			}
			for _, e := range l.entries {
				to := EntryExplained{ServerName: e.sni, Service: e.service.name}
				for _, e := range e.endpoints(func(e endpoint) snapshot.Endpoint { return e.Endpoint }) {
					to.Endpoints = append(to.Endpoints, net.JoinHostPort(e.Address, strconv.Itoa(int(e.Port))))
				}
				in.Entries = append(in.Entries, to)
			}
			if !l.guarded() {
				in.Choices = slices.DeleteFunc(in.Choices, func(c Choice) bool { return c.Kind == "TrafficPermission" })
			}
			out.Inbounds = append(out.Inbounds, in)
			continue
		}
		out.Outbounds = append(out.Outbounds, x.outboundOf(v, l, address))
	}
	out.Choices = x.proxyWide(v.doc.Mesh, v.tags)
	return out, true
}

func (x *Explainer) outboundOf(v *view, l *listener, address string) OutboundExplained {
	o := OutboundExplained{Address: address, Service: l.service, Choices: x.outbound(v.doc.Mesh, v.tags, l.service, l.route)}
	var shares *kuma.Shares
	if l.route != nil {
		shares = &l.route.Body.(*kuma.TrafficRoute).Conf.Shares
	}
	o.Split = sharesOf(shares, l.tags)
	if l.protocol == snapshot.HTTP {
		for i, e := range l.http {
			o.HTTP = append(o.HTTP, Exception{l.route, i, sharesOf(&e.rule.Shares, l.tags)})
		}
	}
	for s := range o.Shares() {
		name := s.Destination[kuma.ServiceTag]
		s.Choices = x.target(v.doc.Mesh, v.tags, name)
		if to := x.b.service(serviceKey{v.doc.Mesh, name}); to != nil && l.protocol == snapshot.HTTP {
			s.Choices = append(s.Choices, x.faults(v.doc.Mesh, v.tags, newUse(to, x.b.subset(to, s.Destination), x.b.placeOf(v.doc.Mesh, v.tags), treatment{}))...)
		}
	}
	return o
}

// Gateway returns the policies for the gateway's requests to a service of a
// mesh, without those for the services that they are led to (Target).
func (x *Explainer) Gateway(mesh, service string) []Choice {
	tags := []map[string]string{gatewayTags}
	out := x.outbound(mesh, tags, service, x.b.rules("kuma/TrafficRoute", mesh).of(tags...).winner(service))
	return append(out, x.proxyWide(mesh, tags)...)
}

// Stream returns the policies for what the gateway takes as bytes by a Kong
// Route, whose ID is among sources, without those for where it is led to (Target).
func (x *Explainer) Stream(sources []string) []Choice {
	tags := []map[string]string{gatewayTags}
	for _, s := range x.b.streams {
		if slices.Contains(sources, s.doc.ID()) {
			return slices.DeleteFunc(x.outbound(s.to.mesh, tags, s.to.name, s.route), func(c Choice) bool { return c.Kind == "TrafficLog" })
		}
	}
	return nil
}

// Target returns the policies for a cluster that the traffic of a proxy is led
// to: a dataplane's, or the gateway's, as requests or as bytes.
func (x *Explainer) Target(proxyID, cluster string, bytes bool) []Choice {
	if proxyID == snapshot.GatewayID && bytes {
		for _, s := range x.b.streams {
			if out, ok := x.targetOf(s.to.mesh, []map[string]string{gatewayTags}, s.passage, cluster, false); ok {
				return out
			}
		}
		return nil
	}
	if proxyID == snapshot.GatewayID {
		for _, h := range x.b.hosts {
			if out, ok := x.targetOf(h.service.mesh, []map[string]string{gatewayTags}, h.passage, cluster, true); ok {
				return out
			}
		}
		return nil
	}
	for _, v := range x.b.views {
		if v.doc.Mesh+"."+v.doc.Name != proxyID {
			continue
		}
		for i := range v.listeners {
			l := &v.listeners[i]
			if out, ok := x.targetOf(v.doc.Mesh, v.tags, l.passage, cluster, l.protocol == snapshot.HTTP); ok {
				return out
			}
		}
	}
	return nil
}

// targetOf returns the policies for a cluster that p leads to.
func (x *Explainer) targetOf(mesh string, tags []map[string]string, p *passage, cluster string, http bool) (out []Choice, ok bool) {
	for a := range p.everywhere() {
		if a.name != cluster {
			continue
		}
		out = x.target(mesh, tags, a.service.name)
		if http {
			out = append(out, x.faults(mesh, tags, a.clusterUse)...)
		}
		return out, true
	}
	return nil, false
}

// hasMTLS reports whether the proxies of a mesh show certificates to one another.
func (b *build) hasMTLS(mesh string) bool {
	d := b.meshes[mesh]
	return d != nil && d.Body.(*kuma.Mesh).MTLS.EnabledBackend != ""
}

// Ingress returns the ingress that is at an address, and its zone; nil where
// there is none.
func (x *Explainer) Ingress(host string, port uint16) (d *schema.Document, zone string) {
	for _, in := range x.b.zones.ingresses {
		if in.host == host && in.port == port {
			return in.doc, in.zone
		}
	}
	return nil, ""
}

// Asked returns the service that the requests of a route of the gateway ask for,
// which is number i of a virtual host. Where that is of routes, by is the document
// of the route, or of the service that has the host for a name. ok is false for a
// route that nobody wrote.
func (x *Explainer) Asked(host snapshot.VirtualHost, i int) (mesh, service string, by *schema.Document, ok bool) {
	for _, h := range x.b.hosts {
		if h.service.whole == host.Name {
			return h.service.mesh, h.service.name, nil, true
		}
	}
	for _, h := range x.b.routeHosts {
		if h.name() != host.Name {
			continue
		}
		// The owner's are the last. A route may have the name of any service.
		if h.owner != nil && i >= host.Routes.Len()-len(h.owner.http)-1 {
			return h.owner.service.mesh, h.owner.service.name, h.owner.service.doc, true
		}
		name := host.Routes.At(i).Name
		if end := strings.LastIndex(name, " http["); end >= 0 { // one of conf.http of a TrafficRoute
			name = name[:end]
		}
		for _, r := range h.routes {
			if r.match.Name == name {
				return r.service.mesh, r.service.name, r.doc, true
			}
		}
	}
	return "", "", nil, false
}
