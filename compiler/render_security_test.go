package compiler_test

import (
	"fmt"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
)

func renderIdentities(ids snapshot.List[snapshot.Identity]) string {
	var b strings.Builder
	for _, id := range ids.All() {
		fmt.Fprintf(&b, "  identity %s: %s\n", id.Mesh, strings.Join(id.URIs.Slice(), " "))
	}
	return b.String()
}

func renderAccess(l snapshot.Listener) string {
	if l.TLS == "" {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "    tls %s, enforced %t\n", l.TLS, l.Access.Enforced)
	for _, r := range l.Access.Rules.All() {
		fmt.Fprintf(&b, "      %s, from %s:", r.Name, strings.Join(r.Sources.Slice(), " "))
		for _, c := range r.Clients.All() {
			fmt.Fprintf(&b, " (%s)", strings.Join(c.URIs.Slice(), " and "))
		}
		b.WriteString("\n")
	}
	return b.String()
}

func renderTransports(c snapshot.Cluster) string {
	var b strings.Builder
	for _, t := range c.Transports.All() {
		fmt.Fprintf(&b, "  transport %s: mesh %q peers %q sni %q ca %q host %q cert %q key %q alpn %q\n",
			t.Name, t.Mesh, t.Peers.Slice(), t.SNI, t.CA, t.Host, t.Cert, t.Key, t.ALPN.Slice())
	}
	return b.String()
}

func renderAuthorities(s snapshot.Snapshot) string {
	var b strings.Builder
	for _, a := range s.Authorities.All() {
		fmt.Fprintf(&b, "authority %s issues %t cert %q key %q bits %d ca %s proxies %s, from %s\n", a.ID, a.Issues, a.Cert, a.Key,
			a.RSABits, text(a.CAExpiration), text(a.Expiration), strings.Join(a.Sources.Slice(), " "))
	}
	for _, x := range s.Secrets.All() {
		fmt.Fprintf(&b, "secret %s data %q file %q env %q%s, from %s\n", x.ID, string(x.Data), x.File, x.Env, strings.TrimSuffix(" made "+x.Made, " made "), strings.Join(x.Sources.Slice(), " "))
	}
	return b.String()
}

func text(d snapshot.Duration) string {
	out, _ := d.MarshalText()
	return string(out)
}
