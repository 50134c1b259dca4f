package compiler

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/kong"
)

// kongShown is a Certificate that the gateway shows.
type kongShown struct {
	doc  *schema.Document
	snis []*schema.Document // that it is for
}

// findShown finds the Certificates that server names have, by those, and tells
// users who needs them.
func (w *kongWorld) findShown(users map[*schema.Document]*schema.Document) {
	byCert := map[*schema.Document]*kongShown{}
	w.b.shown = map[string]*kongShown{}
	for _, d := range w.byKind["kong/SNI"] {
		k := d.Body.(*kong.SNI)
		cert := w.named["Certificate"][k.Certificate.Key()]
		if cert == nil {
			continue // reported
		}
		if kong.InVault(cert.Tree) != "" {
			w.unsupported(diag.CodeNotApplied, diag.Warning, d, "name", fmt.Sprintf("clients that ask for %s are refused: its certificate is in a vault of Kong's, which this build of meshc does not read", k.Name), "write the certificate in PEM")
			continue
		}
		name := serverName(k.Name)
		if other := w.b.shown[name]; other != nil {
			first := other.snis[slices.IndexFunc(other.snis, func(s *schema.Document) bool { return serverName(s.Body.(*kong.SNI).Name) == name })]
			w.b.report(diag.CodeDuplicateName, diag.Error, d, []any{"name"}, fmt.Sprintf("%s is the server name of %s, in other letters", k.Name, describe(first)),
				"keep one of the two", diag.Related{Place: first.Place("name"), Message: "the other"})
			continue
		}
		s := byCert[cert]
		if s == nil {
			s = &kongShown{doc: cert}
			byCert[cert] = s
			users[cert] = d
			w.b.kongSecrets = append(w.b.kongSecrets, certificateSecrets(cert)...)
		}
		s.snis = append(s.snis, d)
		w.b.shown[name] = s
	}
}

// serverName is a name that Kong has, as the ClientHello does: in lower case and
// without a dot at the end.
func serverName(name string) string { return strings.TrimSuffix(strings.ToLower(name), ".") }

// shownFor returns the Certificate for a server name, or for all that a pattern
// stands for; nil where there is none.
func (b *build) shownFor(name string) *kongShown {
	if strings.Contains(name, "*") {
		for _, pattern := range []string{name, snapshot.AnyServerName} {
			if s := b.shown[pattern]; s != nil {
				return s
			}
		}
		return nil
	}
	for _, pattern := range snapshot.ServerNamePatterns(name) {
		if s := b.shown[pattern]; s != nil {
			return s
		}
	}
	return nil
}

// certificates are what s shows: two where it has one of another kind of key.
func (s *kongShown) certificates() snapshot.List[snapshot.Certificate] {
	out := []snapshot.Certificate{{Cert: kongSecret(s.doc, "cert"), Key: kongSecret(s.doc, "key")}}
	if s.doc.Body.(*kong.Certificate).CertAlt != "" {
		out = append(out, snapshot.Certificate{Cert: kongSecret(s.doc, "cert_alt"), Key: kongSecret(s.doc, "key_alt")})
	}
	return snapshot.ListOf(out...)
}

// lowerChains makes the chains of the gateway's listener for TLS, sorted by name:
// those of streams, and HTTP for the other server names that have a Certificate.
func (b *build) lowerChains(streams []snapshot.Chain) snapshot.List[snapshot.Chain] {
	taken := map[string]bool{}
	for _, c := range streams {
		for _, name := range c.ServerNames.All() {
			taken[name] = true
		}
	}
	names := map[*kongShown][]string{}
	for name, s := range b.shown {
		if !taken[name] {
			names[s] = append(names[s], name)
		}
	}
	out := slices.Clone(streams)
	for s, own := range names {
		out = append(out, snapshot.Chain{
			Name:        "https/" + s.doc.Name,
			ServerNames: snapshot.ListOf(slices.Sorted(slices.Values(own))...), Certificates: s.certificates(),
			Protocol: snapshot.HTTP, Sources: sources(s.snis, s.doc),
		})
	}
	slices.SortFunc(out, func(x, y snapshot.Chain) int { return strings.Compare(x.Name, y.Name) })
	return snapshot.ListOf(out...)
}

// checkServerNames tells of routes that no client gets to over TLS.
func (b *build) checkServerNames(d *schema.Document) {
	r := d.Body.(*kong.Route)
	if len(b.shown) == 0 {
		if !plainHTTP(r) {
			b.unsupported = append(b.unsupported, finding(diag.CodeNotApplied, diag.Warning, d, []any{"protocols"},
				"the gateway listens for no TLS, for no certificate has a server name: the route takes no request",
				"add a certificate with snis, or http or grpc to protocols"))
		}
		return
	}
	for i, name := range r.SNIs {
		if secureHTTP(r) && name != snapshot.AnyServerName && b.shownFor(serverName(name)) == nil {
			b.unsupported = append(b.unsupported, finding(diag.CodeNotApplied, diag.Warning, d, []any{"snis", i},
				fmt.Sprintf("no certificate is for the server name %s: its clients are refused", name), "add it to the snis of a certificate"))
		}
	}
}
