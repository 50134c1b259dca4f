package compiler

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/kuma"
)

// zones is what the documents say of the networks that the mesh spans, each of
// which others enter by its ingress alone.
type zones struct {
	documents map[string]*schema.Document // the Zones, by name
	ingresses []*zoneIngress
	walls     map[string]map[string]bool // by mesh, the zones that others do not enter directly
}

// zoneIngress is a Dataplane that takes what comes from other zones.
type zoneIngress struct {
	doc *schema.Document
	location
	// host and port are where other zones reach it; "" and 0 where they cannot.
	host      string
	port      uint16
	available []available // of meshes with mTLS
}

// available is the instances of a service behind an ingress that have the same tags.
type available struct {
	serviceKey
	tags      map[string]string
	instances uint32
}

// ingressOf returns the ingress that d is, or nil.
func ingressOf(d *schema.Document) *kuma.Ingress { return d.Body.(*kuma.Dataplane).Networking.Ingress }

// findZones finds the ingresses, and what they make available.
func (b *build) findZones() {
	z := &b.zones
	z.documents, z.walls = map[string]*schema.Document{}, map[string]map[string]bool{}
	for _, d := range b.byKind["kuma/Zone"] {
		z.documents[d.Name] = d
		if !zoneEnabled(d) {
			for mesh := range b.meshes {
				z.wall(mesh, d.Name)
			}
		}
	}
	used := map[string]bool{}
	listed := map[zoneOf]*zoneIngress{} // those that say themselves what is behind them
	offered := map[zoneService]bool{}
	for _, d := range b.dataplanes {
		if ingressOf(d) == nil {
			continue
		}
		in := b.newIngress(d)
		used[in.zone] = true
		z.ingresses = append(z.ingresses, in)
		if in.host == "" {
			b.tell(d, []any{"networking", "ingress"}, "no other zone reaches this ingress, for nobody says at which address",
				"set publicAddress and publicPort, or add a Zone "+cmp.Or(in.zone, "with its name in kuma.io/zone")+" with ingress.address")
			continue
		}
		for _, a := range in.available {
			z.wall(a.mesh, in.zone)
			offered[zoneService{a.serviceKey, in.zone}] = true
			if len(ingressOf(d).AvailableServices) > 0 {
				listed[zoneOf{a.mesh, in.zone}] = in
			}
		}
	}
	if len(listed) > 0 {
		b.tellShutIn(listed, offered)
	}
	for name, d := range z.documents {
		if d.Body.(*kuma.Zone).Ingress.Address != "" && !used[name] {
			b.tell(d, []any{"ingress", "address"}, fmt.Sprintf("it has no effect, for no Dataplane with networking.ingress has kuma.io/zone: %s", name),
				"add the Dataplane of the zone's ingress, whose availableServices say what is behind it")
		}
	}
}

type zoneOf struct{ mesh, zone string }

type zoneService struct {
	serviceKey
	zone string
}

// tellShutIn warns of what listens in a zone and that its ingress does not make
// available: other zones do not reach it.
func (b *build) tellShutIn(listed map[zoneOf]*zoneIngress, offered map[zoneService]bool) {
	for _, d := range b.dataplanes {
		if ingressOf(d) != nil {
			continue
		}
		for i, inbound := range d.Body.(*kuma.Dataplane).Networking.Inbound {
			at := zoneService{serviceKey{d.Mesh, inbound.Tags[kuma.ServiceTag]}, locationOf(inbound.Tags).zone}
			in := listed[zoneOf{d.Mesh, at.zone}]
			if in == nil || offered[at] || b.zones.disabled(at.zone) {
				continue
			}
			offered[at] = true // once is enough
			b.unsupported = append(b.unsupported, finding(diag.CodeNotApplied, diag.Warning, in.doc, []any{"networking", "ingress", "availableServices"},
				fmt.Sprintf("other zones do not reach service %s of mesh %s in this zone, for it is not among these", at.name, at.mesh),
				"add it, or leave availableServices out for all that the Dataplanes of the zone offer",
				diag.Related{Place: d.Place("networking", "inbound", i), Message: "an instance of it"}))
		}
	}
}

// tell warns of what d asks for in vain.
func (b *build) tell(d *schema.Document, path []any, message, hint string) {
	b.unsupported = append(b.unsupported, finding(diag.CodeNotApplied, diag.Warning, d, path, message, hint))
}

func (z *zones) wall(mesh, zone string) {
	if z.walls[mesh] == nil {
		z.walls[mesh] = map[string]bool{}
	}
	z.walls[mesh][zone] = true
}

func zoneEnabled(d *schema.Document) bool {
	enabled := d.Body.(*kuma.Zone).Enabled
	return enabled == nil || *enabled
}

