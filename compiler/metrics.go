package compiler

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/kuma"
)

// instanceTag is what an endpoint of metrics has beside the tags of the backend:
// the name of its Dataplane, so that a scraper can have an outbound for each.
const instanceTag = "kuma.io/instance"

// metricsConf is where a dataplane shows its metrics. It is not changed once made.
type metricsConf struct {
	// mesh has it, or its dataplane of that name.
	mesh, dataplane string

	port     uint16
	path     string
	tags     map[string]string // for permissions, as those of an inbound; with kuma.io/service
	skipMTLS bool
}

// readMetrics fills in which meshes have metrics.
func (b *build) readMetrics() {
	b.metrics = map[string]*metricsConf{}
	for _, d := range b.byKind["kuma/Mesh"] {
		m := d.Body.(*kuma.Mesh).Metrics
		i := slices.IndexFunc(m.Backends, func(x kuma.MetricsBackend) bool { return x.Name == m.EnabledBackend })
		if m.EnabledBackend == "" || i < 0 {
			continue // the rules refuse a name that no backend has
		}
		b.metrics[d.Name] = b.c.metrics.get(d, nil, func() *metricsConf {
			c := m.Backends[i].Conf
			return &metricsConf{mesh: d.Name, port: uint16(c.Port), path: c.Path, tags: c.Tags, skipMTLS: c.SkipMTLS}
		})
		b.metricsConfs = append(b.metricsConfs, b.metrics[d.Name])
	}
	if len(b.metricsConfs) == 0 {
		return
	}
	for _, d := range b.dataplanes {
		if c, _ := b.metricsOf(d); c != nil && c.dataplane != "" {
			b.metricsConfs = append(b.metricsConfs, c)
		}
	}
	slices.SortFunc(b.metricsConfs, compareMetrics)
	b.hideMetrics()
}

func compareMetrics(x, y *metricsConf) int {
	return cmp.Or(strings.Compare(x.mesh, y.mesh), strings.Compare(x.dataplane, y.dataplane))
}

// metricsOf returns where the dataplane d shows its metrics, and the address;
// nil where it does not. What d says of them comes before what its mesh says.
func (b *build) metricsOf(d *schema.Document) (c *metricsConf, at string) {
	if len(b.metrics) == 0 { // as mostly, and it is asked of every dataplane
		return nil, ""
	}
	c, dp := b.metrics[d.Mesh], d.Body.(*kuma.Dataplane)
	if c == nil || dp.Networking.Ingress != nil || b.hidden[d] { // an ingress shows none (Kuma's rule)
		return nil, ""
	}
	at = canonicalIP(dp.Networking.Address)
	if dp.Metrics == nil {
		return c, at
	}
	return b.c.metrics.get(d, []any{c}, func() *metricsConf {
		own, out := dp.Metrics.Conf, *c
		out.dataplane = d.Name
		out.port = cmp.Or(uint16(own.Port), c.port)
		out.path = cmp.Or(own.Path, c.path)
		if own.SkipMTLS != nil {
			out.skipMTLS = *own.SkipMTLS
		}
		if len(own.Tags) > 0 {
			out.tags = maps.Clone(c.tags)
			maps.Copy(out.tags, own.Tags)
		}
		return &out
	}), at
}

// metricsServices makes the services by which proxies of a mesh reach the
// metrics of others, with mTLS where that is on. A name that is another
// service's stays that: then it is for permissions alone, as in Kuma, and no
// request for that service may end here.
func (b *build) metricsServices() {
	shown := map[serviceKey][]*schema.Document{}
	var keys []serviceKey // in the order of the documents
	for _, d := range b.dataplanes {
		c, at := b.metricsOf(d)
		if c == nil || c.skipMTLS || net.ParseIP(at) == nil {
			continue
		}
		k := serviceKey{d.Mesh, c.tags[kuma.ServiceTag]}
		if b.service(k) != nil {
			continue
		}
		if shown[k] == nil {
			keys = append(keys, k)
		}
		shown[k] = append(shown[k], d)
	}
	for _, k := range keys {
		inputs := []any{b.metrics[k.mesh]}
		for _, d := range shown[k] {
			inputs = append(inputs, d)
		}
		b.define(b.c.metricsOnes.get(k, inputs, func() *service { return b.metricsService(k, shown[k]) }))
	}
}

