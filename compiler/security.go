package compiler

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/kuma"
)

// meshTLS is a mesh whose proxies show certificates to one another.
type meshTLS struct {
	doc  *schema.Document
	body *kuma.Mesh
	// inbounds are where its dataplanes listen, by "ADDRESS:PORT", with their
	// service; made when a service of another dialect asks.
	inbounds map[string]string
}

// secure finds out which meshes have mTLS, and what of their traffic it does
// not protect.
func secure(b *build) {
	b.mtls = map[string]*meshTLS{}
	for _, d := range b.byKind["kuma/Mesh"] {
		if m := d.Body.(*kuma.Mesh); m.MTLS.EnabledBackend != "" {
			b.mtls[d.Name] = &meshTLS{doc: d, body: m}
		}
	}
	if len(b.mtls) > 0 {
		b.checkCleartext()
		b.checkIdentities()
	}
	for _, d := range b.byKind["kuma/ExternalService"] {
		if tls := d.Body.(*kuma.ExternalService).Networking.TLS; tls != nil && tls.Enabled && !given(tls.CACert) {
			b.report(diag.CodeUnprotected, diag.Warning, d, []any{"networking", "tls"},
				"the server is not verified, for there is no caCert: whoever answers at this address is taken for it",
				"give the certificate of its CA as caCert")
		}
	}
}

// checkCleartext tells, for each mesh with mTLS, of the services that are spoken
// to in the clear, for no dataplane listens where they answer.
func (b *build) checkCleartext() {
	open := map[string][]string{} // by mesh
	for _, s := range b.sorted {
		if s.dialect == schema.Kuma || b.mtls[s.mesh] == nil {
			continue
		}
		if slices.ContainsFunc(s.endpoints, func(e endpoint) bool { return b.inboundAt(s.mesh, e.Endpoint) == "" }) {
			open[s.mesh] = append(open[s.mesh], s.name)
		}
	}
	for mesh, names := range open {
		shown, more := names, ""
		if n := len(names) - shownListeners; n > 0 {
			shown, more = names[:shownListeners], fmt.Sprintf(" and %d more", n)
		}
		b.report(diag.CodeUnprotected, diag.Warning, b.mtls[mesh].doc, []any{"mtls", "enabledBackend"},
			fmt.Sprintf("mesh %s has mTLS, but no Dataplane listens where these services answer, so they are spoken to in the clear: %s%s", mesh, strings.Join(shown, ", "), more),
			"add a Dataplane whose inbound has their address, or move them to a mesh without mTLS")
	}
}

// checkIdentities tells of permissions that ask for a tag which no certificate
// can hold.
func (b *build) checkIdentities() {
	for _, d := range b.byKind["kuma/TrafficPermission"] {
		if b.mtls[d.Mesh] == nil {
			continue
		}
		for i, s := range d.Body.(*kuma.TrafficPermission).Sources {
			for _, tag := range slices.Sorted(maps.Keys(s.Match)) {
				if _, ok := tagURI(tag, s.Match[tag]); !ok && s.Match[tag] != "*" {
					b.report(diag.CodeMatchesNothing, diag.Warning, d, []any{"sources", i, "match", tag},
						fmt.Sprintf("no certificate can hold the tag %s, so this selector admits nobody", tag),
						"up to its first slash, use a tag that could be a host name")
				}
			}
		}
	}
}

// inboundAt returns the service of the dataplane of mesh, which has mTLS, that
// listens at e, or "".
func (b *build) inboundAt(mesh string, e snapshot.Endpoint) string {
	m := b.mtls[mesh]
	if m.inbounds == nil {
		m.inbounds = map[string]string{}
		for _, d := range b.dataplanes {
			if d.Mesh != mesh || ingressOf(d) != nil {
				continue
			}
			dp := d.Body.(*kuma.Dataplane)
			for _, in := range dp.Networking.Inbound {
				m.inbounds[address(inboundAddress(dp, in), uint16(in.Port))] = in.Tags[kuma.ServiceTag]
			}
		}
	}
	return m.inbounds[address(e.Address, e.Port)]
}

func address(host string, port uint16) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// peers says behind which endpoints of a service dataplanes of its mesh listen.
// It is comparable: an input of the memo of clusters.
type peers string

const (
	noPeers  peers = ""
	allPeers peers = "*" // behind all that are inbounds, under the service's own name
)

// peersOf returns the peers of s; else they are lines of "ADDRESS:PORT SERVICE".
func (b *build) peersOf(s *service) peers {
	if b.mtls[s.mesh] == nil {
		return noPeers
	}
	if s.dialect == schema.Kuma {
		return allPeers
	}
	var lines []string
	for _, e := range s.endpoints {
		if name := b.inboundAt(s.mesh, e.Endpoint); name != "" {
			lines = append(lines, address(e.Address, e.Port)+" "+name)
		}
	}
	return peers(strings.Join(lines, "\n"))
}

