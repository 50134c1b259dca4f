package compiler

import (
	"fmt"
	"net"
	"slices"
	"strconv"

	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/kong"
)

// kongLeftOut are the kinds of Kong's that are checked for what they refer to,
// and for nothing else.
var kongLeftOut = []string{"Consumer", "ConsumerGroup", "Plugin"}

func isLeftOut(d *schema.Document) bool {
	return d.Dialect == schema.Kong && slices.Contains(kongLeftOut, d.Kind)
}

// kongWorld is Kong's entities by what others call them.
type kongWorld struct {
	b      *build
	byKind map[string][]*schema.Document
	// named holds, by kind, the entities by id and by name.
	named     map[string]map[string]*schema.Document
	upstreams map[*schema.Document]*kongUpstream
}

// kongUpstream is an upstream with its targets, sorted by ID.
type kongUpstream struct {
	doc     *schema.Document
	targets []*schema.Document
}

// docs are all that the endpoints of an upstream come from; none for nil.
func (u *kongUpstream) docs() []*schema.Document {
	if u == nil {
		return nil
	}
	return append([]*schema.Document{u.doc}, u.targets...)
}

func newKongWorld(b *build, byKind map[string][]*schema.Document) *kongWorld {
	w := &kongWorld{b: b, byKind: byKind, named: map[string]map[string]*schema.Document{}, upstreams: map[*schema.Document]*kongUpstream{}}
	for _, kind := range []string{"Service", "Route", "Upstream", "Certificate", "CACertificate", "Consumer", "ConsumerGroup"} {
		docs := byKind["kong/"+kind]
		names := make(map[string]*schema.Document, 2*len(docs))
		for _, d := range docs {
			names[d.Name] = d
		}
		for _, d := range docs {
			id := d.Tree.Get("id").Str()
			if id == "" {
				continue
			}
			if first, taken := names[id]; taken && first != d {
				b.report(diag.CodeDuplicateName, diag.Error, d, []any{"id"}, fmt.Sprintf("%s has the id of %s", describe(d), describe(first)),
					"give one of the two another id, or none", diag.Related{Place: first.Place("id"), Message: "the other"})
				continue
			}
			names[id] = d
		}
		w.named[kind] = names
	}
	for _, d := range byKind["kong/Upstream"] {
		w.upstreams[d] = &kongUpstream{doc: d}
	}
	return w
}

// upstreamOf returns the upstream that the host of a Service names, or nil.
func (w *kongWorld) upstreamOf(d *schema.Document) *kongUpstream {
	return w.upstreams[w.named["Upstream"][d.Body.(*kong.Service).Host]]
}

// checkReferences reports what leads nowhere, and hands targets to their upstreams.
func (w *kongWorld) checkReferences() {
	for _, d := range w.byKind["kong/Service"] {
		s := d.Body.(*kong.Service)
		w.follow(d, "Certificate", s.ClientCertificate, "client_certificate")
		for i, id := range s.CACertificates {
			w.follow(d, "CACertificate", &kong.Reference{ID: id}, "ca_certificates", i)
		}
	}
	for _, d := range w.byKind["kong/Route"] {
		w.follow(d, "Service", d.Body.(*kong.Route).Service, "service")
	}
	for _, d := range w.byKind["kong/Upstream"] {
		w.follow(d, "Certificate", d.Body.(*kong.Upstream).ClientCertificate, "client_certificate")
	}
	for _, d := range w.byKind["kong/Target"] {
		if up := w.follow(d, "Upstream", &d.Body.(*kong.Target).Upstream, "upstream"); up != nil {
			w.addTarget(w.upstreams[up], d)
		}
	}
	for _, d := range w.byKind["kong/SNI"] {
		w.follow(d, "Certificate", &d.Body.(*kong.SNI).Certificate, "certificate")
	}
	for _, d := range w.byKind["kong/Plugin"] {
		p := d.Body.(*kong.Plugin)
		w.follow(d, "Service", p.Service, "service")
		w.follow(d, "Route", p.Route, "route")
		w.follow(d, "ConsumerGroup", p.ConsumerGroup, "consumer_group")
		if p.Consumer != nil {
			w.follow(d, "Consumer", &kong.Reference{Name: p.Consumer.Key()}, "consumer")
		}
	}
}

// follow returns the entity of a kind that d refers to at path, or nil where it
// refers to none or, as is reported, to one that nobody defines.
func (w *kongWorld) follow(d *schema.Document, kind string, ref *kong.Reference, path ...any) *schema.Document {
	if ref == nil || ref.Key() == "" {
		return nil
	}
	if to := w.named[kind][ref.Key()]; to != nil {
		return to
	}
	w.b.reportMissing(ref.Key(), diag.CodeUnknownEntity, diag.Error, d, path, fmt.Sprintf("no %s is called %q", kongWord(kind), ref.Key()),
		diag.Suggest(ref.Key(), w.named[kind])+"write the name or id of one that is there, or add it")
	return nil
}

// kongWord is a kind in Kong's own word.
func kongWord(kind string) string {
	switch kind {
	case "CACertificate":
		return "CA certificate"
	case "ConsumerGroup":
		return "consumer group"
	}
	return string(kind[0]|0x20) + kind[1:]
}

// addTarget gives an upstream its target, unless it has the like: upstreams
// can be referred to in two ways, so the names of the documents may differ.
func (w *kongWorld) addTarget(up *kongUpstream, d *schema.Document) {
	address := func(d *schema.Document) string {
		host, port := kongTarget(d.Body.(*kong.Target).Target)
		return net.JoinHostPort(host, strconv.Itoa(int(port)))
	}
	for _, other := range up.targets {
		if address(other) == address(d) {
			w.b.report(diag.CodeDuplicateName, diag.Error, d, []any{"target"}, fmt.Sprintf("upstream %s has target %s twice", up.doc.Name, address(d)),
				"keep one of the two", diag.Related{Place: other.Place("target"), Message: "the other definition"})
			return
		}
	}
	up.targets = append(up.targets, d)
}
