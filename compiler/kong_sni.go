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

// kongShown is a Certificate that the gateway shows; without doc, its own.
type kongShown struct {
	doc  *schema.Document
	snis []*schema.Document // that it is for
	used bool               // of its own one: something shows it
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
			w.unsupported(diag.CodeNotApplied, diag.Warning, d, "name", fmt.Sprintf("clients that ask for %s do not get its certificate, for it is in a vault of Kong's, which this build of meshc does not read", k.Name), "write the certificate in PEM")
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
// stands for; where there is none, the gateway's own.
func (b *build) shownFor(name string) *kongShown {
	patterns := []string{name, snapshot.AnyServerName}
	if !strings.Contains(name, "*") {
		patterns = snapshot.ServerNamePatterns(name)
	}
	for _, pattern := range patterns {
		if s := b.shown[pattern]; s != nil {
			return s
		}
	}
	return &b.own
}

// certificates are what s shows: two where it has one of another kind of key.
func (s *kongShown) certificates() snapshot.List[snapshot.Certificate] {
	if s.doc == nil {
		s.used = true
		return snapshot.ListOf(snapshot.OwnCertificate())
	}
	out := []snapshot.Certificate{{Cert: kongSecret(s.doc, "cert"), Key: kongSecret(s.doc, "key")}}
	if s.doc.Body.(*kong.Certificate).CertAlt != "" {
		out = append(out, snapshot.Certificate{Cert: kongSecret(s.doc, "cert_alt"), Key: kongSecret(s.doc, "key_alt")})
	}
	return snapshot.ListOf(out...)
}

// docs are the documents that s comes from.
func (s *kongShown) docs() []*schema.Document {
	if s.doc == nil {
		return nil
	}
	return []*schema.Document{s.doc}
}

// ownSecrets are those of the gateway's own certificate, if something shows it.
func (b *build) ownSecrets() []snapshot.Secret {
	if !b.own.used {
		return nil
	}
	id := snapshot.OwnCertificate()
	out := []snapshot.Secret{{ID: id.Cert, Made: snapshot.MadeCertificate}, {ID: id.Key, Made: snapshot.MadeKey}}
	for i := range out {
		out[i].Digest = out[i].Sum()
	}
	return out
}

// lowerChains makes the chains of the gateway's listener for TLS, sorted by name:
// those of streams, and HTTP for the other server names that have a Certificate.
// Where there are any of those, or routes for https alone, all others get HTTP too.
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
	if !taken[snapshot.AnyServerName] && b.shown[snapshot.AnyServerName] == nil && (len(b.shown) > 0 || b.httpsOnly != nil) {
		c := snapshot.Chain{
			Name: "https", ServerNames: snapshot.ListOf(snapshot.AnyServerName), Certificates: b.own.certificates(), Protocol: snapshot.HTTP,
		}
		if b.httpsOnly != nil {
			c.Sources = sources(nil, b.httpsOnly)
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(x, y snapshot.Chain) int { return strings.Compare(x.Name, y.Name) })
	return snapshot.ListOf(out...)
}