// of returns who proves itself at an endpoint of s: a service, or "".
func (p peers) of(s *service) func(endpoint) string {
	switch p {
	case allPeers:
		return func(e endpoint) string {
			if e.inbound {
				return s.name
			}
			return ""
		}
	case noPeers:
		return func(endpoint) string { return "" }
	}
	names := make(map[string]string, strings.Count(string(p), "\n")+1)
	for line := range strings.SplitSeq(string(p), "\n") {
		at, name, _ := strings.Cut(line, " ")
		names[at] = name
	}
	return func(e endpoint) string { return names[address(e.Address, e.Port)] }
}

// meshTransport is how the dataplanes of a service are spoken to. SNI is as
// Kuma has it: the service, and in braces the tags that are asked for and the
// mesh, sorted.
func meshTransport(mesh, service string, subset map[string]string) snapshot.Transport {
	pairs := []string{"mesh=" + mesh}
	for k, v := range subset {
		pairs = append(pairs, k+"="+v)
	}
	slices.Sort(pairs)
	return snapshot.Transport{
		Name: "mesh:" + service, Mesh: mesh, Peers: snapshot.ListOf(serviceURI(mesh, service)),
		SNI: service + "{" + strings.Join(pairs, ",") + "}",
	}
}

// externalTransport is the TLS to an ExternalService at host, or nil.
func externalTransport(d *schema.Document, e *kuma.ExternalService, host string) *snapshot.Transport {
	tls := e.Networking.TLS
	if tls == nil || !tls.Enabled {
		return nil
	}
	t := &snapshot.Transport{Name: "external:" + d.Name}
	for _, s := range sourcesOf(d) {
		switch s.source {
		case tls.CACert:
			t.CA, t.Host = s.id(), host
		case tls.ClientCert:
			t.Cert = s.id()
		case tls.ClientKey:
			t.Key = s.id()
		}
	}
	if net.ParseIP(host) == nil { // RFC 6066, section 3: no address stands in SNI
		t.SNI = host
	}
	return t
}

// transports gives each endpoint of the cluster c the name of its transport and
// returns the transports, sorted by name. What is spoken over them is offered by
// ALPN (RFC 7301), as Envoy does unasked: some servers want to hear it.
func (u clusterUse) transports(p peers, c snapshot.Cluster) (func(endpoint) snapshot.Endpoint, snapshot.List[snapshot.Transport]) {
	all, peer := map[string]snapshot.Transport{}, p.of(u.service)
	for e := range u.visible() {
		if name := peer(e); name != "" {
			t := meshTransport(u.service.mesh, name, u.tags)
			all[t.Name] = t
		} else if e.transport != nil {
			all[e.transport.Name] = *e.transport
		}
	}
	names := slices.Sorted(maps.Keys(all))
	list := snapshot.ListOfFunc(len(names), func(i int) snapshot.Transport {
		t := all[names[i]]
		switch {
		case c.HTTP2:
			t.ALPN = snapshot.ListOf("h2")
		case c.Protocol == snapshot.HTTP:
			t.ALPN = snapshot.ListOf("http/1.1")
		}
		return t
	})
	return func(e endpoint) snapshot.Endpoint {
		if name := peer(e); name != "" {
			e.Transport = "mesh:" + name
		}
		return e.Endpoint
	}, list
}

// identity is what a proxy with these tag sets is in a mesh.
func identity(mesh string, sets ...map[string]string) snapshot.Identity {
	var uris []string
	for _, set := range sets {
		for tag, value := range set {
			if tag == kuma.ServiceTag {
				uris = append(uris, serviceURI(mesh, value))
			}
			if uri, ok := tagURI(tag, value); ok {
				uris = append(uris, uri)
			}
		}
	}
	slices.Sort(uris)
	return snapshot.Identity{Mesh: mesh, URIs: snapshot.ListOf(slices.Compact(uris)...)}
}

func (b *build) gatewayIdentities() snapshot.List[snapshot.Identity] {
	meshes := slices.Sorted(maps.Keys(b.mtls))
	return snapshot.ListOfFunc(len(meshes), func(i int) snapshot.Identity { return identity(meshes[i], gatewayTags) })
}

func serviceURI(mesh, service string) string { return "spiffe://" + mesh + "/" + service }

