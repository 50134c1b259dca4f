package compiler

import (
	"cmp"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/kong"
)

// kong finds what Kong's entities refer to, and makes services of mesh default
// and routes of the gateway of them.
func (b *build) kong(byKind map[string][]*schema.Document) {
	w := newKongWorld(b, byKind)
	w.checkReferences()
	certified := map[*schema.Document]*schema.Document{}
	for _, d := range byKind["kong/Service"] {
		if on := d.Body.(*kong.Service).Enabled; on != nil && !*on {
			continue
		}
		up := w.upstreamOf(d)
		tls := w.tlsOf(d, up)
		b.kongSecrets = append(b.kongSecrets, tls.secrets(d)...)
		inputs := make([]any, 0, len(up.docs()))
		for _, from := range up.docs() {
			inputs = append(inputs, from)
		}
		for _, from := range tls.docs() {
			inputs = append(inputs, from)
			certified[from] = cmp.Or(certified[from], d)
		}
		if up != nil {
			b.checkTargets(d, up)
		}
		for _, s := range b.c.services.get(d, inputs, func() []*service { return []*service{kongService(d, up, tls)} }) {
			b.define(s)
		}
	}
	w.findShown(certified)
	w.checkCertificates(certified)
	w.routes()
	w.checkUnreached()
	b.leaveOut(byKind)
}

// checkTargets reports that the upstream up of the Service d leads nowhere.
func (b *build) checkTargets(d *schema.Document, up *kongUpstream) {
	report := func(message, hint string, at []diag.Related) {
		b.report(diag.CodeNoEndpoints, diag.Warning, d, []any{"host"}, message+", so service "+d.Name+" answers 503", hint, at...)
	}
	if len(up.targets) == 0 {
		report("upstream "+up.doc.Name+" has no targets", "add targets to the upstream", []diag.Related{{Place: up.doc.Place("name"), Message: "the upstream"}})
		return
	}
	var idle []diag.Related
	for _, t := range up.targets {
		if t.Body.(*kong.Target).Weight > 0 {
			return
		}
		idle = append(idle, diag.Related{Place: t.Place("weight"), Message: "weight 0"})
	}
	report("every target of upstream "+up.doc.Name+" has weight 0", "give one a weight", idle)
}

// leaveOut drops the documents that were only there to be referred to.
func (b *build) leaveOut(byKind map[string][]*schema.Document) {
	out := 0
	for _, kind := range kongLeftOut {
		out += len(byKind["kong/"+kind])
	}
	if out == 0 {
		return
	}
	kept := make([]*schema.Document, 0, len(b.docs)-out)
	for _, d := range b.docs {
		if !isLeftOut(d) {
			kept = append(kept, d)
		}
	}
	b.docs = kept
}

func kongService(d *schema.Document, up *kongUpstream, tls *kongTLS) *service {
	k := d.Body.(*kong.Service)
	s := &service{
		serviceKey:     serviceKey{"default", d.Name},
		dialect:        schema.Kong,
		discovery:      snapshot.Static,
		balancing:      snapshot.RoundRobin,
		connectTimeout: kongTimeout(k.ConnectTimeout),
		// Kong sends the Service's host upstream, not the client's.
		hostFromEndpoint: true,
		doc:              d, docs: append([]*schema.Document{d}, up.docs()...),
		path: []any{"name"},
	}
	s.whole = s.serviceKey.whole()
	s.protocol, _ = plainProtocol(k.Protocol)
	if read, write := kongTimeouts(d); write < read && s.protocol == "http" {
		s.writeTimeout = write
	}
	if up == nil {
		s.endpoints = []endpoint{{Endpoint: s.kongEndpoint(strings.Trim(k.Host, "[]"), uint16(k.Port))}}
	} else {
		s.addTargets(up)
	}
	for i := range s.endpoints {
		e := &s.endpoints[i]
		if e.transport = tls.transport(d, e.Hostname); e.transport != nil {
			e.Transport = e.transport.Name
		}
	}
	if s.http(false) {
		name := strings.ToLower(d.Name)
		s.domains = []string{name, name + ":80", name + ":443"}
		s.rewrite = kongBase(k.Path).rewriteWhole()
	}
	return s
}

// kongTimeouts returns how long the Kong Service d waits for its upstream to say
// something, and to take something.
func kongTimeouts(d *schema.Document) (read, write time.Duration) {
	k := d.Body.(*kong.Service)
	return kongTimeout(k.ReadTimeout), kongTimeout(k.WriteTimeout)
}

// kongTimeout reads a timeout of a Kong Service; 0 stands for one that is null.
func kongTimeout(milliseconds int32) time.Duration {
	const standard = 60_000
	return time.Duration(cmp.Or(milliseconds, standard)) * time.Millisecond
}

// kongEndpoint returns the endpoint at a host, which may be a name: then the
// service's are found by DNS.
func (s *service) kongEndpoint(host string, port uint16) snapshot.Endpoint {
	e := snapshot.Endpoint{Address: host, Port: port, Hostname: host}
	if net.ParseIP(host) != nil {
		e.Address, e.Hostname = canonicalIP(host), hostOfIP(host)
	} else {
		s.discovery = snapshot.DNS
	}
	if port != s.kongPort() {
		// The port is part of the Host that Kong sends unless it is the protocol's own.
		e.Hostname += ":" + strconv.Itoa(int(port))
	}
	return e
}

// kongPort is the port that is no part of the Host that Kong sends.
func (s *service) kongPort() uint16 {
	if _, tls := plainProtocol(s.doc.Body.(*kong.Service).Protocol); tls {
		return 443
	}
	return 80
}

// addTargets makes the endpoints of s those of the upstream that is its host.
func (s *service) addTargets(up *kongUpstream) {
	u := up.doc.Body.(*kong.Upstream)
	s.balancing, s.hash = kongBalancing(u)
	s.upkeep = kongUpkeep(u, s.protocol)
	equal := true
	for _, d := range up.targets {
		t := d.Body.(*kong.Target)
		equal = equal && t.Weight == up.targets[0].Body.(*kong.Target).Weight
		if t.Weight == 0 {
			continue
		}
		host, port := kongTarget(t.Target)
		e := s.kongEndpoint(host, port)
		e.Weight = t.Weight
		if u.HostHeader != "" {
			e.Hostname = u.HostHeader
		}
		s.endpoints = append(s.endpoints, endpoint{Endpoint: e})
	}
	for i := range s.endpoints {
		if equal { // then there is nothing to weigh
			s.endpoints[i].Weight = 0
		}
	}
}

// kongTarget parts the address of a target.
func kongTarget(target string) (host string, port uint16) {
	host, number, err := net.SplitHostPort(target)
	if err != nil {
		return strings.Trim(target, "[]"), kong.DefaultTargetPort
	}
	n, _ := strconv.ParseUint(number, 10, 16) // checked
	return host, uint16(n)
}
