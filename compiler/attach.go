package compiler

import (
	"cmp"
	"fmt"
	"net"
	"slices"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/kuma"
)

// gatewayTags are what the gateway is to policies, in each mesh.
var gatewayTags = map[string]string{kuma.ServiceTag: snapshot.GatewayID}

// gatewayHost is a service as the gateway serves it.
type gatewayHost struct {
	service *service
	*passage
	domains []string // those of the service that no other has claimed
	kept    string   // the same in one word where some were lost, else ""
	plugins *routePlugins
}

// view is a dataplane as a proxy: its document and what it listens on. It is kept
// over compiles; plugins are attached to its listeners in each.
type view struct {
	id        string // MESH.NAME
	doc       *schema.Document
	tags      []map[string]string // of its inbounds, or as a gateway
	listeners []listener
	// metrics are those that it was made with, of its mesh or its own.
	metrics *metricsConf
	// found says that something is wrong with it.
	found bool
	// matched says that its listeners have their uses, for which mesh counted,
	// and wrong is what is wrong with these together.
	matched bool
	mesh    *schema.Document
	wrong   []diag.Diagnostic
	// tells says that there is something to tell of its uses: what is wrong, or
	// whom they call.
	tells bool
	// admitted are the permissions of each listener; nil where they are to be
	// looked up.
	admitted [][]*schema.Document
	// stamp changes with its uses and with admitted.
	stamp int
	// clusters and locals are those that its listeners refer to, but for those
	// of an ingress.
	clusters []*clusterUse
	locals   []localKey
	plugged  bool // a listener has plugins
	ingress  bool // listeners have entries
	lowered  *loweredView
}

// listener is an inbound or outbound before it is lowered.
type listener struct {
	id        string // its name in the snapshot and in Envoy, as Kuma has it
	direction snapshot.Direction
	protocol  snapshot.Protocol
	address   string
	port      uint16
	service   string
	// tags are those of an inbound, or those that an outbound asks for.
	tags map[string]string
	// path is where the dataplane's document has it.
	path []any
	*passage
	// local is where an inbound for a service hands its traffic on.
	local local
	// ingress says that it is that of a zone, which hands on by entries.
	ingress bool
	entries []entry
	metrics *metricsConf // of the listener that shows them, else nil
	plugins []*plugin    // in order
	uses    []*use       // of the other kinds
}

// hasLocal reports whether l hands on to the application beside it.
func (l *listener) hasLocal() bool {
	return l.direction == snapshot.Inbound && !l.ingress && l.metrics == nil
}

// attach decides for every service at the gateway and every outbound of a
// dataplane which route applies and which clusters it leads to.
func attach(b *build) {
	b.compareWithLast()
	b.checkRoutes()
	b.attachGateway()
	b.attachNode()
	b.keepViews()
	b.attachIngresses()
}

func (b *build) attachGateway() {
	b.hosts = make([]*gatewayHost, 0, len(b.sorted))
	hosts := make([]gatewayHost, len(b.sorted)) // one allocation for all
	for i, p := range b.gatewayPassages() {
		if p != nil {
			hosts[i] = gatewayHost{service: p.own, passage: p}
			b.hosts = append(b.hosts, &hosts[i])
		}
	}
	b.attachRoutes()
	b.attachStreams()
}