// tagURI is the name of a tag in a certificate; ok is false where parsers of
// certificates would not take it, for what stands before its first slash could
// be no host name.
func tagURI(tag, value string) (uri string, ok bool) {
	uri = "kuma://" + tag + "/" + value
	host, _, _ := strings.Cut(tag, "/")
	for label := range strings.SplitSeq(host, ".") {
		if len(label) > 63 || label == "" && host != "" || strings.Contains(label, ":") {
			return "", false
		}
	}
	_, err := url.Parse(uri)
	return uri, err == nil
}

// permissions returns, for each inbound of v, the permissions that apply there.
func (b *build) permissions(v *view) [][]*schema.Document {
	if v.admitted == nil || b.news.permissions[v.doc.Mesh].selects(v.tags) {
		rules := b.rules("kuma/TrafficPermission", v.doc.Mesh)
		inbounds := v.doc.Body.(*kuma.Dataplane).Networking.Inbound
		v.admitted = make([][]*schema.Document, len(inbounds))
		for i, in := range inbounds {
			if o := rules.of(in.Tags); len(o) > 0 {
				v.admitted[i] = o.united()
			}
		}
	}
	return v.admitted
}

// access admits the sources of permissions. Of a selector, "*" asks for nothing
// (kuma.io/service: "*" is anybody of the mesh), as in Kuma.
func access(permissions []*schema.Document) snapshot.Access {
	rules := make([]snapshot.AccessRule, len(permissions))
	for i, d := range permissions {
		var clients []snapshot.Client
		for _, s := range d.Body.(*kuma.TrafficPermission).Sources {
			if c, ok := client(d.Mesh, s.Match); ok {
				clients = append(clients, c)
			}
		}
		rules[i] = snapshot.AccessRule{Name: d.Name, Clients: snapshot.ListOf(clients...), Sources: sources(nil, d)}
	}
	return snapshot.Access{Enforced: true, Rules: snapshot.ListOf(rules...)}
}

// client is who a selector admits; ok is false where that is nobody.
func client(mesh string, selector map[string]string) (c snapshot.Client, ok bool) {
	var uris []string
	for tag, value := range selector {
		switch uri, ok := tagURI(tag, value); {
		case value == "*":
		case tag == kuma.ServiceTag:
			uris = append(uris, serviceURI(mesh, value))
		case !ok:
			return c, false
		default:
			uris = append(uris, uri)
		}
	}
	slices.Sort(uris)
	return snapshot.Client{URIs: snapshot.ListOf(uris...)}, true
}

// The lives of certificates where the Mesh does not say (Kuma has ten years for
// a CA, and for a proxy's 30 days, which is long for a key that anybody on the
// machine can reach who may read the proxy's memory).
const (
	caExpiration    = 10 * 365 * 24 * time.Hour
	proxyExpiration = 24 * time.Hour
	defaultRSABits  = 2048
)

// lowerAuthority makes the authority of one backend of a mesh.
func lowerAuthority(m *meshTLS, i int) snapshot.Authority {
	backend := &m.body.MTLS.Backends[i]
	a := snapshot.Authority{
		ID: m.doc.Name + "/" + backend.Name, Mesh: m.doc.Name, Backend: backend.Name,
		Issues:     backend.Name == m.body.MTLS.EnabledBackend,
		Expiration: snapshot.Duration(age(backend.DPCert.Rotation.Expiration, proxyExpiration)),
		Sources:    sources(nil, m.doc),
	}
	if backend.Type == "builtin" {
		a.RSABits = backend.Conf.CACert.RSABits
		if a.RSABits == 0 {
			a.RSABits = defaultRSABits
		}
		a.CAExpiration = snapshot.Duration(age(backend.Conf.CACert.Expiration, caExpiration))
	}
	for _, s := range sourcesOf(m.doc) {
		switch s.source {
		case backend.Conf.Cert:
			a.Cert = s.id()
		case backend.Conf.Key:
			a.Key = s.id()
		}
	}
	a.Digest = a.Sum()
	return a
}

// age reads a number with one unit, as in 24h or 10y; a year is 365 days, as in
// Kuma. Where nothing or 0 is written, and where it is more than a Duration
// holds, it is otherwise.
func age(text string, otherwise time.Duration) time.Duration {
	digits := strings.TrimRight(text, "ywdhms")
	n, err := strconv.ParseInt(digits, 10, 64)
	unit := map[string]time.Duration{
		"y": 365 * 24 * time.Hour, "w": 7 * 24 * time.Hour, "d": 24 * time.Hour,
		"h": time.Hour, "m": time.Minute, "s": time.Second, "ms": time.Millisecond,
	}[text[len(digits):]]
	if err != nil || n <= 0 || unit == 0 || n > int64(1<<63-1)/int64(unit) {
		return otherwise
	}
	return time.Duration(n) * unit
}
