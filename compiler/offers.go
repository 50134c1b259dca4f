package compiler

import (
	"cmp"
	"slices"

	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/kuma"
)

// offers are the services of Dataplanes and ExternalServices, with who offers
// them. They follow the documents from compile to compile, at the cost of what
// changed.
type offers struct {
	dataplanes, externals []*schema.Document
	of                    map[serviceKey]*offer
	list                  []*offer // by mesh and name
}

// offer is one such service.
type offer struct {
	serviceKey
	docs []*schema.Document // that offer it, each once, by ID; never none
	// plain is the service that they make alone, without zones; nil where it is
	// to be made.
	plain *service
	// service is that of the last compile; nil where its name was another's.
	service *service
}

// update makes o what the documents offer.
func (o *offers) update(dataplanes, externals []*schema.Document) {
	var come, gone []*schema.Document
	for _, x := range [][2][]*schema.Document{{o.dataplanes, dataplanes}, {o.externals, externals}} {
		symmetric(x[0], x[1], func(x, y *schema.Document) bool { return x == y }, byID,
			func(d *schema.Document) { gone = append(gone, d) }, func(d *schema.Document) { come = append(come, d) })
	}
	if o.of == nil || len(gone) > manyGone {
		*o = offers{of: map[serviceKey]*offer{}}
		gone, come = nil, slices.Concat(dataplanes, externals)
	}
	o.dataplanes, o.externals = dataplanes, externals
	for _, d := range gone {
		eachOffered(d, func(k serviceKey) { o.remove(k, d) })
	}
	added := false
	for _, d := range come {
		eachOffered(d, func(k serviceKey) { added = o.add(k, d) || added })
	}
	if len(gone) > 0 {
		o.list = slices.DeleteFunc(o.list, func(x *offer) bool {
			if len(x.docs) > 0 {
				return false
			}
			delete(o.of, x.serviceKey)
			return true
		})
	}
	if added {
		slices.SortFunc(o.list, func(x, y *offer) int { return x.compare(y.serviceKey) })
	}
}

// eachOffered calls f for each service that a Dataplane or ExternalService
// offers; a Dataplane may offer one on two ports.
func eachOffered(d *schema.Document, f func(serviceKey)) {
	switch body := d.Body.(type) {
	case *kuma.Dataplane:
		if body.Networking.Ingress != nil {
			return // it takes what is for others
		}
		for _, in := range body.Networking.Inbound {
			f(serviceKey{d.Mesh, in.Tags[kuma.ServiceTag]})
		}
	case *kuma.ExternalService:
		f(serviceKey{d.Mesh, body.Tags[kuma.ServiceTag]})
	}
}

func compareIDs(x, y *schema.Document) int { return cmp.Compare(x.ID(), y.ID()) }

// add adds d to those that offer k, and reports whether it is the first.
func (o *offers) add(k serviceKey, d *schema.Document) bool {
	x := o.of[k]
	first := x == nil
	if first {
		x = &offer{serviceKey: k}
		o.of[k] = x
		o.list = append(o.list, x)
	}
	if i, known := slices.BinarySearchFunc(x.docs, d, compareIDs); !known {
		x.docs, x.plain = slices.Insert(slices.Clip(x.docs), i, d), nil
	}
	return first
}

func (o *offers) remove(k serviceKey, d *schema.Document) {
	x := o.of[k]
	if i := slices.Index(x.docs, d); i >= 0 {
		x.docs, x.plain = slices.Delete(slices.Clone(x.docs), i, i+1), nil
	}
}

// kumaServices makes the services that Dataplane inbounds and ExternalServices
// offer; those of one mesh and name unite.
func (b *build) kumaServices(dataplanes, externals []*schema.Document) {
	o := &b.c.offers
	o.update(dataplanes, externals)
	remotes, keys := b.zones.remotes()
	for _, x := range o.list {
		switch r := remotes[x.serviceKey]; {
		case r != nil || len(b.zones.walls[x.mesh]) > 0:
			x.service = b.zonedService(x.serviceKey, x.docs, r)
		default:
			if x.plain == nil {
				x.plain = kumaService(x.serviceKey, x.docs, nil, nil, nil)
			}
			x.service = x.plain
		}
		if len(b.services) > 0 && b.taken(x.service) {
			x.service = nil
			continue
		}
		b.defined = append(b.defined, x.service)
	}
	for _, k := range keys {
		if o.of[k] == nil {
			b.define(b.zonedService(k, nil, remotes[k]))
		}
	}
}

// zonedService makes the service that docs offer, and the ingresses of zones,
// of which r, which may be nil, has what is behind them.
func (b *build) zonedService(k serviceKey, docs []*schema.Document, r *remote) *service {
	if r == nil {
		r = &remote{}
	}
	inputs := make([]any, 0, len(docs)+len(r.inputs)+1)
	for _, d := range docs {
		inputs = append(inputs, d)
	}
	inputs = append(inputs, r.inputs...)
	walls := b.zones.walls[k.mesh]
	if len(walls) > 0 {
		inputs = append(inputs, b.zones.wallText(k.mesh))
	}
	return b.c.zonedServices.get(k, inputs, func() *service { return kumaService(k, docs, walls, r.endpoints, r.docs) })
}
