package compiler

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/kong"
)

// kongTLS is how the upstream of a Kong Service is spoken to over TLS. It
// depends on nothing but the documents that it is made of.
type kongTLS struct {
	// client is the Certificate that is shown, and roots are those that the
	// server's must lead to; none means that it is not verified, as in Kong.
	client *schema.Document
	roots  []*schema.Document
}

// docs are the documents that t is made of; none for nil.
func (t *kongTLS) docs() []*schema.Document {
	if t == nil {
		return nil
	}
	if t.client == nil {
		return t.roots
	}
	return append([]*schema.Document{t.client}, t.roots...)
}

// plainProtocol is what a protocol of Kong's is without its TLS.
func plainProtocol(protocol string) (plain string, tls bool) {
	switch protocol {
	case "https":
		return "http", true
	case "grpcs":
		return "grpc", true
	case "wss":
		return "http", true
	case "tls":
		return "tcp", true
	case "ws":
		return "http", false
	case "tls_passthrough", "udp":
		return "tcp", false
	}
	return protocol, false
}

// tlsOf returns how the upstream of the Service d, which may name the upstream
// up, is spoken to; nil for the clear.
func (w *kongWorld) tlsOf(d *schema.Document, up *kongUpstream) *kongTLS {
	k := d.Body.(*kong.Service)
	if _, tls := plainProtocol(k.Protocol); !tls {
		return nil
	}
	t := &kongTLS{}
	ref := k.ClientCertificate
	if up != nil && ref == nil { // the Service's own comes first
		ref = up.doc.Body.(*kong.Upstream).ClientCertificate
	}
	if ref != nil {
		t.client = w.named["Certificate"][ref.Key()]
	}
	if verifies(k) {
		for _, id := range k.CACertificates {
			if ca := w.named["CACertificate"][id]; ca != nil {
				t.roots = append(t.roots, ca)
			}
		}
	} else {
		path := []any{"protocol"}
		if !d.Wrote(path...) {
			path = []any{"url"}
		}
		why, hint := "tls_verify is not true", "set tls_verify: true, and ca_certificates to those of its CA"
		if k.Protocol == "grpcs" { // of which Kong takes neither
			why, hint = "Kong verifies none over grpcs", ""
		}
		w.b.report(diag.CodeUnprotected, diag.Warning, d, path,
			"the server is not verified, for "+why+": whoever answers at this address is taken for it", hint)
	}
	return t
}

func verifies(k *kong.Service) bool { return k.TLSVerify != nil && *k.TLSVerify }

// secrets returns the secrets that t needs, of the Service d.
func (t *kongTLS) secrets(d *schema.Document) []snapshot.Secret {
	if t == nil {
		return nil
	}
	var out []snapshot.Secret
	if t.client != nil {
		out = certificateSecrets(t.client)
	}
	if len(t.roots) > 0 {
		var all strings.Builder
		for _, ca := range t.roots {
			all.WriteString(strings.TrimSpace(ca.Body.(*kong.CACertificate).Cert) + "\n")
		}
		out = append(out, pemSecret(kongSecret(d, "ca_certificates"), all.String(), t.roots...))
	}
	return out
}

// certificateSecrets are those that the Certificate d is.
func certificateSecrets(d *schema.Document) []snapshot.Secret {
	c := d.Body.(*kong.Certificate)
	out := []snapshot.Secret{pemSecret(kongSecret(d, "cert"), c.Cert, d), pemSecret(kongSecret(d, "key"), string(c.Key), d)}
	if c.CertAlt != "" {
		out = append(out, pemSecret(kongSecret(d, "cert_alt"), c.CertAlt, d), pemSecret(kongSecret(d, "key_alt"), string(c.KeyAlt), d))
	}
	return out
}

func pemSecret(id, pem string, from ...*schema.Document) snapshot.Secret {
	s := snapshot.Secret{ID: id, Data: snapshot.Hidden(base64.StdEncoding.EncodeToString([]byte(pem))), Sources: sources(nil, from...)}
	s.Digest = s.Sum()
	return s
}

func kongSecret(d *schema.Document, field string) string { return d.ID() + "#" + field }

// transport is TLS to an upstream whose Host header is host, as Kong speaks it:
// the name that is asked for and verified is that of the header.
func (t *kongTLS) transport(d *schema.Document, host string) *snapshot.Transport {
	if t == nil {
		return nil
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	out := &snapshot.Transport{Name: "kong:" + cmp.Or(host, d.Name)}
	if net.ParseIP(host) == nil { // RFC 6066, section 3: no address stands in SNI
		out.SNI = host
	}
	if len(t.roots) > 0 {
		out.CA, out.Host = kongSecret(d, "ca_certificates"), host
	}
	if t.client != nil {
		out.Cert, out.Key = kongSecret(t.client, "cert"), kongSecret(t.client, "key")
	}
	return out
}

// checkCertificates tells of the certificates that nobody needs, and of those
// that somebody needs and that are kept in a vault of Kong's. users are the
// Services and SNIs by the documents that they need.
func (w *kongWorld) checkCertificates(users map[*schema.Document]*schema.Document) {
	for _, d := range slices.Concat(w.byKind["kong/Certificate"], w.byKind["kong/CACertificate"]) {
		fields, lost := []string{"cert"}, "no service is verified against it"
		if d.Kind == "Certificate" {
			fields, lost = []string{"cert", "key"}, "no service shows it to its upstream, and it has no server names for which the gateway would show it"
		}
		user, vault := users[d], kong.InVault(d.Tree)
		switch {
		case user == nil && vault != "": // reported with the reference; SNIs of it are told of by findShown
			continue
		case user == nil:
			w.unsupported(diag.CodeNotApplied, diag.Warning, d, "cert", describe(d)+" is checked and not used: "+lost, "")
			continue
		}
		if slices.Contains(fields, vault) {
			w.unsupported(diag.CodeNotEnforced, diag.Error, d, vault, fmt.Sprintf("this build of meshc reads no vaults, and service %s needs this for TLS", user.Name),
				"write it in PEM", diag.Related{Place: user.Place(), Message: "the service"})
		}
	}
}

func (w *kongWorld) unsupported(code string, sev diag.Severity, d *schema.Document, field, message, hint string, related ...diag.Related) {
	w.b.unsupported = append(w.b.unsupported, finding(code, sev, d, []any{field}, message, hint, related...))
}