// attachDataplane makes the view of a dataplane, with its listeners in order.
func (b *build) attachDataplane(d *schema.Document) *view {
	dp := d.Body.(*kuma.Dataplane)
	v, before := &view{id: d.Mesh + "." + d.Name, doc: d, metrics: b.shownBy(d), ingress: dp.Networking.Ingress != nil}, len(b.diags)
	v.listeners = make([]listener, 0, len(dp.Networking.Inbound)+len(dp.Networking.Outbound)+1)
	for i, in := range dp.Networking.Inbound {
		v.tags = append(v.tags, in.Tags)
		l := listener{
			direction: snapshot.Inbound, protocol: listens(in.Tags[kuma.ProtocolTag]), passage: nowhere,
			address: inboundAddress(dp, in), port: uint16(in.Port),
			service: in.Tags[kuma.ServiceTag], tags: in.Tags,
			path:  []any{"networking", "inbound", i, "port"},
			local: local{address: "127.0.0.1", port: uint16(in.Port)},
		}
		if net.ParseIP(l.address) == nil {
			continue // a listener binds an address, not a name: unsupported tells
		}
		if in.ServiceAddress != "" {
			l.local.address = canonicalIP(in.ServiceAddress)
		}
		if in.ServicePort != 0 {
			l.local.port = uint16(in.ServicePort)
		}
		if l.ingress = v.ingress; l.ingress {
			l.protocol, l.local = snapshot.TCP, local{}
			v.listeners = append(v.listeners, l)
			continue
		}
		l.local.http2 = l.protocol == snapshot.HTTP && in.Tags[kuma.ProtocolTag] != "http"
		l.local = l.local.named()
		v.listeners = append(v.listeners, l)
	}
	if g := dp.Networking.Gateway; g != nil {
		v.tags = append(v.tags, g.Tags)
	}
	var from *caller
	inVain := false // what may be told once for many is told anew with each
	if len(dp.Networking.Outbound) > 0 {
		from = b.callerOf(d.Mesh, v.tags...)
	}
	for i, out := range dp.Networking.Outbound {
		tags := out.Tags
		if tags[kuma.ServiceTag] == "" {
			// The legacy form names only the service.
			tags = map[string]string{kuma.ServiceTag: out.Service}
		}
		name := tags[kuma.ServiceTag]
		l := listener{
			direction: snapshot.Outbound,
			address:   "127.0.0.1", port: uint16(out.Port),
			service: name, tags: tags,
			path: []any{"networking", "outbound", i, "port"},
		}
		if out.Address != "" {
			l.address = canonicalIP(out.Address)
		}
		if b.service(serviceKey{d.Mesh, name}) == nil {
			field := []any{"networking", "outbound", i, "tags", kuma.ServiceTag}
			if len(out.Tags) == 0 {
				field = []any{"networking", "outbound", i, "service"}
			}
			b.reportUnknownService(diag.Warning, d, field, d.Mesh, name)
		}
		b.checkSubset(d, i, tags)
		l.passage = b.passage(from, tags)
		l.protocol = listens(l.passage.protocol("tcp"))
		if l.protocol == snapshot.TCP && len(l.http) > 0 && l.own != nil {
			b.addOnce([]diag.Diagnostic{finding(diag.CodeNotApplied, diag.Warning, l.route, []any{"conf", "http"},
				fmt.Sprintf("conf.http is not looked at for service %s: not all that it leads to speaks HTTP, so bytes are carried", name),
				"give the inbounds of all of it kuma.io/protocol: http, http2 or grpc", diag.Related{Place: d.Place(l.path...), Message: "an outbound for it"})})
			inVain = true
		}
		v.listeners = append(v.listeners, l)
	}
	b.attachMetrics(v)
	for i := range v.listeners {
		l := &v.listeners[i]
		l.id = fmt.Sprintf("%s:%s:%d", l.direction, l.address, l.port)
	}
	b.checkPorts(v)
	slices.SortStableFunc(v.listeners, func(x, y listener) int { return cmp.Compare(x.id, y.id) })
	v.noteClusters()
	_, known := b.meshes[d.Mesh] // until it is, what is missing there is not told
	v.found = inVain || !known || len(b.diags) > before
	return v
}

// checkSubset reports an outbound of d whose tags no endpoint of its service has.
func (b *build) checkSubset(d *schema.Document, i int, tags map[string]string) {
	s := b.service(serviceKey{d.Mesh, tags[kuma.ServiceTag]})
	if s != nil && len(s.endpoints) > 0 && !s.hasSubset(tags) {
		b.reportMissing(s.name, diag.CodeMatchesNothing, diag.Warning, d, []any{"networking", "outbound", i, "tags"},
			fmt.Sprintf("no endpoint of service %s has these tags, so traffic to this outbound gets 503", s.name),
			"use tags that an inbound of the service carries")
	}
}

// hasSubset reports whether an endpoint has the tags of a destination,
// wildcards and the service's own name aside.
func (s *service) hasSubset(destination map[string]string) bool {
	return slices.ContainsFunc(s.endpoints, func(e endpoint) bool {
		for k, v := range destination {
			if v != "*" && k != kuma.ServiceTag && e.tags[k] != v {
				return false
			}
		}
		return true
	})
}

// reportUnknownService reports that nothing in mesh is the service name. In a
// mesh that nobody defines, that is the mistake, and it has been reported.
func (b *build) reportUnknownService(sev diag.Severity, d *schema.Document, path []any, mesh, name string) {
	if _, ok := b.meshes[mesh]; !ok {
		return
	}
	known := b.known[mesh]
	if known == nil {
		known = map[string]bool{}
		for _, s := range b.sorted {
			if s.mesh == mesh {
				known[s.name] = true
			}
		}
		b.known[mesh] = known
	}
	b.reportMissing(name, diag.CodeUnknownService, sev, d, path,
		fmt.Sprintf("no document defines service %q in mesh %s", name, mesh),
		diag.Suggest(name, known)+"a service comes from a Dataplane inbound, an ExternalService, a Kong service, or as NAME_NAMESPACE_svc_PORT from a Kubernetes Service")
}
