package compiler

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

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
			if c, at := b.metricsOf(d); c != nil && !c.skipMTLS && b.isMetrics(mesh, c) {
				m.inbounds[address(at, c.port)] = c.tags[kuma.ServiceTag]
			}
		}
	}
	return m.inbounds[address(e.Address, e.Port)]
}

func address(host string, port uint16) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
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

// permissions returns, for each listener of v that is guarded, the permissions
// that apply there.
func (b *build) permissions(v *view) [][]*schema.Document {
	news := b.news.permissions[v.doc.Mesh]
	if v.admitted == nil || news != nil && news.selects(v.guardedTags()) {
		v.stamp++
		rules := b.rules("kuma/TrafficPermission", v.doc.Mesh)
		v.admitted = make([][]*schema.Document, len(v.listeners))
		for i := range v.listeners {
			l := &v.listeners[i]
			if !l.guarded() {
				continue
			}
			if o := rules.of(l.tags); len(o) > 0 {
				v.admitted[i] = o.united()
			}
		}
	}
	return v.admitted
}

// guardedTags returns the tag sets by which permissions are chosen for v, and
// maybe others.
func (v *view) guardedTags() []map[string]string {
	for i := range v.listeners {
		if l := &v.listeners[i]; l.metrics != nil && l.guarded() {
			return append(slices.Clone(v.tags), l.tags)
		}
	}
	return v.tags
}

// guarded reports whether l admits, with mTLS, only whom permissions name.
func (l *listener) guarded() bool {
	return l.direction == snapshot.Inbound && !l.ingress && (l.metrics == nil || !l.metrics.skipMTLS)
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