func (b *build) metricsService(k serviceKey, docs []*schema.Document) *service {
	mesh := b.meshes[k.mesh]
	s := &service{
		serviceKey: k, dialect: schema.Kuma, protocol: "http", metrics: true,
		discovery: snapshot.Static, balancing: snapshot.RoundRobin, connectTimeout: defaultConnectTimeout,
		doc: mesh, docs: append([]*schema.Document{mesh}, docs...), path: []any{"metrics"},
		whole: k.whole(),
	}
	for _, d := range docs {
		c, at := b.metricsOf(d)
		tags := maps.Clone(c.tags)
		if tags[instanceTag] == "" {
			tags[instanceTag] = d.Name
		}
		s.endpoints = append(s.endpoints, endpoint{
			Endpoint: snapshot.Endpoint{Address: at, Port: c.port}, tags: tags, inbound: true,
		})
	}
	return s
}

// isMetrics reports whether the service of c is that of metrics.
func (b *build) isMetrics(mesh string, c *metricsConf) bool {
	s := b.service(serviceKey{mesh, c.tags[kuma.ServiceTag]})
	return s != nil && s.metrics
}

// attachMetrics adds the listener for the metrics of v's dataplane.
func (b *build) attachMetrics(v *view) {
	c, at := b.metricsOf(v.doc)
	if c == nil {
		return
	}
	if net.ParseIP(at) == nil {
		b.report(diag.CodeNotApplied, diag.Warning, v.doc, []any{"networking", "address"},
			fmt.Sprintf("no listener is opened for metrics, for %q is not an IP address", at), "write the IP address to listen on")
		return
	}
	v.listeners = append(v.listeners, listener{
		direction: snapshot.Inbound, protocol: snapshot.HTTP, passage: nowhere,
		address: at, port: c.port, service: c.tags[kuma.ServiceTag], tags: c.tags,
		path: metricsPath(v.doc), metrics: c,
	})
}

// metricsPath is where d says on what port it shows its metrics or, where its
// mesh does, on what address.
func metricsPath(d *schema.Document) []any {
	if m := d.Body.(*kuma.Dataplane).Metrics; m != nil && m.Conf.Port != 0 {
		return []any{"metrics", "conf", "port"}
	}
	return []any{"networking", "address"}
}

// hideMetrics finds the dataplanes that cannot show their metrics, for there
// another one listens: one backend gives all of a mesh the same port, and many
// dataplanes may have one address. The first of them shows its metrics.
func (b *build) hideMetrics() {
	type place struct {
		address string
		port    uint16
	}
	type taker struct {
		doc  *schema.Document
		path []any
	}
	ports := map[uint16]bool{}
	for _, d := range b.dataplanes {
		if c, _ := b.metricsOf(d); c != nil {
			ports[c.port] = true
		}
	}
	taken := map[place]taker{}
	for _, d := range b.dataplanes {
		dp := d.Body.(*kuma.Dataplane)
		for i, in := range dp.Networking.Inbound {
			if !ports[uint16(in.Port)] {
				continue
			}
			if at := (place{inboundAddress(dp, in), uint16(in.Port)}); taken[at].doc == nil {
				taken[at] = taker{d, []any{"networking", "inbound", i, "port"}}
			}
		}
	}
	b.hidden = map[*schema.Document]bool{}
	for _, d := range b.dataplanes {
		c, address := b.metricsOf(d)
		if c == nil || net.ParseIP(address) == nil {
			continue
		}
		at := place{address, c.port}
		other := taken[at]
		switch other.doc {
		case nil:
			taken[at] = taker{d, metricsPath(d)}
			continue
		case d:
			continue // its own inbound: checkPorts tells
		}
		b.hidden[d] = true
		b.report(diag.CodePortTwice, diag.Warning, d, metricsPath(d),
			fmt.Sprintf("%s does not show its metrics at %s, where %s listens", d.Name, net.JoinHostPort(address, fmt.Sprint(c.port)), other.doc.Name),
			"give one of the two an address of its own, or another port under metrics.conf.port",
			diag.Related{Place: other.doc.Place(other.path...), Message: "the other listener"})
	}
}

// shownBy returns the metrics that d shows, nil for none.
func (b *build) shownBy(d *schema.Document) *metricsConf {
	c, _ := b.metricsOf(d)
	return c
}

// lower makes the routes of the listener that shows metrics.
func (c *metricsConf) lower() []snapshot.Route {
	return []snapshot.Route{{
		Name: "metrics", PathExact: c.path, Methods: snapshot.ListOf("GET"),
		Answer: snapshot.Answer{Status: 200, Metrics: true},
	}}
}

// provenMetrics returns the service as which v's proxy proves itself to those
// who come for its metrics, "" for none.
func (b *build) provenMetrics(v *view) string {
	if v.metrics == nil {
		return ""
	}
	for i := range v.listeners {
		if c := v.listeners[i].metrics; c != nil && !c.skipMTLS && b.isMetrics(v.doc.Mesh, c) {
			return c.tags[kuma.ServiceTag]
		}
	}
	return ""
}