// newIngress makes the ingress that d is. Traffic is told apart by the server
// name of mTLS, so a mesh without it has none.
func (b *build) newIngress(d *schema.Document) *zoneIngress {
	dp, spec := d.Body.(*kuma.Dataplane), ingressOf(d)
	in := &zoneIngress{doc: d}
	if len(dp.Networking.Inbound) > 0 {
		in.location = locationOf(dp.Networking.Inbound[0].Tags)
	}
	zone := b.zones.documents[in.zone]
	if zone != nil && zone.Body.(*kuma.Zone).Ingress.Address != "" {
		in.host, in.port = splitHostPort(zone.Body.(*kuma.Zone).Ingress.Address)
	} else if spec.PublicAddress != "" {
		in.host, in.port = spec.PublicAddress, uint16(spec.PublicPort)
	}
	in.host = canonicalIP(in.host)
	told := map[string]bool{}
	add := func(a available) {
		if b.hasMTLS(a.mesh) {
			in.available = append(in.available, a)
		} else if !told[a.mesh] {
			told[a.mesh] = true
			b.tell(d, []any{"networking", "ingress"},
				fmt.Sprintf("the services of mesh %s are not reached by this ingress, for the mesh has no mTLS: what they are is told by the server name of TLS", a.mesh),
				"enable mTLS in the Mesh")
		}
	}
	for _, a := range spec.AvailableServices {
		add(available{serviceKey{cmp.Or(a.Mesh, d.Mesh), a.Tags[kuma.ServiceTag]}, a.Tags, max(a.Instances, 1)})
	}
	if len(spec.AvailableServices) == 0 {
		b.allOf(in, add)
	}
	return in
}

// allOf calls add for what dataplanes of in's zone take, in order: what Kuma
// itself writes into an ingress.
func (b *build) allOf(in *zoneIngress, add func(available)) {
	all := map[string]*available{}
	for _, d := range b.dataplanes {
		for _, inbound := range d.Body.(*kuma.Dataplane).Networking.Inbound {
			if ingressOf(d) != nil || locationOf(inbound.Tags).zone != in.zone || !ready(inbound) {
				continue
			}
			key := d.Mesh + "\x00" + tagText(inbound.Tags)
			if all[key] == nil {
				all[key] = &available{serviceKey{d.Mesh, inbound.Tags[kuma.ServiceTag]}, inbound.Tags, 0}
			}
			all[key].instances++
		}
	}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		add(*all[key])
	}
}

func ready(in kuma.Inbound) bool { return in.Health == nil || in.Health.Ready }

// ingressOffer is an endpoint that an ingress is for a service, as an input of a memo.
type ingressOffer struct {
	doc *schema.Document
	location
	host      string
	port      uint16
	tags      string
	instances uint32
	disabled  bool
}

// remote is what ingresses offer of one service: endpoints, the documents that
// they are from, and what a memo of them depends on.
type remote struct {
	endpoints []endpoint
	docs      []*schema.Document
	inputs    []any
}

// remotes returns the services that ingresses offer, and their names in the order
// in which they were met. Of ingresses at one address the first that offers a
// service counts.
func (z *zones) remotes() (of map[serviceKey]*remote, keys []serviceKey) {
	type coordinates struct {
		serviceKey
		host string
		port uint16
	}
	of = map[serviceKey]*remote{}
	taken := map[coordinates]*zoneIngress{}
	for _, in := range z.ingresses {
		if in.host == "" {
			continue
		}
		disabled := z.disabled(in.zone)
		for _, a := range in.available {
			at := coordinates{a.serviceKey, in.host, in.port}
			if first := taken[at]; first != nil && first != in {
				continue
			}
			taken[at] = in
			r := of[a.serviceKey]
			if r == nil {
				r = &remote{}
				of[a.serviceKey] = r
				keys = append(keys, a.serviceKey)
			}
			r.endpoints = append(r.endpoints, endpoint{
				Endpoint: snapshot.Endpoint{Address: in.host, Port: in.port, Weight: a.instances},
				tags:     a.tags, inbound: true, location: in.location, ingress: true, disabled: disabled,
			})
			r.docs = appendOnce(r.docs, in.doc)
			r.inputs = append(r.inputs, ingressOffer{in.doc, in.location, in.host, in.port, tagText(a.tags), a.instances, disabled})
		}
	}
	return of, keys
}

func (z *zones) disabled(zone string) bool {
	d := z.documents[zone]
	return d != nil && !zoneEnabled(d)
}

// wallText is the zones of a mesh that others do not enter directly, as an input of a memo.
func (z *zones) wallText(mesh string) string {
	return strings.Join(slices.Sorted(maps.Keys(z.walls[mesh])), " ")
}

// unite makes one endpoint of neighbours that are the same but for their
// weights: one ingress, for instances with different tags. Those without a
// weight are merely written twice.
func unite(endpoints []snapshot.Endpoint) []snapshot.Endpoint {
	out := endpoints[:0]
	for _, e := range endpoints {
		if n := len(out); n > 0 {
			same := out[n-1]
			same.Weight = e.Weight
			if same == e {
				out[n-1].Weight += e.Weight
				continue
			}
		}
		out = append(out, e)
	}
	return out
}
