package compiler

import (
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/kong"
)

// kongServices makes a service of mesh default of each Kong Service that is enabled.
func (b *build) kongServices(docs []*schema.Document) {
	for _, d := range docs {
		if on := d.Body.(*kong.Service).Enabled; on != nil && !*on {
			continue
		}
		for _, s := range b.c.services.get(d, nil, func() []*service { return []*service{kongService(d)} }) {
			b.define(s)
		}
	}
}

func kongService(d *schema.Document) *service {
	k := d.Body.(*kong.Service)
	s := &service{
		serviceKey:     serviceKey{"default", d.Name},
		dialect:        schema.Kong,
		protocol:       k.Protocol,
		discovery:      snapshot.DNS,
		balancing:      snapshot.RoundRobin,
		connectTimeout: time.Duration(k.ConnectTimeout) * time.Millisecond,
		// Kong sends the Service's host upstream, not the client's.
		hostFromEndpoint: true,
		doc:              d, docs: []*schema.Document{d},
		path: []any{"name"},
	}
	s.whole = s.serviceKey.whole()
	host := strings.Trim(k.Host, "[]")
	e := snapshot.Endpoint{Address: host, Port: uint16(k.Port), Hostname: host}
	if net.ParseIP(host) != nil {
		s.discovery = snapshot.Static
		e.Address, e.Hostname = canonicalIP(host), hostOfIP(host)
	}
	if k.Port != 80 {
		// The port is part of the Host that Kong sends unless it is the protocol's own.
		e.Hostname += ":" + strconv.Itoa(int(k.Port))
	}
	s.endpoints = []endpoint{{Endpoint: e}}
	if s.http(false) {
		name := strings.ToLower(d.Name)
		s.domains = []string{name, name + ":80"}
	}
	return s
}
